"""Slides as OME-Zarr (NGFF 0.4 and 0.5, sharded or not), read by zarr-python chunk by chunk.

zarr takes a chunk that is not there for one of nothing but the fill value. Here it is looked for first: unless
`complete.json` (zarr_metadata.py) says that it was left out, a missing chunk is an error, and so is one whose checksum
or size is wrong.
"""

from __future__ import annotations

import stat
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Plane
from dgno.errors import ConfigError, MissingInput, NotAFile, UnreadableInput
from dgno.io.block_slide import CACHE_BYTES, Block, BlockSlide
from dgno.io.limits import DEFAULT_LIMITS, Limits
from dgno.io.opening import naming
from dgno.io.slide import Level, OnBadTile, SlideFacts
from dgno.io.zarr_level import ZarrLevel
from dgno.io.zarr_metadata import is_zarr, more_attributes, own_facts, read_multiscale
from dgno.stored import Stored
from dgno.value_ranges import Guess, guess_value_range

LEFT_OUT = "copy it again; if whoever wrote it leaves out chunks of nothing but the fill value, mask them (on_bad_tile)"
SAMPLED_CHUNKS = 12


class ZarrSlide(BlockSlide):
    """A slide in the folder of an OME-Zarr."""

    reader = "zarr"
    format = "ome-zarr"

    def __init__(
        self,
        path: Path,
        *,
        on_bad_tile: OnBadTile = "fail",
        limits: Limits = DEFAULT_LIMITS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(on_bad_tile=on_bad_tile, cache_bytes=cache_bytes)
        self.path, self.associated = path, {}
        with naming(path):
            if not path.exists():
                raise MissingInput("there is no such folder", hint="check the name")
            if not path.is_dir() or not is_zarr(path):
                raise NotAFile("a folder, and no OME-Zarr", hint="give an image file, or the folder of an OME-Zarr")
            self._image = read_multiscale(path, limits)
            self._arrays = [ZarrLevel(path, name, self._image, limits) for name in self._image.paths]
            self._describe()

    def fetch(self, level: int, plane: int, block: Block) -> Plane | None:
        array, samples = self._arrays[level], self.facts.samples
        region = array.region(plane, block, samples)
        chunks = list(array.chunks_of(region))
        if all(map(array.is_left_out, chunks)):
            return None
        for chunk in chunks:
            if not (array.is_left_out(chunk) or array.is_there(chunk)):
                raise UnreadableInput(f"the chunk {array.key(chunk)} is missing", hint=LEFT_OUT)
        pixels = array.read(region)
        tall, wide = pixels.shape[-2:]
        whole: Plane = np.ascontiguousarray(np.moveaxis(pixels.reshape(samples, tall, wide), 0, -1))
        return whole

    def is_stored(self, level: int, plane: int, block: Block) -> bool:
        array = self._arrays[level]
        return not all(map(array.is_left_out, array.chunks_of(array.region(plane, block, self.facts.samples))))

    def read_associated(self, name: str) -> Shaped[np.ndarray, "h w c"]:
        raise ConfigError(f"the slide has no picture {name!r}", hint="an OME-Zarr has none")

    def fingerprint(self) -> tuple[int, ...]:
        """One number of all files: their names, inodes, sizes and times of the last change; and how many they are."""
        total, count = 0, 0
        for file in sorted(self.path.rglob("*")):
            now = file.stat()
            if stat.S_ISREG(now.st_mode):
                facts = f"{file.relative_to(self.path)}|{now.st_ino}|{now.st_size}|{now.st_mtime_ns}"
                total, count = zlib.crc32(facts.encode("utf-8", "surrogateescape"), total), count + 1
        return (count, total)

    def _describe(self) -> None:
        image, first = self._image, self._arrays[0]
        planes = dict(zip(image.axes[:-2], first.shape[:-2], strict=True))
        if image.samples > 1 and planes.pop("C", 0) != image.samples:
            raise UnreadableInput(f"the axis c is to be {image.samples} colours, and is not")
        planes = {axis: length for axis, length in planes.items() if length > 1}
        levels: list[Level] = []
        for array in self._arrays:
            if array.shape[:-2] != first.shape[:-2] or array.dtype != first.dtype:
                why = f"{array.dtype} of shape {array.shape}, and {first.dtype} of {first.shape}"
                raise UnreadableInput(f"level {array.name} of the OME-Zarr does not fit level 0", why=why)
            (height, width), (tall, wide) = array.shape[-2:], array.chunks[-2:]
            factor = (first.shape[-2] / height + first.shape[-1] / width) / 2
            if levels and factor <= levels[-1].downsample:
                raise UnreadableInput(f"level {array.name} is not smaller than the one before")
            levels.append(Level((height, width), factor, (min(tall, height), min(wide, width)), array.compression))
        self.levels = tuple(levels)
        own = own_facts(image.attributes)
        known = Guess(own.value_range, own.limits) if own.value_range else self._range()
        names = image.channel_names if own.channel_names is None else own.channel_names
        self.facts = SlideFacts(
            self.levels[0].shape, first.dtype, image.samples, "".join(planes), tuple(planes.values()),
            known.value_range, image.pixel_size,
            magnification=own.magnification,
            channel_names=names if len(names) == planes.get("C", 1) else (),
            icc_profile=own.icc_profile,
            fill=first.fill,
            properties={
                "ngff.version": image.version,
                "zarr.format": str(first.format),
                **more_attributes(image.attributes),
            },
            stored=Stored("ome-zarr", planes=image.planes, display=image.display),
            limits=known.limits,
        )  # fmt: skip
        self.notes = (*image.notes, *known.notes)

    def _range(self) -> Guess:
        """Black and white: 8 bits as they are, else guessed from some chunks of the smallest and the largest level."""
        first = self._arrays[0]
        values = [np.zeros(1, first.dtype)]
        if first.dtype.itemsize > 1:
            for array in {self._arrays[-1].name: self._arrays[-1], first.name: first}.values():
                values += array.sampled(SAMPLED_CHUNKS)
        guess = guess_value_range(np.concatenate(values))
        told = (note.replace("from the data", "from samples of the data") for note in guess.notes)
        return guess._replace(notes=tuple(told))
