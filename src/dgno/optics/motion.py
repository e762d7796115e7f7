"""Motion during the exposure: the path that the image of a point draws on the camera.

Lengths in pixels; angles in degrees, 0 along the columns (to the right), 90 along the rows (down). PSFs as in
`dgno.optics.psf`: odd side, sum 1, centroid on the middle pixel; mirrored through it, a straight path stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from dgno.errors import ConfigError
from dgno.optics.psf import IDENTITY, PSF, half_side

PER_PIXEL = 16  # instants on each pixel of a path
Points = Float64[np.ndarray, "n 2"]
Weights = Float64[np.ndarray, " n"]


def linear_motion(length: float, angle: float = 0.0, *, legacy_shift: bool = False) -> PSF:
    """Uniform straight motion: the light of one pixel spread over `length` pixels.

        k(i, j) = 1/L integral over the path of box(x_along - i) tent(x_across - j)

    in closed form: box, the share of a pixel, along the axis that the path follows more closely; tent, two pixels
    sharing linearly, along the other. Along the grid these are L equal weights for odd L, L + 1 weights with halves at
    both ends for even L, and sub-pixel ends between. The transfer function has its zeros at m / L cycles per pixel of
    the path: what is lost there no linear filter brings back.

    length : L in px; up to 1 it is the identity. The variance along the path is (L^2 - 1) / 12 for odd L on the grid
    angle : degrees
    legacy_shift : plain L equal weights, L whole, one each pixel of the path (DBMID). For even L they lie
        `legacy_offset(L)` px off the middle
    Jiang et al. 2020, arXiv:2011.11879 (L = 5 to 40, horizontal and vertical); the sub-pixel ends are ours.
    """
    if not (math.isfinite(length) and math.isfinite(angle) and length >= 0):
        raise ConfigError(f"motion of length {length} at angle {angle}, wanted finite numbers, the length not negative")
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    if legacy_shift:
        if length < 1 or length != int(length):
            why = "a run of equal weights has a whole number of pixels"
            raise ConfigError(f"legacy_shift with a length of {length}", why=why, hint="leave legacy_shift out")
        half_side((length - 1) / 2 * max(abs(cos), abs(sin)))
        t = np.arange(int(length)) - (int(length) - 1) // 2.0
        return _splat(t[:, None] * np.array([sin, cos]), np.ones(len(t)))
    if length <= 1:
        return IDENTITY
    if abs(cos) >= abs(sin):
        return _line(length * abs(cos), sin / cos)
    return _line(length * abs(sin), cos / sin).T


def _line(width: float, slope: float) -> PSF:
    """A centred line over `width` columns that falls by `slope` rows, at most 1, in each of them."""
    half = math.ceil(width / 2 + 0.5) - 1
    half_side(max(float(half), width / 2 * abs(slope)))
    column = np.arange(-half, half + 1)
    start, end = (np.clip(column + side, -width / 2, width / 2) for side in (-0.5, 0.5))
    rows = np.arange(-half - 1, half + 2)[:, None]
    if abs(slope) < 1e-6:
        psf = (end - start) * (rows == 0)
    else:
        psf = (_tent_integral(end * slope - rows) - _tent_integral(start * slope - rows)) / slope
    side = half + int(psf[[0, -1]].any())
    psf = np.pad(psf, ((0, 0), (side - half, side - half)))[half + 1 - side : half + 2 + side].clip(min=0)
    return psf / psf.sum()


def _tent_integral(x: Float64[np.ndarray, "r c"]) -> Float64[np.ndarray, "r c"]:
    """Integral of max(0, 1 - |t|) from -infinity to x."""
    x = x.clip(-1, 1)
    result: np.ndarray = 0.5 + x - np.sign(x) * x**2 / 2
    return result


def legacy_offset(length: int) -> float:
    """Where the centroid of `linear_motion(length, legacy_shift=True)` lies, in px along the path: 1/2 for even L."""
    return 0.0 if length % 2 else 0.5


def trajectory(points: Sequence[tuple[float, float]], exposure: Sequence[float] | None = None) -> PSF:
    """Motion along a polyline, such as the jitter of a stage, at least 16 instants on every pixel of it.

    points : (row, col) in px of its corners, one at least; only their differences matter, the centroid is centred
    exposure : time spent on each segment, not negative; by default in proportion to its length. A segment between
        equal points is a rest
    Every instant is shared bilinearly among four pixels, which keeps the centroid and adds up to 1/4 px^2 to the
    variance along an axis, 1/6 on average.
    """
    corners = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    lengths = np.hypot(*np.diff(corners, axis=0).T)
    times = lengths if exposure is None else np.asarray(exposure, dtype=np.float64)
    if len(corners) == 0 or times.shape != lengths.shape or not np.isfinite(corners).all():
        what = f"{len(corners)} points with {len(times)} exposures"
        raise ConfigError(f"{what} are no path", why="wanted finite points and one exposure for each segment")
    if not np.isfinite(times).all() or (times < 0).any() or (exposure is not None and times.sum() == 0):
        raise ConfigError("exposures must be finite, not negative, and not all zero")
    if times.sum() == 0:  # it never moved
        return _splat(np.zeros((1, 2)), np.ones(1))
    half_side(float(np.ptp(corners, axis=0).max()) / 2)
    instants, weights = [], []
    for start, end, length, time in zip(corners[:-1], corners[1:], lengths, times, strict=True):
        count = math.ceil(length * PER_PIXEL) + 1
        along = (np.arange(count) + 0.5) / count
        instants.append(start + along[:, None] * (end - start))
        weights.append(np.full(count, time / count))
    path, weight = np.concatenate(instants), np.concatenate(weights)
    return _splat(path - weight @ path / weight.sum(), weight)


def _splat(points: Points, weights: Weights) -> PSF:
    """Every point shared among the four pixels around it, bilinearly: sum and centroid are kept."""
    points = np.where(np.abs(points - np.round(points)) < 1e-12, np.round(points), points)  # sin(180 deg) is 1e-16
    half = half_side(float(np.abs(points).max()))
    corner = np.floor(points).astype(int)
    share = points - corner
    psf = np.zeros((2 * half + 2, 2 * half + 2))  # one row and column more, for shares of 0
    for down in (0, 1):
        for right in (0, 1):
            part = np.abs(1 - down - share[:, 0]) * np.abs(1 - right - share[:, 1])
            np.add.at(psf, (corner[:, 0] + half + down, corner[:, 1] + half + right), weights * part)
    psf = psf[:-1, :-1]
    return psf / psf.sum()
