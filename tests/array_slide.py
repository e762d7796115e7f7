"""A slide in memory: planes of an array, with levels by halving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from dgno.errors import UnreadableInput
from dgno.io.slide import BadTile, Level, Slide, SlideFacts, Window
from dgno.value_ranges import guess_value_range

BLOCK = 256  # px, of the pieces that can be blank or broken


class ArraySlide(Slide):
    """Planes (h, w), (h, w, 3) or, with axes, (..., h, w[, 3]) as a slide.

    levels : how many; each is half as large as the one before, the mean of 2 x 2 px of it
    facts : of `SlideFacts`, in place of what the array says
    broken : (level, plane, row, column) of pixels whose BLOCK cannot be read
    reads : windows that were read, as (level, plane, rows, columns)
    """

    def __init__(
        self,
        pixels: np.ndarray,
        axes: str = "",
        *,
        levels: int = 1,
        broken: tuple[tuple[int, int, int, int], ...] = (),
        on_bad_tile: str = "fail",
        **facts: Any,  # of any field of SlideFacts
    ) -> None:
        samples = pixels.shape[-1] if pixels.ndim - len(axes) == 3 else 1
        shape = pixels.shape[len(axes) : len(axes) + 2]
        whole = pixels.reshape(-1, *shape, samples)
        self._pyramid = [whole]
        for _ in range(levels - 1):
            self._pyramid.append(halved(self._pyramid[-1]))
        self.path, self.format, self.reader = Path("array.svs"), "svs", "numpy"
        known = SlideFacts(
            shape=(shape[0], shape[1]),
            dtype=pixels.dtype,
            samples=samples,
            axes=axes,
            sizes=tuple(pixels.shape[: len(axes)]),
            value_range=guess_value_range(pixels)[0],
        )
        self.facts = replace(known, **facts)
        self.levels = tuple(
            Level((one.shape[1], one.shape[2]), shape[0] / one.shape[1], (BLOCK, BLOCK)) for one in self._pyramid
        )
        self.associated = MappingProxyType({})
        self.bad_tiles: list[BadTile] = []
        self.notes: tuple[str, ...] = ()
        self.reads: list[tuple[int, int, Window, Window]] = []
        self._broken, self._on_bad_tile = broken, on_bad_tile

    def read(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> np.ndarray:
        """A copy, so that whoever changes it does not change the slide."""
        height, width = self.levels[level].shape
        assert 0 <= rows[0] < rows[1] <= height, (rows, height)
        assert 0 <= columns[0] < columns[1] <= width, (columns, width)
        self.reads.append((level, plane, rows, columns))
        window: np.ndarray = self._pyramid[level][plane, slice(*rows), slice(*columns)].copy()
        for where in self._broken:
            if where[:2] == (level, plane):
                self._spoil(window, where, rows, columns)
        return window

    def _spoil(self, window: np.ndarray, where: tuple[int, int, int, int], rows: Window, columns: Window) -> None:
        level, plane, *place = where
        down, along = ((i // BLOCK * BLOCK, (i // BLOCK + 1) * BLOCK) for i in place)
        inside = tuple(
            slice(max(piece[0] - wanted[0], 0), max(min(piece[1], wanted[1]) - wanted[0], 0))
            for piece, wanted in ((down, rows), (along, columns))
        )
        if window[inside].size == 0:
            return
        if self._on_bad_tile == "fail":
            raise UnreadableInput(f"the tile at row {down[0]}, column {along[0]} is broken", path=self.path)
        window[inside] = self.facts.fill
        bad = BadTile(level, plane, down, along, "broken on purpose")
        if bad not in self.bad_tiles:
            self.bad_tiles.append(bad)

    def is_blank(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> bool:
        """Are the BLOCKs that the window touches all `fill`?"""
        starts = [slice(start // BLOCK * BLOCK, -(-stop // BLOCK) * BLOCK) for start, stop in (rows, columns)]
        return bool((self._pyramid[level][plane, starts[0], starts[1]] == self.facts.fill).all())

    def read_associated(self, name: str) -> np.ndarray:
        raise KeyError(name)

    def fingerprint(self) -> tuple[int, ...]:
        return (id(self._pyramid[0]),)

    def close(self) -> None:
        self.reads.clear()


def halved(planes: np.ndarray) -> np.ndarray:
    """(n, h, w, c) -> the means of 2 x 2 px; of an odd side the last pixel is left out."""
    n, h, w, c = planes.shape
    even = planes[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
    means = even.mean((2, 4), dtype=np.float64)
    return means.astype(planes.dtype) if planes.dtype.kind == "f" else np.rint(means).astype(planes.dtype)
