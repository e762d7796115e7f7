"""Slides as TIFF, tile by tile: the levels as SubIFDs of OME-TIFF, or as pages after the full one.

Byte for byte the same for the same pixels and facts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Literal

import imagecodecs
import numpy as np
from tifffile import FileHandle, TiffFile, TiffWriter

from dgno.arrays import Plane
from dgno.errors import DgnoError, OutputError
from dgno.io.ome_write import ome_document
from dgno.io.opening import muted, shortened
from dgno.io.provenance import software
from dgno.io.pyramid import TILE, Grid, Pyramid, Tile
from dgno.io.tiff_write import LARGEST_CLASSIC, ORIENTATION, VENDORS, range_tags
from dgno.io.tile_codecs import (
    AHEAD,
    FAULT,
    SlideCompression,
    checked_tiles,
    hash_of,
    in_order,
    tiff_arguments,
    tiff_encoder,
)

TiffKind = Literal["ome-tiff", "tiff-pyramid"]
REDUCED = 1  # NewSubfileType


class TiffPyramid:
    """Writes a pyramid to a file, and reads some of it back.

    pyramid : gives the tiles
    kind : "ome-tiff" or "tiff-pyramid" (one plane)
    quality : of JPEG, 1 to 100
    provenance : what made the slide, by key
    workers : threads that halve and encode
    done : called for every tile that is written
    """

    def __init__(
        self,
        pyramid: Pyramid,
        kind: TiffKind,
        *,
        compression: SlideCompression,
        quality: int,
        provenance: Mapping[str, str] | None,
        workers: int,
        done: Callable[[], None],
    ) -> None:
        self.pyramid, self.kind, self.compression, self.quality = pyramid, kind, compression, quality
        self.provenance, self.workers, self.done = provenance, workers, done
        self.encode = tiff_encoder(pyramid.facts, compression, quality)
        self._blanks: dict[tuple[int, int], bytes] = {}
        self._hashes: dict[tuple[int, int], str] = {}

    def write(self, file: BinaryIO) -> None:
        """Write all levels; BigTIFF where they could need it if nothing were compressed."""
        facts, levels = self.pyramid.facts, len(self.pyramid.grids)
        bound = sum(grid.count for grid in self.pyramid.grids) * TILE**2 * facts.samples * facts.dtype.itemsize
        handle = FileHandle(file, name="slide.tif")
        pool = ThreadPoolExecutor(self.workers) if self.workers > 1 else None
        try:
            with TiffWriter(handle, bigtiff=bound >= LARGEST_CLASSIC, byteorder="<", ome=False, shaped=False) as writer:
                for level, grid in enumerate(self.pyramid.grids):
                    has_children = self.kind == "ome-tiff" and level == 0 and levels > 1
                    writer.write(
                        self._encoded(level, pool),
                        **self._layout(grid),
                        **tiff_arguments(facts, self.compression),
                        **self._description(level),
                        subfiletype=REDUCED if level else 0,
                        subifds=levels - 1 if has_children else None,
                        metadata=None,
                        software=software(),
                    )
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def check(self, path: Path) -> None:
        """Read back the levels and some of their tiles. Raises OutputError."""
        try:
            with muted(), TiffFile(path) as tiff:
                self._check(tiff)
        except (DgnoError, OSError, MemoryError):
            raise
        except Exception as error:  # whatever a decoder raises on broken contents
            raise OutputError("what was written cannot be read back", why=shortened(error), hint=FAULT) from error

    def _check(self, tiff: TiffFile) -> None:
        grids, facts = self.pyramid.grids, self.pyramid.facts
        levels = _levels(tiff, self.kind)
        shapes = [(level[0].keyframe.imagelength, level[0].keyframe.imagewidth) for level in levels]
        if shapes != [grid.shape for grid in grids]:
            raise OutputError("what was written does not have the levels it should", why=str(shapes), hint=FAULT)
        for number, level in enumerate(levels):
            if level[0].keyframe.dtype != facts.dtype or len(level) != facts.plane_count:
                raise OutputError(f"level {number} does not read back as it was written", hint=FAULT)
            for tile in checked_tiles(grids[number]):
                if hash_of(self._decoded(level, grids[number], tile)) != self._hashes[number, tile]:
                    raise OutputError(f"tile {tile} of level {number} does not read back the same", hint=FAULT)

    def _encoded(self, level: int, pool: ThreadPoolExecutor | None) -> Iterator[bytes]:
        checked = checked_tiles(self.pyramid.grids[level])

        def work(tile: Tile) -> tuple[bytes, str]:
            self.pyramid.shrink(level, tile)
            data = self._blank(tile.shape) if tile.pixels is None else self.encode(tile.pixels)
            return data, self._expected(tile, data) if tile.number in checked else ""

        for number, (data, digest) in enumerate(in_order(work, self.pyramid.tiles(level), pool, AHEAD * self.workers)):
            if digest:
                self._hashes[level, number] = digest
            self.done()
            yield data  # not resumed after the last one

    def _blank(self, shape: tuple[int, int]) -> bytes:
        """The bytes of a tile that is `fill`, encoded once for each shape."""
        if shape not in self._blanks:
            self._blanks[shape] = self.encode(self._constant(shape))
        return self._blanks[shape]

    def _constant(self, shape: tuple[int, int]) -> Plane:
        facts = self.pyramid.facts
        return np.full((*shape, facts.samples), facts.fill, facts.dtype)

    def _expected(self, tile: Tile, data: bytes) -> str:
        """The hash of what a reader must find: the pixels, or what a decoder makes of JPEG."""
        if self.compression != "jpeg":
            return hash_of(self._constant(tile.shape) if tile.pixels is None else tile.pixels)
        decoded = imagecodecs.jpeg8_decode(data).reshape(TILE, TILE, -1)
        return hash_of(decoded[: tile.shape[0], : tile.shape[1]])

    def _decoded(self, pages: Sequence[Any], grid: Grid, number: int) -> Plane:
        """The pixels of a tile; pages are those of tifffile, one a plane."""
        plane, row, column = grid.place(number)
        page = pages[plane]
        index = row * grid.columns + column
        decode, file = page.keyframe.decode, page.parent.filehandle  # the first moves the place in the second
        file.seek(page.dataoffsets[index])
        segment = decode(file.read(page.databytecounts[index]), index)[0]
        rows, columns = grid.windows(row, column)
        pixels: Plane = segment.reshape(*segment.shape[-3:])[: rows[1] - rows[0], : columns[1] - columns[0]]
        return pixels

    def _layout(self, grid: Grid) -> dict[str, Any]:  # Any: arguments of tifffile
        facts = self.pyramid.facts
        shape = (facts.plane_count, *grid.shape, *([3] if facts.samples == 3 else []))
        colours = {"photometric": "rgb", "planarconfig": "contig"} if facts.samples == 3 else {}
        return {"photometric": "minisblack", "shape": shape, "dtype": facts.dtype, "tile": (TILE, TILE)} | colours

    def _description(self, level: int) -> dict[str, Any]:
        """What the tags say beside the pixels; resolutions are those of the level."""
        facts = self.pyramid.facts
        tags = [(ORIENTATION, "H", 1, facts.stored.orientation, False)] if facts.stored.orientation != 1 else []
        if facts.limits is None and _is_worth_saying(facts.value_range, facts.dtype):
            tags += range_tags(facts.value_range, facts.dtype, facts.samples)
        arguments: dict[str, Any] = {"extratags": tags}
        if facts.pixel_size:
            rows, columns = (size * 2**level for size in facts.pixel_size)
            arguments |= {"resolution": (1e4 / columns, 1e4 / rows), "resolutionunit": "CENTIMETER"}
        if level == 0:
            text = self._document() if self.kind == "ome-tiff" else self._text()
            arguments |= {"description": text or None, "iccprofile": facts.icc_profile}
        return arguments

    def _document(self) -> bytes:
        """OME-XML, which has no place for the quality of JPEG but the annotation of dgno."""
        lossy = {"compression": f"JPEG of quality {self.quality}"} if self.compression == "jpeg" else {}
        return ome_document([self.pyramid.facts], dict(self.provenance or {}) | lossy)

    def _text(self) -> str:
        """The description of a file of pages: its own text, or JSON where more is to be said.

        Without "shape", by which tifffile would take the levels for images of their own.
        """
        facts = self.pyramid.facts
        own = "" if facts.stored.description.startswith(VENDORS) else facts.stored.description
        more: dict[str, Any] = {"channel_names": list(facts.channel_names)} if facts.channel_names else {}
        more |= {"magnification": facts.magnification} if facts.magnification is not None else {}
        more |= {"jpeg_quality": self.quality} if self.compression == "jpeg" else {}
        more |= {"dgno": dict(sorted(self.provenance.items()))} if self.provenance else {}
        if not more:
            return own if own.isascii() else json.dumps({"description": own})
        return json.dumps(({"description": facts.stored.description} if facts.stored.description else {}) | more)


def _levels(tiff: TiffFile, kind: TiffKind) -> list[list[Any]]:  # Any: pages of tifffile
    """The pages of every level, one a plane. (Pages with a side of 1 px are no levels to tifffile.)"""
    if kind == "tiff-pyramid":
        return [[page] for page in tiff.pages]
    return [list(level.pages) for level in tiff.series[0].levels]


def _is_worth_saying(value_range: tuple[float, float], dtype: np.dtype[Any]) -> bool:
    """Can the dtype hold this range, and would readers not take it anyway?"""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return limits.min <= value_range[0] < value_range[1] <= limits.max and (
        dtype != np.uint8 or value_range != (0, 255)
    )
