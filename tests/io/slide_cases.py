"""Slides to write, and what their levels must be by a plain formula."""

from __future__ import annotations

import numpy as np

from dgno.io.slide import SlideFacts


def pixels_of(facts: SlideFacts, seed: int = 0) -> np.ndarray:
    """(planes, h, w, samples): noise over the whole range of the dtype, on a slope so that no two tiles are equal."""
    rng = np.random.default_rng(seed)
    shape = (facts.plane_count, *facts.shape, facts.samples)
    if facts.dtype.kind == "f":
        return rng.normal(0, 1e4, shape).astype(facts.dtype)
    info = np.iinfo(facts.dtype)
    return rng.integers(info.min, info.max, shape, facts.dtype, endpoint=True)


class Source:
    """Windows of an array; remembers which were asked for."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.asked = pixels, []

    def __call__(self, rows, columns, plane):
        self.asked.append((plane, rows, columns))
        return self.pixels[plane, slice(*rows), slice(*columns)]


def next_level(plane: np.ndarray) -> np.ndarray:
    """The mean of 2 x 2 pixels in exact arithmetic, rounded half to even; a side of 1 px stays one."""
    height, width = plane.shape[:2]
    rows = [0, 0] if height == 1 else [0, 1]
    columns = [0, 0] if width == 1 else [0, 1]
    high, wide = max(height // 2, 1), max(width // 2, 1)
    values = plane.astype(np.float64) / 4
    left, right = (sum(values[r : r + 2 * high - 1 : 2, c : c + 2 * wide - 1 : 2] for r in rows) for c in columns)
    mean = left + right
    return (mean if plane.dtype.kind == "f" else np.rint(mean)).astype(plane.dtype)


def all_levels(plane: np.ndarray, tile: int = 512) -> list[np.ndarray]:
    levels = [plane]
    while max(levels[-1].shape[:2]) > tile:
        levels.append(next_level(levels[-1]))
    return levels
