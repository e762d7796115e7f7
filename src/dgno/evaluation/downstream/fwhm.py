"""Full width at half maximum of a cell or bead, as an image of it alone shows it.

The profile runs through the centroid, and is the mean of five lines that are a pixel apart: a narrow one, so a disk of
radius R has the width 2 R. (Integrated over the whole disk, its profile would be sqrt(3) R wide.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from dgno.checks import refuse_number
from dgno.errors import ConfigError, UnsupportedInput

HALF_BREADTH = 2  # px on either side of the line
STEP = 0.25  # px between samples of the profile
RING = 0.8  # of the way from the middle to the nearest border; the ground is what lies farther out
SMALLEST = 3.0  # px; narrower ones are noise, or not sampled
LOBE = 0.1  # of the height: a dip to below half that is not deeper than this below is noise


@dataclass(frozen=True)
class Width:
    """Of one object, along one direction; `um` is None without a pixel size."""

    px: float
    um: float | None


def fwhm(
    crop: Float[np.ndarray, "h w"],
    *,
    angle: float = 0.0,
    bright: bool = True,
    pixel_size: float | None = None,
) -> Width:
    """Width of the object in the middle of a crop, between its outermost crossings of half its height.

    crop : gray, any unit; the same one of the sharp, the blurred and the restored image makes widths that compare
    angle : degrees of the direction measured along, 0 along rows, 90 along columns; of motion, its own
    bright : the object on its ground; False for a stained nucleus
    pixel_size : um
    The ground is the median of a ring around the middle, the height that of the profile above it.
    Raises ConfigError, and UnsupportedInput where there is no such width: a flat crop, an object that reaches the
    border, two lobes, less than 3 px.
    """
    problems = [] if pixel_size is None else refuse_number("pixel_size", pixel_size, 0, above_lowest=True)
    if problems := problems + refuse_number("angle", angle, -math.inf):
        raise ConfigError("no width can be measured so", why="; ".join(problems))
    signal = (crop if bright else -crop).astype(np.float64)
    signal = signal - _ground(signal)
    profile = _profile(signal, angle)
    px = _between_crossings(profile) * STEP
    if px < SMALLEST:
        raise _refused(f"it is {px:.1f} px wide, wanted at least {SMALLEST:g}")
    return Width(px, None if pixel_size is None else px * pixel_size)


def _ground(signal: Float[np.ndarray, "h w"]) -> float:
    """The median of what lies outside of the ring's inner radius."""
    middle = (np.array(signal.shape) - 1) / 2
    rows, columns = np.indices(signal.shape)
    distance = np.hypot(rows - middle[0], columns - middle[1])
    return float(np.median(signal[distance >= RING * middle.min()]))


def _profile(signal: Float[np.ndarray, "h w"], angle: float) -> Float[np.ndarray, " n"]:
    """Along the direction, through the centroid of what is above half the height."""
    top = signal.max()
    if not top > 0:
        raise _refused("nothing stands out from the ground")
    weights = (signal - top / 2).clip(0)
    rows, columns = np.indices(signal.shape)
    centre = np.array([(weights * rows).sum(), (weights * columns).sum()]) / weights.sum()
    along = np.array([math.sin(math.radians(angle)), math.cos(math.radians(angle))])
    across = np.array([along[1], -along[0]])
    before, after = (_room(signal.shape, centre, sign * along) for sign in (-1, 1))
    t = np.arange(-math.floor(before / STEP), math.floor(after / STEP) + 1) * STEP
    lines = [centre + np.outer(t, along) + offset * across for offset in range(-HALF_BREADTH, HALF_BREADTH + 1)]
    values = [ndimage.map_coordinates(signal, line.T, order=3, mode="nearest") for line in lines]
    return np.asarray(np.mean(values, axis=0))


def _room(shape: tuple[int, ...], centre: Float[np.ndarray, 2], direction: Float[np.ndarray, 2]) -> float:
    """Px from the centre to the border in a direction."""
    room = [math.inf]
    for n, c, d in zip(shape, centre, direction, strict=True):
        if abs(d) > 1e-9:
            room.append(float((n - 1 - c if d > 0 else c) / abs(d)))
    return min(room)


def _between_crossings(profile: Float[np.ndarray, " n"]) -> float:
    """Samples between the first rise above half the height and the last fall below it."""
    height = profile.max()
    if not height > 0:
        raise _refused("nothing stands out from the ground")
    half = height / 2
    above = np.flatnonzero(profile >= half)
    first, last = int(above[0]), int(above[-1])
    if first == 0 or last == len(profile) - 1:
        raise _refused("it reaches the border of the crop")
    if profile[first : last + 1].min() < half - LOBE * height:
        raise _refused("it has two lobes")
    rise = first - (profile[first] - half) / (profile[first] - profile[first - 1])
    fall = last + (profile[last] - half) / (profile[last] - profile[last + 1])
    return float(fall - rise)


def _refused(why: str) -> UnsupportedInput:
    return UnsupportedInput("the object has no width at half its height", why=why, hint="leave it out, or cut it anew")
