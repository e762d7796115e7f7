"""Pyramids of slides, made level by level in bounded memory: tiles in, halved tiles out, a scratch file between.

Each level is half as large as the one before, rounded down but at least 1 px, as scanners have it, until the longer
side fits into one tile. A pixel is the mean of the 2 x 2 pixels below it, so that a level lies exactly on
the one before; the last row or column of an odd size has no partner and is left out of the next level.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Plane
from dgno.errors import ConfigError
from dgno.io.slide import SlideFacts, Window

TILE = 512  # px; even, and a multiple of 16 as TIFF wants it
WIDER = {"u1": np.uint16, "u2": np.uint32, "u4": np.uint64, "i1": np.int16, "i2": np.int32, "i4": np.int64}

Source = Callable[[Window, Window, int], Plane]
Blank = Callable[[Window, Window, int], bool]


def level_shapes(shape: tuple[int, int], tile: int = TILE) -> tuple[tuple[int, int], ...]:
    """(h, w) of all levels in px, the full one first."""
    shapes = [shape]
    while max(shapes[-1]) > tile:
        height, width = shapes[-1]
        shapes.append((max(height // 2, 1), max(width // 2, 1)))
    return tuple(shapes)


def halved(block: Plane) -> Shaped[np.ndarray, "half_h half_w c"]:
    """Means of 2 x 2 pixels, integers rounded half to even, in the dtype of the block; a side of 1 px stays one.

    block : (h, w, c), not empty
    Returns (max(h // 2, 1), max(w // 2, 1), c). Floats are added as float64; NaN and infinities spread.
    """
    is_float = block.dtype.kind == "f"
    values: Any = block.astype(np.float64) * 0.25 if is_float else block.astype(WIDER[block.dtype.str[1:]])
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, which is what it should be
        for axis in (0, 1):
            count = values.shape[axis] // 2
            first, second = (np.moveaxis(values, axis, 0)[start : 2 * count or 1 : 2] for start in (0, min(count, 1)))
            values = np.moveaxis(first + second, 0, axis)
    if not is_float:
        values = (values + 1 + (values >> 2 & 1)) >> 2  # v / 4, to the even one of two neighbours that are as near
    return np.ascontiguousarray(values.astype(block.dtype))


@dataclass(frozen=True)
class Grid:
    """The tiles of all planes of one level, numbered plane by plane, row by row.

    shape : (h, w) of the level, px
    planes : how many
    """

    shape: tuple[int, int]
    planes: int
    tile: int = TILE

    @property
    def rows(self) -> int:
        return math.ceil(self.shape[0] / self.tile)

    @property
    def columns(self) -> int:
        return math.ceil(self.shape[1] / self.tile)

    @property
    def count(self) -> int:
        return self.planes * self.rows * self.columns

    def place(self, number: int) -> tuple[int, int, int]:
        """(plane, row, column) of a tile, counted in tiles."""
        plane, rest = divmod(number, self.rows * self.columns)
        return plane, *divmod(rest, self.columns)

    def number(self, plane: int, row: int, column: int) -> int:
        return (plane * self.rows + row) * self.columns + column

    def windows(self, row: int, column: int) -> tuple[Window, Window]:
        """[start, stop) of rows and of columns of a tile, px."""
        top, left = row * self.tile, column * self.tile
        return (top, min(top + self.tile, self.shape[0])), (left, min(left + self.tile, self.shape[1]))


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile of a level: its number in the grid, its (h, w) in px, and its pixels; None: all of them are `fill`."""

    number: int
    shape: tuple[int, int]
    pixels: Plane | None


class Pyramid:
    """All tiles of all levels, one level after the other; each tile must be given to `shrink` before the next level.

    source : gives windows of level 0; asked once for each tile of each plane, in their order
    blank : tells of windows whose pixels are all `facts.fill`; of these `source` is not asked
    folder : for scratch files without a name, which the system removes whatever happens
    """

    def __init__(self, facts: SlideFacts, source: Source, *, blank: Blank | None, folder: Path) -> None:
        self.facts, self.source, self.blank, self.folder = facts, source, blank, folder
        self.grids = [Grid(shape, facts.plane_count) for shape in level_shapes(facts.shape)]
        self.tile_count = sum(grid.count for grid in self.grids)
        self._is_blank = [np.zeros(grid.count, bool) for grid in self.grids]
        self._below: BinaryIO | None = None  # the level before, halved: what this one is made of
        self._own: BinaryIO | None = None  # this one, halved

    def tiles(self, level: int) -> Iterator[Tile]:
        """The tiles of a level in order; levels must be asked for in order, too."""
        self._next_scratch(is_last=level == len(self.grids) - 1)
        grid = self.grids[level]
        for number in range(grid.count):
            plane, row, column = grid.place(number)
            windows = grid.windows(row, column)
            shape = windows[0][1] - windows[0][0], windows[1][1] - windows[1][0]
            pixels = self._read(*windows, plane) if level == 0 else self._joined(level, (plane, row, column), shape)
            self._is_blank[level][number] = pixels is None
            yield Tile(number, shape, pixels)

    def shrink(self, level: int, tile: Tile) -> None:
        """Keep the tile, halved, for the next level. May be called from several threads."""
        if self._own is None or tile.pixels is None:
            return
        height, width = self._quarter(level, tile.number)
        if height and width:
            quarter = halved(tile.pixels)[:height, :width]
            _write_at(self._own.fileno(), np.ascontiguousarray(quarter), self._slot(tile.number))

    def close(self) -> None:
        """Give back the scratch files."""
        for file in (self._below, self._own):
            if file is not None:
                file.close()
        self._below = self._own = None

    def __enter__(self) -> Pyramid:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_scratch(self, *, is_last: bool) -> None:
        if self._below is not None:
            self._below.close()
        self._below, self._own = self._own, None
        if not is_last:
            self._own = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115  # closed by close

    def _read(self, rows: Window, columns: Window, plane: int) -> Plane | None:
        if self.blank is not None and self.blank(rows, columns, plane):
            return None
        pixels = self.source(rows, columns, plane)
        wanted = rows[1] - rows[0], columns[1] - columns[0], self.facts.samples
        if pixels.shape != wanted or pixels.dtype != self.facts.dtype:
            came = f"{pixels.dtype} of shape {pixels.shape}"
            raise ConfigError(f"the source gave {came} for a window of {self.facts.dtype} of shape {wanted}")
        return pixels

    def _joined(self, level: int, place: tuple[int, int, int], shape: tuple[int, int]) -> Plane | None:
        """A tile made of the up to four tiles of the level before; None if all of these are blank."""
        plane, row, column = place
        grid, blank = self.grids[level - 1], self._is_blank[level - 1]
        half = grid.tile // 2
        quarters = []
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            if 2 * row + down < grid.rows and 2 * column + right < grid.columns:
                number = grid.number(plane, 2 * row + down, 2 * column + right)
                height, width = self._quarter(level - 1, number)
                if height and width:
                    window = slice(down * half, down * half + height), slice(right * half, right * half + width)
                    quarters.append((number, window))
        if all(blank[number] for number, _ in quarters):
            return None
        pixels = np.full((*shape, self.facts.samples), self.facts.fill, self.facts.dtype)
        assert self._below is not None
        for number, window in quarters:
            if not blank[number]:
                part = pixels[window]
                pixels[window] = _read_at(self._below.fileno(), part.shape, part.dtype, self._slot(number))
        return pixels

    def _quarter(self, level: int, number: int) -> tuple[int, int]:
        """(h, w) that a tile takes in the next level, px; 0 where it is the odd row or column that is left out."""
        _, *place = self.grids[level].place(number)
        half = self.grids[level].tile // 2
        sizes = [
            min(max(size - half * at, 0), half) for size, at in zip(self.grids[level + 1].shape, place, strict=True)
        ]
        return sizes[0], sizes[1]

    def _slot(self, number: int) -> int:
        """Where in the scratch file the quarter of a tile lies: all have room for a full one, in bytes."""
        return number * (TILE // 2) ** 2 * self.facts.samples * self.facts.dtype.itemsize


def _write_at(descriptor: int, array: np.ndarray, offset: int) -> None:
    data = memoryview(array.data).cast("B")
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _read_at(descriptor: int, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> np.ndarray:
    size = math.prod(shape) * dtype.itemsize
    data = b""
    while len(data) < size:
        piece = os.pread(descriptor, size - len(data), offset + len(data))
        assert piece, "the scratch file is shorter than what was written to it"
        data += piece
    return np.frombuffer(data, dtype).reshape(shape)
