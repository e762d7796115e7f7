"""Slides in TIFF files: Aperio SVS, Hamamatsu NDPI, tiled and striped TIFF, BigTIFF, OME-TIFF with SubIFDs.

tifffile tells pages, levels and series; tiles and strips are read and decoded one by one (tiff_blocks.py). tiffslide
stands on tifffile and its zarr store, in which a tile without bytes comes back black, and one whose JPEG data were cut
inside comes back gray where they are missing, both without a word: tried with tiffslide 3.0.1 and tifffile 2026.3.3 on
copies of a slide of JPEG tiles. (OpenSlide 4.0.1 refuses the second, and gives the first as transparent.) Here the
first is known as blank (`is_blank`) and takes `fill`, and the second is an error that names its place.
"""

from __future__ import annotations

import math
from contextlib import ExitStack

import numpy as np
from jaxtyping import Shaped
from tifffile import TiffFile

from dgno.arrays import Plane
from dgno.errors import ConfigError, InputError
from dgno.io.block_slide import CACHE_BYTES, Block, BlockSlide
from dgno.io.limits import DEFAULT_LIMITS, Limits
from dgno.io.ome import OmeImage
from dgno.io.ome_files import described_set, open_set
from dgno.io.opening import Opened, extension_note, naming
from dgno.io.slide import OnBadTile
from dgno.io.slide_tiff_facts import facts_of
from dgno.io.source import Source
from dgno.io.tiff_levels import find_pyramid, whole
from dgno.io.tiff_read import assigned, check_messages, interpretation
from dgno.io.tiff_structure import Structure

FORMATS = {"svs": "svs", "ndpi": "ndpi", "ome": "ome-tiff"}
SAMPLED_BLOCKS = 12  # of a level, from which a range that the file does not declare is guessed


class TiffSlide(BlockSlide):
    """A slide in a TIFF file, or in the several of one OME-TIFF."""

    reader = "tifffile"

    def __init__(
        self,
        opened: Opened,
        *,
        on_bad_tile: OnBadTile = "fail",
        limits: Limits = DEFAULT_LIMITS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(on_bad_tile=on_bad_tile, cache_bytes=cache_bytes)
        self.path = opened.path
        self._sources = [Source(opened)]
        try:
            self._open(opened, limits)
        except BaseException:
            self.close()
            raise

    def fetch(self, level: int, plane: int, block: Block) -> Plane | None:
        place = self._planes[level][plane]
        pixels = place.blocks.read(block.row, block.column)
        if pixels is None or place.sample is None:
            return pixels
        return np.ascontiguousarray(pixels[..., place.sample : place.sample + 1])

    def is_stored(self, level: int, plane: int, block: Block) -> bool:
        return self._planes[level][plane].blocks.is_stored(block.row, block.column)

    def read_associated(self, name: str) -> Shaped[np.ndarray, "h w c"]:
        if name not in self._pictures:
            there = ", ".join(self._pictures) or "none"
            raise ConfigError(f"the slide has no picture {name!r}", hint=f"those it has: {there}")
        with naming(self.path):
            return whole(self._pictures[name])

    def fingerprint(self) -> tuple[int, ...]:
        return tuple(number for source in self._sources for number in source.fingerprint())

    def close(self) -> None:
        super().close()
        for source in self._sources:
            source.close()

    def _open(self, opened: Opened, limits: Limits) -> None:
        structure = Structure(opened.file, opened.size, limits)
        document = structure.description()
        file_set = described_set(document, limits)
        with ExitStack() as files:
            if file_set is not None:
                ome: OmeImage | None = file_set.ome
                pyramid, notes = open_set(file_set, opened, self._sources, files, limits), list[str]()
            else:
                flags, images, notes = interpretation(structure, limits)
                opened.file.seek(0)
                tiff = files.enter_context(TiffFile(opened.file, name=opened.path.name, _multifile=False, **flags))
                described_by = assigned(tiff.series, images)
                check_messages(opened.messages)
                pyramid = find_pyramid(tiff, self._sources[0], limits)
                ome = described_by.get(pyramid.keyframe.index)
            check_messages(opened.messages)
            self.format = FORMATS.get(pyramid.kind, "tiff")
            self.levels, self._planes, self._pictures = pyramid.levels, pyramid.planes, pyramid.pictures
            self.facts, told = facts_of(pyramid, ome, document, self._sampled, limits)
        self.associated = {name: blocks.shape for name, blocks in self._pictures.items()}
        self.notes = (*extension_note(opened.path, "tiff"), *notes, *pyramid.notes, *told, *self._blank_note())

    def _blank_note(self) -> tuple[str, ...]:
        places = [place.blocks for place in self._planes[0]]
        blank = sum(blocks.blank for blocks in places)
        every = sum(math.prod(blocks.grid) for blocks in places)
        return (f"{blank} of {every} tiles of level 0 were never stored, and are blank",) if blank else ()

    def _sampled(self) -> np.ndarray:
        """Values from blocks of the smallest and of the largest level, spread over planes; broken ones are passed."""
        values = [np.zeros(1, self._planes[0][0].blocks.read_dtype)]
        for level in {len(self.levels) - 1, 0}:
            planes = self._planes[level]
            grid = planes[0].blocks.grid
            count = len(planes) * math.prod(grid)
            for number in np.unique(np.linspace(0, count - 1, min(count, SAMPLED_BLOCKS)).astype(int)).tolist():
                plane, row, column = (int(i) for i in np.unravel_index(number, (len(planes), *grid)))
                try:
                    pixels = planes[plane].blocks.read(row, column)
                except InputError:  # whoever reads it will hear of it
                    continue
                if pixels is not None:
                    values.append(pixels.ravel())
        return np.concatenate(values)
