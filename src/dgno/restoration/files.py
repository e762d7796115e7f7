"""Restore image files: read, restore, write, and say in the output how it was made."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dgno.arrays import Image
from dgno.errors import InputChanged, ResumeError, about, printable
from dgno.io.checksum import file_sha256
from dgno.io.image import check_output, read_images, write_images
from dgno.io.limits import Limits
from dgno.io.opening import os_error
from dgno.io.provenance import read_provenance, software
from dgno.restorable import check_restorable
from dgno.restoration.batch import Job, Outcome, is_single, plan_jobs, prepare_folders, run_jobs, write_report
from dgno.restoration.from_weights import default_weights, make_restorer
from dgno.restoration.image import Normalizer, Progress, restore_image
from dgno.restoration.nonfinite import fill, mark
from dgno.restoration.options import RestoreOptions
from dgno.restoration.placed import Placed, choose_device
from dgno.restoration.selection import restored_only
from dgno.restoration.tiling import largest_tile
from dgno.weights.store import find_weights

RESEARCH_USE = "research use only, not for clinical diagnosis"


def restore_files(
    inputs: Sequence[Path],
    out: Path,
    options: RestoreOptions,
    *,
    progress: Progress = lambda share: None,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Restore files and folders.

    One file that fails raises its error; of several, or in a folder, the failed ones are among the outcomes and in
    `out`/report.json.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    jobs = plan_jobs(inputs, out, output_format=options.output_format)
    bench = Workbench(options, inputs=[job.source for job in jobs])
    position = {job: i for i, job in enumerate(jobs)}
    outcomes: list[Outcome] = []

    def work(job: Job) -> Outcome:
        with about(job.source):
            return bench.restore(job, progress=lambda share: progress((position[job] + share) / len(jobs)))

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        report(outcome)

    if is_single(inputs):
        keep(work(jobs[0]))
        return outcomes
    prepare_folders(out, jobs)
    try:
        run_jobs(jobs, work, fail_fast=options.fail_fast, report=keep)
    finally:
        write_report(out, outcomes)
    return outcomes


class Workbench:
    """Restores one file after the other; keeps what several of them need, the loaded weights above all.

    inputs : all inputs of the run; no output may replace any of them
    """

    def __init__(self, options: RestoreOptions, inputs: Sequence[Path]) -> None:
        self.options, self.inputs = options, inputs
        self.limits = Limits(pixels=options.max_pixels)
        self.restorers: dict[str, tuple[Placed, Normalizer]] = {}
        choose_device(options.device)
        if options.weights != "auto":
            self.restorer(options.weights)  # wrong weights are refused before anything is read

    def restore(self, job: Job, *, progress: Progress) -> Outcome:
        """Read, restore and write one file. An output is checked before anything is computed for it."""
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
        restored = [
            self.restored(image, planes, progress=lambda share, i=i: progress((i + share) / len(images)))  # type: ignore[misc]
            for i, (image, planes) in enumerate(zip(images, wanted, strict=True))
        ]
        if fingerprint(job.source) != before:
            raise InputChanged("the input changed while it was restored", path=job.source, hint="restore it again")
        job.target.parent.mkdir(parents=True, exist_ok=True)
        lost = write_images(
            job.target, restored, inputs=self.inputs, overwrite=options.overwrite, provenance=provenance
        )
        notes = dict.fromkeys(note for image in restored for note in image.notes)
        return Outcome(
            input=printable(job.source),
            output=printable(job.target),
            status="restored",
            seconds=time.monotonic() - started,
            megapixels=sum(map(pixels_of, images, wanted)) / 1e6,
            notes=(*notes, *lost),
        )

    def prepared(self, image: Image, planes: frozenset[int]) -> Image:
        """The image as it is to be restored, in these planes, and written."""
        options = self.options
        if planes:
            allow_nonfinite = options.nonfinite != "refuse"
            check_restorable(image, planes, allow_labels=options.allow_labels, allow_nonfinite=allow_nonfinite)
        if self.options.pixel_size is not None:
            image = replace(image, pixel_size=(self.options.pixel_size,) * 2)
        if planes and self.options.normalize == "none" and image.pixels.dtype.kind == "f":
            image = replace(image, pixels=image.pixels.astype(np.float32))
        return image

    def restored(self, image: Image, planes: frozenset[int], *, progress: Progress) -> Image:
        """One image with these planes restored."""
        if not planes:
            return image
        options = self.options
        restorer, normalize = self.restorer(self.weights_of(image))
        filled, bad = fill(image, options.nonfinite)
        restored = restore_image(
            filled,
            restorer,
            tile_size=self.tile_size(image, restorer),
            overlap=options.overlap,
            normalize=normalize,
            planes=planes,
            replicate=options.replicate,
            progress=progress,
        )
        return restored_only(mark(restored, image, bad, options.nonfinite), image, planes)

    def tile_size(self, image: Image, restorer: Placed) -> int:
        """As wanted, or smaller where memory is bounded and the plane does not fit as it is."""
        wanted, options = self.options.tile_size, self.options
        max_bytes = math.inf if options.max_memory is None else options.max_memory * 2**30
        height, width = image.shape_without_samples[-2:]
        if height * width * restorer.bytes_per_pixel <= max_bytes:
            return wanted
        return largest_tile(
            wanted,
            max_bytes=max_bytes,
            bytes_per_pixel=restorer.bytes_per_pixel,
            overlap=restorer.halo if options.overlap is None else options.overlap,
            multiple=restorer.multiple,
        )

    def weights_of(self, image: Image) -> str:
        return default_weights(image) if self.options.weights == "auto" else self.options.weights

    def restorer(self, weights: str) -> tuple[Placed, Normalizer]:
        """The restorer of these weights, loaded once."""
        if weights not in self.restorers:
            options = self.options
            self.restorers[weights] = make_restorer(
                weights, normalize=options.normalize, device=options.device, precision=options.precision
            )
        return self.restorers[weights]

    def provenance(self, source: Path, images: Sequence[Image]) -> dict[str, str]:
        """What the output says of how it was made. No paths, no times: the same run writes the same bytes."""
        weights = {name: file_sha256(find_weights(name)) for name in {self.weights_of(image) for image in images}}
        return {
            "software": software(),
            "operation": "restore",
            "input": source.name.encode("utf-8", "backslashreplace").decode(),
            "input sha256": file_sha256(source),
            "weights": json.dumps({Path(name).name: digest for name, digest in sorted(weights.items())}),
            "options": json.dumps(self.options.decisive(), sort_keys=True),
            "use": RESEARCH_USE,
        }


def refuse_another_run(target: Path, provenance: dict[str, str]) -> None:
    """Raise ResumeError unless the output was made from the same input, weights and options."""
    if target.suffix.lower() == ".bmp":
        why, hint = "BMP cannot tell how it was made", "say --overwrite instead of --resume, or write .png or .tif"
        raise ResumeError("the output that exists may be of another run", path=target, why=why, hint=hint)
    found = read_provenance(target) or {}
    differing = [key for key in provenance if found.get(key) != provenance[key]]
    if differing:
        why = f"it differs in {', '.join(differing)}" if found else "it was not written by dgno"
        hint = "say --overwrite instead of --resume, or choose another output"
        raise ResumeError("the output that exists is not of this run", path=target, why=why, hint=hint)


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
