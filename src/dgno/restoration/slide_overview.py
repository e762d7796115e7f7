"""A plane of a slide at low resolution: enough to see where tissue may be, and to show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Plane
from dgno.io.slide import Slide

TIMES = 16.0  # smaller than the slide
MOST = 2**24  # px of an overview: of larger slides it is smaller
WINDOW = 2048  # px, side of what is read at once


@dataclass(frozen=True, eq=False)
class Overview:
    """A plane at low resolution.

    pixels : in the slide's dtype
    shape : (h, w) of the slide's level 0 in px
    """

    pixels: Plane
    shape: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """How many px of level 0 one of its pixels is high, and wide."""
        return self.shape[0] / self.pixels.shape[0], self.shape[1] / self.pixels.shape[1]


def overview(slide: Slide, plane: int = 0, *, times: float = TIMES, most: int = MOST) -> Overview:
    """The plane about `times` smaller, and more where it would have more than `most` px.

    It is the level of the slide nearest to that or, where the nearest is too large, means over squares of that level,
    read in windows. Blank windows are not read.
    """
    height, width = slide.facts.shape
    wanted = max(min(times, height, width), math.sqrt(height * width / most))
    near = [one for one in slide.levels if one.downsample <= 2 * wanted] or list(slide.levels[:1])
    level = min(near, key=lambda one: abs(math.log(one.downsample / wanted)))
    factor = max(1, round(wanted / level.downsample))
    while math.prod(-(-n // factor) for n in level.shape) > most:
        factor += 1
    return Overview(_reduced(slide, plane, slide.levels.index(level), factor), slide.facts.shape)


def _reduced(slide: Slide, plane: int, level: int, factor: int) -> Plane:
    """A level, its squares of `factor` px made one; those at the end may be cut."""
    facts, (height, width) = slide.facts, slide.levels[level].shape
    small = np.full((-(-height // factor), -(-width // factor), facts.samples), facts.fill, facts.dtype)
    side = max(WINDOW // factor, 1) * factor
    for top in range(0, height, side):
        for left in range(0, width, side):
            rows, columns = (top, min(top + side, height)), (left, min(left + side, width))
            if slide.is_blank(rows, columns, level=level, plane=plane):
                continue
            means = _means(slide.read(rows, columns, level=level, plane=plane), factor)
            down, along = top // factor, left // factor
            small[down : down + len(means), along : along + means.shape[1]] = _as_stored(means, facts.dtype)
    return small


def _means(window: Plane, factor: int) -> Shaped[np.ndarray, "rows columns c"]:
    """Over squares of `factor` px; those at the end have fewer."""
    if factor == 1:
        return window
    height, width, _ = window.shape
    tops, lefts = (np.arange(0, n, factor) for n in (height, width))
    total = np.add.reduceat(np.add.reduceat(window, tops, 0, dtype=np.float64), lefts, 1)
    down, along = (np.diff([*starts, n]) for starts, n in ((tops, height), (lefts, width)))
    return total / (down[:, None, None] * along[:, None])


def _as_stored(values: np.ndarray, dtype: np.dtype) -> Plane:
    if dtype.kind == "f" or values.dtype == dtype:
        return values.astype(dtype)
    return np.rint(values).astype(dtype)
