"""Squares, boxes and lines on darkness: the scenes of the paper's controlled experiment.

The DGNO paper says "filled squares, hollow boxes, and thin lines" and no more; numbers and sizes are ours: 8 to 16
shapes of intensity 0.3 to 1, one over the other, half of them along the pixel grid, the others turned by any angle.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

Cover = Float64[np.ndarray, "h w"]  # share of every pixel that a shape covers
Shape = tuple[int, int]


def draw_shapes(shape: Shape, rng: np.random.Generator) -> Float[Tensor, "1 h w"]:
    """A scene in [0, 1]; later shapes hide earlier ones."""
    scene = np.zeros(shape)
    for _ in range(rng.integers(8, 17)):
        cover = KINDS[rng.integers(len(KINDS))](shape, rng)
        scene += cover * (rng.uniform(0.3, 1) - scene)
    return torch.from_numpy(scene[None]).float()


def square(shape: Shape, rng: np.random.Generator) -> Cover:
    """A filled square of 6 to 40 px."""
    side = int(rng.integers(6, 41))
    along, across = _axes(shape, side, side, rng)
    return _band(along, side) * _band(across, side)


def box(shape: Shape, rng: np.random.Generator) -> Cover:
    """The outline of such a square, 1 to 3 px thick."""
    side, wall = int(rng.integers(6, 41)), int(rng.integers(1, 4))
    along, across = _axes(shape, side, side, rng)
    return _band(along, side) * _band(across, side) - _band(along, side - 2 * wall) * _band(across, side - 2 * wall)


def line(shape: Shape, rng: np.random.Generator) -> Cover:
    """A line of 1 or 2 px, between a sixteenth and half of the image long."""
    width, length = int(rng.integers(1, 3)), int(rng.integers(max(shape) // 16, max(shape) // 2))
    along, across = _axes(shape, length, width, rng)
    return _band(along, length) * _band(across, width)


KINDS: tuple[Callable[[Shape, np.random.Generator], Cover], ...] = (square, box, line)


def _axes(shape: Shape, length: int, width: int, rng: np.random.Generator) -> tuple[Cover, Cover]:
    """Distances of every pixel from a random centre, along a random direction and across it.

    Directions along the grid come as often as all others; a shape of this length and width then covers whole pixels.
    """
    angle = rng.integers(2) * math.pi / 2 if rng.random() < 0.5 else rng.uniform(0, math.pi)
    sides = (width, length) if angle == 0 else (length, width)
    centre = [rng.integers(n) + (side % 2 - 1) / 2 for n, side in zip(shape, sides, strict=True)]
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    cos, sin = (round(f(angle), 15) for f in (math.cos, math.sin))  # of a right angle: 0 and 1
    y, x = y - centre[0], x - centre[1]
    return cos * x + sin * y, cos * y - sin * x


def _band(distance: Cover, width: float) -> Cover:
    """Share of a pixel inside a band of this width, from its distance to the middle; the edge is one pixel wide."""
    return (width / 2 + 0.5 - np.abs(distance)).clip(0, min(1, max(width, 0)))
