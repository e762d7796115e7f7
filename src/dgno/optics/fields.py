"""Maps of blur strength over the image plane: how defocus varies from place to place.

Every generator takes the shape of the map, the range of strengths, and the random generator it draws from.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

Field = Float[Tensor, "h w"]
Shape = tuple[int, int]


def constant(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """One strength everywhere, log-uniform in [low, high]."""
    return torch.full(shape, _log_uniform(rng, low, high))


def tilted(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """A plane from `low` to `high` in a random direction: a tilted slide."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return _rescaled(np.cos(angle) * x + np.sin(angle) * y, low, high)


def smooth(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """Filtered noise with a correlation length of a sixth to a third of the image, stretched to [low, high]."""
    length = max(shape) * rng.uniform(1 / 6, 1 / 3)
    margin = int(2 * length)
    noise = rng.standard_normal((shape[0] + 2 * margin, shape[1] + 2 * margin), dtype=np.float32)
    inside = gaussian_filter(noise, length, truncate=2)[margin : margin + shape[0], margin : margin + shape[1]]
    return _rescaled(inside, low, high)


def voronoi(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """Three to twelve cells, each with a strength of its own: sharp steps as at tissue borders and folds."""
    seeds = rng.uniform(0, 1, (rng.integers(3, 13), 2)) * shape
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    nearest = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(-1)
    strengths = np.array([_log_uniform(rng, low, high) for _ in seeds])
    return torch.from_numpy(strengths[nearest]).float()


FIELDS = {"constant": constant, "tilted": tilted, "smooth": smooth, "voronoi": voronoi}


def _rescaled(values: np.ndarray, low: float, high: float) -> Field:
    span = float(values.max() - values.min())
    unit = (values - values.min()) / span if span > 0 else np.zeros_like(values)
    return torch.from_numpy(low + (high - low) * unit).float()


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high)))) if low > 0 else float(rng.uniform(low, high))
