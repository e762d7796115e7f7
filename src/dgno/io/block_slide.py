"""Windows of slides that are stored in a grid of blocks: tiles, strips or chunks.

A window is put together from its blocks, which a bounded cache keeps decoded. A block that cannot be read is never
filled in silence: it raises, with its place, or it is listed.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dgno.arrays import Plane
from dgno.errors import ConfigError, UnreadableInput
from dgno.io.block_cache import BlockCache
from dgno.io.opening import COPY_AGAIN, naming
from dgno.io.slide import BadTile, OnBadTile, Slide, Window

CACHE_BYTES = 2**24
BAND, LARGEST_BAND = 1024, 2**28  # px, bytes: of files in strips so many rows are kept, for windows side by side
MASK = "copy it again from its source, or have broken tiles masked (--on-bad-tile mask)"


@dataclass(frozen=True)
class Block:
    """A block in the grid of a level: its row and column there, and the pixels that it covers inside the level."""

    row: int
    column: int
    rows: Window
    columns: Window


class BlockSlide(Slide):
    """A slide whose levels are grids of blocks. Who derives from it sets the facts, and gives single blocks."""

    def __init__(self, *, on_bad_tile: OnBadTile, cache_bytes: int) -> None:
        """cache_bytes : of decoded blocks in memory; of a file in strips more, see BAND"""
        self.on_bad_tile = on_bad_tile
        self.bad_tiles: list[BadTile] = []
        self.closed = False
        self._cache = BlockCache(cache_bytes)
        self._bad: set[tuple[int, int, int, int]] = set()
        self._lock = threading.Lock()

    @abstractmethod
    def fetch(self, level: int, plane: int, block: Block) -> Plane | None:
        """The decoded pixels of a block, at least those inside the level; None if it was never stored."""

    @abstractmethod
    def is_stored(self, level: int, plane: int, block: Block) -> bool:
        """Does the file hold something for the block?"""

    def read(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> Plane:
        self._check_window(rows, columns, level, plane)
        shape = (rows[1] - rows[0], columns[1] - columns[0], self.facts.samples)
        self._cache.capacity = max(self._cache.capacity, self._band(level))
        window = np.full(shape, self.facts.fill, self.facts.dtype)
        for block in self.blocks(rows, columns, level):
            pixels = self._pixels(level, plane, block)
            if pixels is None:
                continue
            top, bottom = max(rows[0], block.rows[0]), min(rows[1], block.rows[1])
            left, right = max(columns[0], block.columns[0]), min(columns[1], block.columns[1])
            window[top - rows[0] : bottom - rows[0], left - columns[0] : right - columns[0]] = pixels[
                top - block.rows[0] : bottom - block.rows[0], left - block.columns[0] : right - block.columns[0]
            ]
        return window

    def is_blank(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> bool:
        self._check_window(rows, columns, level, plane)
        return not any(self.is_stored(level, plane, block) for block in self.blocks(rows, columns, level))

    def blocks(self, rows: Window, columns: Window, level: int) -> Iterator[Block]:
        """The blocks that a window touches."""
        (height, width), (tall, wide) = self.levels[level].shape, self.levels[level].block
        for row in range(rows[0] // tall, -(-rows[1] // tall)):
            for column in range(columns[0] // wide, -(-columns[1] // wide)):
                yield Block(
                    row,
                    column,
                    (row * tall, min(height, (row + 1) * tall)),
                    (column * wide, min(width, (column + 1) * wide)),
                )

    def close(self) -> None:
        self.closed = True
        self._cache.clear()

    def _band(self, level: int) -> int:
        """Bytes of the strips that windows in one row of tiles share; 0 for a level in tiles."""
        (_, width), (tall, wide) = self.levels[level].shape, self.levels[level].block
        if wide < width:
            return 0
        rows = tall * (-(-BAND // tall) + 1)
        return min(rows * width * self.facts.samples * self.facts.dtype.itemsize, LARGEST_BAND)

    def _pixels(self, level: int, plane: int, block: Block) -> Plane | None:
        """The pixels of a block, from the cache or the file; None stands for `fill`."""
        key = (level, plane, block.row, block.column)
        is_known, pixels = self._cache.get(key)
        if is_known:
            return pixels
        try:
            with naming(self.path):
                pixels = self.fetch(level, plane, block)
        except UnreadableInput as error:
            broken = self._broken(level, plane, block, error)
            if self.on_bad_tile == "fail" or isinstance(error.__cause__, OSError):  # a disk is no tile
                raise broken from error
            self._note_bad(key, BadTile(level, plane, block.rows, block.columns, error.why or error.what))
            pixels = None
        self._cache.put(key, pixels)
        return pixels

    def _note_bad(self, key: tuple[int, int, int, int], tile: BadTile) -> None:
        with self._lock:
            if key not in self._bad:
                self._bad.add(key)
                self.bad_tiles.append(tile)

    def _broken(self, level: int, plane: int, block: Block, error: UnreadableInput) -> UnreadableInput:
        """The same error, with the place in the slide."""
        (top, bottom), (left, right) = block.rows, block.columns
        which = f"level {level}" + (f", plane {plane}" if self.facts.plane_count > 1 else "")
        place = f"rows {top} to {bottom - 1} and columns {left} to {right - 1} of {which}"
        reason = ": ".join(text for text in (error.what, error.why) if text and text != "broken image")
        hint = MASK if error.hint == COPY_AGAIN else error.hint
        what = f"the tile in row {block.row}, column {block.column} of the slide cannot be read"
        return type(error)(what, path=self.path, why=f"{place}: {reason}", hint=hint)

    def _check_window(self, rows: Window, columns: Window, level: int, plane: int) -> None:
        if self.closed:
            raise ConfigError("the slide is closed", hint="read inside its `with` block")
        if not (0 <= level < len(self.levels) and 0 <= plane < self.facts.plane_count):
            there = f"levels 0 to {len(self.levels) - 1} and planes 0 to {self.facts.plane_count - 1}"
            raise ConfigError(f"level {level}, plane {plane} was asked for; the slide has {there}")
        height, width = self.levels[level].shape
        if not (0 <= rows[0] < rows[1] <= height and 0 <= columns[0] < columns[1] <= width):
            what = f"rows {rows[0]} to {rows[1]}, columns {columns[0]} to {columns[1]} of level {level}"
            raise ConfigError(f"{what} were asked for; it has {height} x {width} px")
