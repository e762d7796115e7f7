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
from dgno.optics.psf import PSF

PER_PIXEL = 16  # instants on each pixel of a path
Points = Float64[np.ndarray, "n 2"]
Weights = Float64[np.ndarray, " n"]


def linear_motion(length: float, angle: float = 0.0, *, legacy_shift: bool = False) -> PSF:
    """Uniform straight motion: the light of one pixel spread over `length` pixels.

        k = sum_t w_t delta(t u),   w_t = share of [t - 1/2, t + 1/2] in [-L/2, L/2],   t = ..., -1, 0, 1, ...

    along the unit vector u, each delta shared bilinearly among its four pixels. Along the grid these are L equal
    weights for odd L, L + 1 weights with halves at both ends for even L, and sub-pixel ends between. The transfer
    function has its zeros at m / L cycles per pixel of the path: what is lost there no linear filter brings back.

    length : L in px; up to 1 it is the identity. The variance along the path is (L^2 - 1) / 12 for odd L
    angle : degrees
    legacy_shift : plain L equal weights, L whole (DBMID). For even L they lie `legacy_offset(L)` px off the middle
    Jiang et al. 2020, arXiv:2011.11879 (L = 5 to 40, horizontal and vertical); the sub-pixel ends are ours.
    """
    if not (math.isfinite(length) and math.isfinite(angle) and length >= 0):
        raise ConfigError(f"motion of length {length} at angle {angle}, wanted finite numbers, the length not negative")
    if legacy_shift:
        if length < 1 or length != int(length):
            why = "a run of equal weights has a whole number of pixels"
            raise ConfigError(f"legacy_shift with a length of {length}", why=why, hint="leave legacy_shift out")
        t = np.arange(int(length)) - (int(length) - 1) // 2.0
        weights = np.ones(len(t))
    else:
        reach = math.ceil(max(length, 1) / 2 + 0.5) - 1
        t = np.arange(-reach, reach + 1.0)
        weights = (max(length, 1) / 2 + 0.5 - np.abs(t)).clip(0, 1)
    direction = np.array([math.sin(math.radians(angle)), math.cos(math.radians(angle))])
    return _splat(t[:, None] * direction, weights)


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
    half = math.ceil(float(np.abs(points).max()))
    corner = np.floor(points).astype(int)
    share = points - corner
    psf = np.zeros((2 * half + 2, 2 * half + 2))  # one row and column more, for shares of 0
    for down in (0, 1):
        for right in (0, 1):
            part = np.abs(1 - down - share[:, 0]) * np.abs(1 - right - share[:, 1])
            np.add.at(psf, (corner[:, 0] + half + down, corner[:, 1] + half + right), weights * part)
    psf = psf[:-1, :-1]
    return psf / psf.sum()
