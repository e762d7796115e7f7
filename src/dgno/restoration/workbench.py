"""Restore one image or slide after the other, with what several of them need loaded once."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from dgno.arrays import Image, newly_cut
from dgno.errors import InputChanged, OutOfMemory, printable
from dgno.io.checksum import file_sha256, slide_digest
from dgno.io.image import check_output, read_images, write_images
from dgno.io.opening import os_error
from dgno.io.pixel_size import overruled
from dgno.io.provenance import software
from dgno.kernels.allocator import keep_freed_memory
from dgno.optics.blur_types import DEFOCUS
from dgno.restorable import check_restorable
from dgno.restoration import TILE_SIZE
from dgno.restoration.account import Account
from dgno.restoration.assessment import BLURRED, Assessment
from dgno.restoration.batch import Job, Outcome
from dgno.restoration.blur_maps import reading_context
from dgno.restoration.from_classical import make_classical
from dgno.restoration.from_weights import NETWORK_METHODS, NORMALIZERS, LoadedWeights, make_reader, weights_by_type
from dgno.restoration.image import Progress, Restorer, restore_image, tiling_of
from dgno.restoration.inputs import note_again
from dgno.restoration.nonfinite import fill, mark
from dgno.restoration.options import IMAGE, OFF, RestoreOptions
from dgno.restoration.placed import Placed, choose_device
from dgno.restoration.resuming import refuse_another_run
from dgno.restoration.route import Remedy, Routing
from dgno.restoration.selection import pages_of, restored_only
from dgno.restoration.slide_files import is_restored_as_slide, restore_slide
from dgno.restoration.slide_look import SLIDE_TILE
from dgno.restoration.tiling import largest_tile
from dgno.weights.store import FILE_SHA256, find_weights

RESEARCH_USE = "research use only, not for clinical diagnosis"


class Workbench:
    """Restores one file after the other; keeps what several of them need, the loaded weights above all.

    inputs : all inputs of the run; no output may replace any of them
    """

    def __init__(self, options: RestoreOptions, inputs: Sequence[Path]) -> None:
        keep_freed_memory()
        self.options, self.inputs = options, inputs
        self.limits = options.limits
        self.max_bytes = math.inf if options.max_memory is None else options.max_memory * 2**30
        how = {"device": options.device, "precision": options.precision, "method": options.method}
        self.remedies = LoadedWeights(normalize=options.normalize, tta=options.tta, **how)
        choose_device(options.device)
        by_network = options.method in NETWORK_METHODS
        self.classical = None if by_network else make_classical(options.method, options.told)
        if options.weights != "auto":
            self.remedies.load(options.weights)  # wrong weights are refused before anything is read
        self.routing = None if options.route == OFF else self._routing()

    def restore(
        self, job: Job, *, progress: Progress, size: Callable[[float], None] = lambda megapixels: None
    ) -> Outcome:
        """Read, restore and write one file. An output is checked before anything is computed for it."""
        if is_restored_as_slide(job, limits=self.limits, output_format=self.options.output_format):
            return restore_slide(job, self, progress=progress, size=size)
        started, options = time.monotonic(), self.options
        check_output(job.target, inputs=self.inputs, overwrite=options.overwrite or options.resume)
        before = fingerprint(job.source)
        found = read_images(job.source, limits=self.limits)
        wanted = options.selection.of(found)
        images = [self.prepared(image, planes) for image, planes in zip(found, wanted, strict=True)]
        changed = [image for image, planes in zip(images, wanted, strict=True) if planes]
        provenance = self.provenance(job.source, changed)
        if options.resume and job.target.exists():
            refuse_another_run(job.target, provenance)
            return Outcome(printable(job.source), printable(job.target), "complete")
        check_output(job.target, images=images, inputs=self.inputs, overwrite=options.overwrite)
        account = Account(options, options.route)
        restored = [
            self.restored(image, planes, account, progress=lambda share, i=i: progress((i + share) / len(images)))  # type: ignore[misc]
            for i, (image, planes) in enumerate(zip(images, wanted, strict=True))
        ]
        if fingerprint(job.source) != before:
            raise InputChanged("the input changed while it was restored", path=job.source, hint="restore it again")
        job.target.parent.mkdir(parents=True, exist_ok=True)
        lost = write_images(
            job.target, restored, inputs=self.inputs, overwrite=options.overwrite, provenance=provenance
        )
        notes = dict.fromkeys(note for image in restored for note in image.notes)
        chosen = options.selection.notes(images, wanted)
        count = {"planes": sum(image.plane_count for image in images), "restored_planes": pages_of(images, wanted)}
        cut = sum(map(newly_cut, images, restored))
        return Outcome(
            input=printable(job.source),
            output=printable(job.target),
            status="restored",
            seconds=time.monotonic() - started,
            megapixels=sum(map(pixels_of, images, wanted)) / 1e6,
            notes=(*note_again(job.source), *account.notes, *chosen, *notes, *lost),
            facts=count | account.facts | ({"saturated": cut} if cut else {}),
        )

    def prepared(self, image: Image, planes: frozenset[int]) -> Image:
        """The image as it is to be restored, in these planes, and written."""
        options = self.options
        if planes:
            allow_nonfinite = options.nonfinite != "refuse"
            check_restorable(image, planes, allow_labels=options.allow_labels, allow_nonfinite=allow_nonfinite)
        if self.options.pixel_size is not None:
            image = replace(image, pixel_size=(self.options.pixel_size,) * 2, notes=overruled(image.notes))
        if planes and self.options.normalize == "none" and image.pixels.dtype.kind == "f":
            image = replace(image, pixels=image.pixels.astype(np.float32))
        return image

    def restored(self, image: Image, planes: frozenset[int], account: Account, *, progress: Progress) -> Image:
        """One image with these planes restored; how is put down in the account."""
        if not planes:
            return image
        options = self.options
        filled, bad = fill(image, options.nonfinite, planes)
        found: dict[int, Assessment] = {}
        remedies = {name: self.remedy_of(image, name) for name in (BLURRED if self.routing else (DEFOCUS,))}
        if self.routing is not None:
            restored = self.routing.restore(
                filled,
                remedies,
                planes=planes,
                tile_size=lambda restorer: self.tile_size(image, restorer),
                overlap=options.overlap,
                replicate=options.replicate,
                tell=found.update,
                progress=progress,
            )
        else:
            remedy = remedies[DEFOCUS]
            restored = restore_image(
                filled,
                remedy.restorer,
                tile_size=self.tile_size(image, remedy.restorer),
                overlap=options.overlap,
                normalize=remedy.normalize,
                planes=planes,
                replicate=options.replicate,
                progress=progress,
            )
        used = {name: (self.names_of(image, name), one) for name, one in remedies.items()}
        account.put_down(filled, planes, used, found)
        return restored_only(mark(restored, image, bad, options.nonfinite), image, planes)

    def tile_size(self, image: Image, restorer: Restorer) -> int:
        """As wanted, or smaller where memory is bounded and the plane does not fit as it is."""
        options, tiling = self.options, tiling_of(restorer, self.options.tile_size, self.options.overlap)
        bytes_per_pixel = int(getattr(restorer, "bytes_per_pixel", 64))
        height, width = image.shape_without_samples[-2:]
        if height * width * bytes_per_pixel <= self.max_bytes:
            return options.tile_size
        if getattr(restorer, "is_whole", False):
            needed = f"{height * width * bytes_per_pixel / 2**30:.1f} GB"
            raise OutOfMemory(f"method {options.method} cannot be tiled", hint=f"give --max-memory at least {needed}")
        return largest_tile(
            options.tile_size,
            max_bytes=self.max_bytes,
            bytes_per_pixel=bytes_per_pixel,
            overlap=tiling["overlap"],
            multiple=tiling["multiple"],
        )

    def remedy_of(self, image: Image, blur: str = DEFOCUS) -> Remedy:
        """What restores this type of blur in this image. Classical methods want dark to be 0."""
        if self.classical is None:
            return self.remedies.of(self.weights_of(image)[blur], image)
        normalize = "range" if self.options.normalize == "auto" else self.options.normalize
        return Remedy(Placed(self.classical, torch.device("cpu")), NORMALIZERS[normalize])

    def weights_of(self, image: Image) -> Mapping[str, tuple[str, ...]]:
        """The weights for each type of blur."""
        return weights_by_type(image, self.options.weights, self.options.method)

    def names_of(self, image: Image, blur: str) -> tuple[str, ...]:
        """The weights for this type of blur, none of a classical method."""
        return () if self.classical else self.weights_of(image)[blur]

    @cached_property
    def slide_routing(self) -> Routing:
        """Who reads the blur of slides, of which only what is blurred is restored unless the user wants all of it."""
        return self._routing(SLIDE_TILE)

    def _routing(self, tile_size: int = TILE_SIZE) -> Routing:
        """Who reads the blur, in tiles that memory suffices for."""
        options = self.options
        reader = make_reader(options.reader, options.device)
        if self.max_bytes < math.inf:
            hunger = int(getattr(reader, "bytes_per_pixel", 64))
            context = reading_context(reader)
            tile_size = largest_tile(tile_size, max_bytes=self.max_bytes, bytes_per_pixel=hunger, **context)
        return Routing(reader, options.min_confidence or 0.0, options.route == IMAGE, tile_size)

    def provenance(self, source: Path, images: Sequence[Image]) -> dict[str, str]:
        """What the output says of how it was made. No paths, no times: the same run writes the same bytes."""
        told = {"input sha256": file_sha256(source), "options": json.dumps(self.options.decisive(), sort_keys=True)}
        return self._provenance(source, images, told, is_routed=self.routing is not None)

    def slide_provenance(self, source: Path, sample: Image, route: str) -> dict[str, str]:
        """`provenance` of what was made of a slide by that route. sample : what the slide is like"""
        key, digest = slide_digest(source)
        told = {key: digest, "options": json.dumps(self.options.decisive_for_slides(route), sort_keys=True)}
        return self._provenance(source, [sample], told, is_routed=route != OFF)

    def _provenance(
        self, source: Path, images: Sequence[Image], told: dict[str, str], *, is_routed: bool
    ) -> dict[str, str]:
        types = BLURRED if is_routed else (DEFOCUS,)
        chosen = [] if self.classical else [self.weights_of(image)[blur] for image in images for blur in types]
        names = {name for one in chosen for name in one}
        weights = {name: file_sha256(find_weights(name)) for name in names}
        return {
            "software": software(),
            "operation": "restore",
            "input": source.name.encode("utf-8", "backslashreplace").decode(),
            f"weights {FILE_SHA256}": json.dumps({Path(name).name: digest for name, digest in sorted(weights.items())}),
            **told,
            **({f"reader {FILE_SHA256}": file_sha256(find_weights(self.options.reader))} if is_routed else {}),
            **({"psf": psf_fingerprint(self.options.psf)} if self.options.psf else {}),
            "use": RESEARCH_USE,
        }


def psf_fingerprint(given: str) -> str:
    """A PSF by its name and numbers, or the hash of its file."""
    return given if ":" in given and not Path(given).exists() else file_sha256(Path(given))


def pixels_of(image: Image, planes: Collection[int]) -> int:
    """How many pixels these planes of the image have."""
    return len(planes) * math.prod(image.shape_without_samples[-2:])


def fingerprint(path: Path) -> tuple[int, int, int]:
    """What tells that a file was replaced or written to: inode, size and time of the last change."""
    try:
        facts = path.stat()
    except OSError as error:
        raise os_error(error, path) from error
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
