"""Which plane of a stack is sharp: measures of focus, larger for a sharper plane of the same scene.

Every measure is divided by the squared mean, so a brighter plane is not a sharper one (Groen, Young & Ligthart 1985,
doi:10.1002/cyto.990060202; Pertuz, Puig & Garcia 2013, doi:10.1016/j.patcog.2012.11.011).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Shaped
from scipy.ndimage import gaussian_filter, laplace

Gray = Float[np.ndarray, "h w"]
NOISE_SCALE = 1.0  # px; finer detail is taken for noise


def tenengrad(plane: Gray) -> float:
    """Mean squared gradient, of the plane smoothed by 1 px: sum (g_x^2 + g_y^2) / (n mean^2)."""
    smooth = gaussian_filter(plane, NOISE_SCALE)
    return sum(float(np.mean(np.diff(smooth, axis=axis) ** 2)) for axis in (0, 1)) / _power(plane)


def laplacian(plane: Gray) -> float:
    """Mean squared Laplacian, of the plane smoothed by 1 px."""
    return float(np.mean(laplace(gaussian_filter(plane, NOISE_SCALE)) ** 2)) / _power(plane)


def variance(plane: Gray) -> float:
    """Variance of the pixels."""
    return float(np.var(plane)) / _power(plane)


MEASURES: dict[str, Callable[[Gray], float]] = {"tenengrad": tenengrad, "laplacian": laplacian, "variance": variance}


def sharpest(planes: Sequence[np.ndarray], measure: Callable[[Gray], float] = tenengrad) -> int:
    """The number of the plane where `measure` is largest, the first of equals."""
    return int(np.argmax([measure(plane) for plane in planes]))


def gray(plane: Shaped[np.ndarray, "h w c"]) -> Gray:
    """The mean of the samples, float64."""
    return plane.astype(np.float64).mean(-1)


def _power(plane: Gray) -> float:
    return max(float(np.mean(plane)) ** 2, float(np.finfo(np.float64).tiny))
