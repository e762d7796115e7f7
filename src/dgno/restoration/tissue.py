"""Where in a plane there is anything to be blurred: tissue and cells, not empty glass nor the dark ground.

All in squares of CELL px. A square is empty if it is flat, it and its neighbours, and of the level of the ground: glass
has the colour of the light, in whatever shade; the dark ground of fluorescence is the lowest flat level. Flatness alone
does not do, for what is much blurred is flat as well; nor does the level alone, for stroma is pale and nuclei are dim.
Stained tissue without any glass has no ground, and all of it is tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.ndimage import binary_dilation, binary_opening, generate_binary_structure, uniform_filter

from dgno.arrays import Image, Opacity, Plane
from dgno.optics.blur_types import CELL

DARK = 0.35  # of the range: colour images whose middle value lies below are fluorescence
BIN = CELL // 2  # px; detail is averaged over bins of this side, which takes three quarters of the noise away
FLAT = 0.008, 0.02  # standard deviation of the bins around a flat square, least and most; in between by the noise
NOISE = 2.5  # times the flattest squares of the plane is flat as well
LEVEL = 0.03  # from the lowest flat level: ground of gray images
DENSITY = 0.1  # decadic, against the brightest glass: glass that is in the shade of the vignette
TINT = 0.03  # decadic, by which densities of the colours differ: a stain
ROUNDING = 1e-7  # standard deviation of bins that are equal
DIM, COLOURFUL = 0.35, 0.15  # of the range, and of the brightest colour: darker, or more colourful, is no glass
SOFT = 3  # bins beside padding: its border cuts the first two, and compression makes it soft
MARGIN = 2  # squares around tissue that belong to it: the light of a blurred object lies beyond its border
REACH = (MARGIN + 5) * CELL  # px around a square that decide whether it is tissue, or of its margin

Grid = Bool[np.ndarray, "rows columns"]
Bins = Float[np.ndarray, "rows2 columns2 c"]


def is_bright_field(image: Image) -> bool:
    """Is it a colour image on a bright ground?"""
    if not image.is_colour or image.pixels.size == 0:
        return False
    low, high = image.value_range
    middle = float(np.median(next(image.planes())[::4, ::4].mean(-1)))
    return middle > low + DARK * (high - low)


@dataclass(frozen=True, eq=False)
class Ground:
    """What the empty parts of a plane are like: what is needed to tell tissue in any part of it.

    scale : values of black and white
    extremes : smallest and largest value
    flat : standard deviation of the bins up to which a square is flat
    level : of a dark or bright ground; None where there is none
    light : the colour of glass; None where there is none
    """

    scale: tuple[float, float]
    extremes: tuple[float, float]
    flat: float = 0.0
    level: float | None = None
    light: Float[np.ndarray, " c"] | None = None

    def has(self, means: Float[np.ndarray, "*squares c"]) -> Bool[np.ndarray, "*squares"]:
        """Are squares of these means of the level of the ground?"""
        if self.light is not None:
            density = np.log10(self.light / means[..., :3].clip(1e-3))
            return (density.mean(-1) < DENSITY) & (np.ptp(density, axis=-1) < TINT)
        if self.level is None:
            return np.zeros(means.shape[:-1], bool)
        return np.abs(means.mean(-1) - self.level) < LEVEL


def find_tissue(plane: Plane, scale: tuple[float, float], *, opacity: Opacity | None = None) -> tuple[Grid, Grid]:
    """The squares of tissue, its margin included, and those without the margin: what is known of blur is read there.

    plane : (h, w, c), h and w multiples of CELL
    scale : values of black and white; of fluorescence, those of dark and bright in this plane
    Transparent squares are never tissue, nor are constant ones that are saturated, as dark as the plane is anywhere, or
    among others: padding. (Coarsely quantised, blurred tissue may have single constant squares.)
    """
    return tissue_on(plane, find_ground([plane], scale, opacities=[opacity]), opacity=opacity)


def find_ground(
    windows: Sequence[Plane], scale: tuple[float, float], *, opacities: Sequence[Opacity | None] | None = None
) -> Ground:
    """The ground of a plane, from windows of it, or from all of it as one window.

    It is looked for among the flat squares; without any, nothing is ground.
    """
    extremes = (min(float(window.min()) for window in windows), max(float(window.max()) for window in windows))
    unknown = Ground(scale, extremes)
    looks = [_look(w, unknown, o) for w, o in zip(windows, opacities or [None] * len(windows), strict=True)]
    spread = np.concatenate([look.spread[~look.dead] for look in looks])
    if not spread.size:
        return unknown
    flat = float(np.clip(NOISE * np.quantile(spread, 0.05), *FLAT))
    everywhere = np.concatenate([look.means.reshape(-1, look.means.shape[-1]) for look in looks])
    empty = np.concatenate([look.means[(look.spread <= flat) & ~look.dead] for look in looks])
    if not len(empty):
        return replace(unknown, flat=flat)
    if everywhere.shape[1] < 3 or float(np.median(everywhere)) < DARK:
        is_dark = float(np.median(everywhere.mean(-1))) < 0.5
        return replace(unknown, flat=flat, level=float(np.quantile(empty.mean(-1), 0.1 if is_dark else 0.9)))
    colours = empty[:, :3].clip(1e-3)
    glass = (colours.min(-1) > DIM) & (np.ptp(colours, axis=-1) < COLOURFUL * colours.max(-1))
    return replace(unknown, flat=flat, light=np.quantile(colours[glass], 0.9, axis=0) if glass.any() else None)


def tissue_on(plane: Plane, ground: Ground, *, opacity: Opacity | None = None) -> tuple[Grid, Grid]:
    """As `find_tissue`, in a part of a plane whose ground is known. REACH px around it decide what is told of it."""
    look = _look(plane, ground, opacity)
    core = ~((look.spread <= ground.flat) & ground.has(look.means)) & ~look.dead
    near = binary_dilation(core, generate_binary_structure(2, 2), iterations=MARGIN)
    return near & ~look.dead, core


class _Look(NamedTuple):
    """Of every square: the spread of the bins in and around it, the mean, and whether it can be no tissue."""

    spread: Float[np.ndarray, "rows columns"]
    means: Float[np.ndarray, "rows columns c"]
    dead: Grid


def _look(plane: Plane, ground: Ground, opacity: Opacity | None) -> _Look:
    bins = _binned(plane, ground.scale)
    constant = _is_constant(plane)
    padding = constant & _is_extreme(plane, ground.extremes)
    spread = _spread(bins) if ground.light is None else _spread_beside(bins, padding)
    dead = constant & (padding | (spread < ROUNDING))
    if opacity is not None:
        dead |= ~_any(opacity[..., 0] > 0)
    return _Look(spread, bins.reshape(len(bins) // 2, 2, bins.shape[1] // 2, 2, -1).mean((1, 3)), dead)


def _spread(bins: Bins) -> Float[np.ndarray, "rows columns"]:
    """Standard deviation of the bins in and next to each square, of the colour where it is largest."""
    first, second = (uniform_filter(values, (5, 5, 0), mode="nearest") for values in (bins, bins**2))
    return _of_squares(second - first**2)


def _spread_beside(bins: Bins, padding: Grid) -> Float[np.ndarray, "rows columns"]:
    """The same, but the step from glass to what was never scanned is none: areas of padding, and SOFT bins
    beside them, do not count."""
    areas = binary_opening(padding, generate_binary_structure(2, 2))
    if not areas.any():
        return _spread(bins)
    around = binary_dilation(areas.repeat(2, 0).repeat(2, 1), generate_binary_structure(2, 2), iterations=SOFT)
    weight = (~around).astype(np.float64)[..., None]
    total, first, second = (
        uniform_filter(v, (5, 5, 0), mode="nearest") for v in (weight, weight * bins, weight * bins**2)
    )
    seen = total > 0.5 / 25  # one bin at least
    first, second = (np.divide(v, total, where=seen, out=np.zeros_like(v)) for v in (first, second))
    return _of_squares((second - first**2) * ~around[..., None])


def _of_squares(variance: Bins) -> Float[np.ndarray, "rows columns"]:
    """The largest standard deviation of the bins and colours of each square."""
    rows, columns, _ = variance.shape
    largest: np.ndarray = variance.max(-1).reshape(rows // 2, 2, columns // 2, 2).max((1, 3))
    return np.sqrt(largest.clip(0))


def _binned(plane: Plane, scale: tuple[float, float]) -> Bins:
    """Means of BIN x BIN px, black 0 and white 1; a band of rows at a time."""
    low, high = scale
    height, width, samples = plane.shape
    bins = np.empty((height // BIN, width // BIN, samples))
    for row in range(len(bins)):
        band = plane[row * BIN : (row + 1) * BIN].astype(np.float64)
        bins[row] = (band.reshape(BIN, -1, BIN, samples).mean((0, 2)) - low) / ((high - low) or 1.0)
    return bins.clip(-1, 2)


def _is_constant(plane: Plane) -> Grid:
    """Squares that hold one value only of every colour."""
    squares = _squares(plane)
    return ~_where(squares.max((1, 3)) != squares.min((1, 3)), -1)


def _is_extreme(plane: Plane, extremes: tuple[float, float]) -> Grid:
    """Squares whose first pixel has the smallest or the largest value of all, or goes beyond, in every colour."""
    first, (lowest, highest) = plane[::CELL, ::CELL], extremes
    return ~_where((first > lowest) & (first < highest), -1)


def _squares(plane: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "rows 8 columns 8 c"]:
    return plane.reshape(len(plane) // CELL, CELL, plane.shape[1] // CELL, CELL, plane.shape[2])


def _any(pixels: Bool[np.ndarray, "h w"]) -> Grid:
    return _where(_squares(pixels[..., None])[..., 0], (1, 3))


def _where(mask: Bool[np.ndarray, ...], axes: int | tuple[int, int]) -> Grid:
    found: np.ndarray = np.asarray(mask.any(axis=axes))
    return found
