"""Maps of blur strength over the image plane: how defocus varies from place to place.

Every generator of `FIELDS` takes the shape of the map, the range of strengths, and the random generator it draws from.
`masked` follows an image of labels instead.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Integer
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from torch import Tensor

from dgno.errors import ConfigError

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
    return correlated(shape, low, high, rng, length=max(shape) * rng.uniform(1 / 6, 1 / 3), reach=2)


def correlated(
    shape: Shape, low: float, high: float, rng: np.random.Generator, *, length: float, reach: float = 4
) -> Field:
    """White noise filtered by a Gaussian of this standard deviation in px, stretched to [low, high].

    reach : where the Gaussian is cut, in standard deviations; a short one leaves faint stripes along the axes
    """
    margin = int(reach * length)
    noise = rng.standard_normal((shape[0] + 2 * margin, shape[1] + 2 * margin), dtype=np.float32)
    down = gaussian_filter1d(noise, length, axis=0, truncate=reach)[margin : margin + shape[0]]
    inside = gaussian_filter1d(down, length, axis=1, truncate=reach)[:, margin : margin + shape[1]]
    return _rescaled(inside, low, high)


def voronoi(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """Three to twelve cells, each with a strength of its own: sharp steps as at tissue borders and folds."""
    seeds = rng.uniform(0, 1, (rng.integers(3, 13), 2)) * shape
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    nearest = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(-1)
    strengths = np.array([_log_uniform(rng, low, high) for _ in seeds])
    return torch.from_numpy(strengths[nearest]).float()


def blocks(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """Square blocks of 12 to 48 px, each with a strength of its own.

    Steps lie between the pixels 2 i and 2 i + 1, never between elements of an even size: a network that is cut into
    such elements has no step on its faces to profit from.
    """
    side = 2 * int(rng.integers(6, 25))
    offsets = 2 * rng.integers(0, side // 2, 2) + 1
    row, column = ((np.arange(n) + side - offset) // side for n, offset in zip(shape, offsets, strict=True))
    strengths = np.array([_log_uniform(rng, low, high) for _ in range((row[-1] + 1) * (column[-1] + 1))])
    return torch.from_numpy(strengths[row[:, None] * (column[-1] + 1) + column]).float()


def folded(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """Two layers: a strip of another strength, a fold, lies across the section in a random direction."""
    under, over = _log_uniform(rng, low, high), _log_uniform(rng, low, high)
    angle, width = rng.uniform(0, np.pi), max(shape) * rng.uniform(1 / 8, 1 / 3)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    middle = rng.uniform(0.3, 0.7, 2) * shape
    across = np.cos(angle) * (x - middle[1]) + np.sin(angle) * (y - middle[0])
    return torch.from_numpy(np.where(np.abs(across) <= width / 2, over, under)).float()


def mixture(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """The mean of a smooth map and of one with sharp steps: a tilted section that is torn as well."""
    return (smooth(shape, low, high, rng) + voronoi(shape, low, high, rng)) / 2


def radial(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """Field curvature: `low` at the optical axis, somewhere near the middle, and from there with distance squared."""
    axis = rng.uniform(0.4, 0.6, 2) * shape
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return _rescaled((y - axis[0]) ** 2 + (x - axis[1]) ** 2, low, high)


FIELDS = {
    "constant": constant,
    "tilted": tilted,
    "smooth": smooth,
    "voronoi": voronoi,
    "blocks": blocks,
    "folded": folded,
    "mixture": mixture,
    "radial": radial,
}


PIECEWISE = ("voronoi", "blocks", "folded", "mixture")  # kinds with edges


def draw_field(
    kind: str, shape: Shape, extent: tuple[float, float], rng: np.random.Generator, *, edge_softness: float = 0.0
) -> Field:
    """A map of one of the kinds of `FIELDS`.

    extent : (low, high)
    edge_softness : of the steps of piecewise kinds, the standard deviation in px of a Gaussian; 0 leaves them hard
    """
    field = FIELDS[kind](shape, *extent, rng)
    if edge_softness == 0 or kind not in PIECEWISE:
        return field
    soft = gaussian_filter(field.double().numpy(), edge_softness)
    return torch.from_numpy(soft.clip(*extent)).float()


def masked(labels: Integer[np.ndarray, "h w"], strengths: Mapping[int, float]) -> Field:
    """One strength for each label of an image, such as nuclei and what lies between them.

    labels : label of each pixel
    strengths : label -> strength, for every label that occurs
    """
    known = np.array(sorted(strengths))
    missing = np.setdiff1d(labels, known)
    if len(missing):
        raise ConfigError(f"no strength for the labels {', '.join(map(str, missing[:8]))}")
    values = np.array([strengths[int(label)] for label in known])
    return torch.from_numpy(values[np.searchsorted(known, labels)]).float()


def _rescaled(values: np.ndarray, low: float, high: float) -> Field:
    span = float(values.max() - values.min())
    unit = (values - values.min()) / span if span > 0 else np.zeros_like(values)
    return torch.from_numpy(low + (high - low) * unit).float()


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high)))) if low > 0 else float(rng.uniform(low, high))
