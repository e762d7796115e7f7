"""Maps of blur, smoothed over a few squares, of which only those with tissue count."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter

WIDTH = 1.0  # squares, standard deviation of the smoothing
RADIUS = 4  # squares; beyond, weights are 0
DEFOCUS, MOTION, MIXED = 1, 2, 3  # places among the probabilities of BLUR_TYPES
LEAST = 1e-6  # weight below which a mean is not taken

Map = Float[np.ndarray, "rows columns"]


def smooth_maps(
    maps: Float[np.ndarray, "7 rows columns"], core: Bool[np.ndarray, "rows columns"]
) -> Float[np.ndarray, "7 rows columns"]:
    """Means over the squares of `core` around each, with Gaussian weights: squares beside tissue take what it has.

    maps : the probabilities of BLUR_TYPES, sigma, length and angle
    sigma counts as much as a defocus is likely, length and angle as much as a motion; the angles of paths repeat after
    half a turn, so that 179 and 1 degrees have the mean 0.
    """
    weight = core.astype(np.float64)
    types, (sigma, length, angle) = maps[:4].astype(np.float64), maps[4:].astype(np.float64)
    focus, motion = weight * (types[DEFOCUS] + types[MIXED]), weight * (types[MOTION] + types[MIXED])
    turned = np.exp(2j * np.radians(angle))
    smooth = np.empty_like(maps)
    smooth[:4] = [_mean(probability, weight) for probability in types]
    smooth[4], smooth[5] = _mean(sigma, focus), _mean(length, motion)
    mean = _sum(turned.real * motion) + 1j * _sum(turned.imag * motion)
    smooth[6] = np.degrees(np.angle(mean)) / 2 % 180
    return smooth


def _mean(values: Map, weight: Map) -> Map:
    total = _sum(weight)
    return np.where(total > LEAST, _sum(values * weight) / np.maximum(total, LEAST), 0.0)


def _sum(values: Map) -> Map:
    result: np.ndarray = gaussian_filter(values, WIDTH, mode="nearest", radius=RADIUS)
    return result
