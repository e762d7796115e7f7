"""Straight motion during the exposure, of a length that may vary over the image: drawn at random, and recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice, refuse_interval
from dgno.errors import ConfigError
from dgno.optics.bank_error import bank_error
from dgno.optics.blur import READINGS, SpatiallyVaryingBlur, hat_weights
from dgno.optics.exposure import Fact, Scene
from dgno.optics.fields import draw_field
from dgno.optics.motion import linear_motion
from dgno.optics.psf import PSF
from dgno.optics.simulate import CONTINUED, extent, field_problems

LONGEST = 200.0  # px


@dataclass(frozen=True)
class MotionOptics:
    """Motion in one direction.

    length : px at each pixel; up to 1 it is none
    angle : degrees, 0 to the right, 90 down
    field : the kind of map that `length` was drawn as, "given" if it was not drawn
    reading, boundary : see `SpatiallyVaryingBlur`
    """

    length: Float[Tensor, "h w"]
    angle: float = 0.0
    field: str = "given"
    reading: str = "gather"
    boundary: str = "reflect"

    def blur(self, channels: int = 1) -> SpatiallyVaryingBlur:
        """The blur as a linear operator, for any channels."""
        shortest, longest = map(float, self.length.aminmax())
        how = {"reading": self.reading, "boundary": self.boundary}
        if shortest == longest:
            return SpatiallyVaryingBlur(self.length, self._psf, levels=[shortest], **how)
        levels = motion_levels(shortest, longest, self.angle)
        lengths = torch.tensor(levels, dtype=torch.float64)
        exact = self.length.double().clamp_min(1)
        # L psf is linear in L from level to level, on the grid exactly
        weights = hat_weights(exact, lengths) * lengths[:, None, None] / exact
        return SpatiallyVaryingBlur.of_psfs(
            weights.to(self.length.dtype), [self._psf(level) for level in levels], **how
        )

    def _psf(self, length: float) -> PSF:
        return linear_motion(length, self.angle)

    def mean_psf(self, channels: int = 1) -> PSF:
        """The average PSF over all pixels."""
        return self.blur().mean_psf().numpy()

    def maps(self) -> Mapping[str, Scene]:
        """motion: the length in px, and the angle in degrees."""
        return {"motion": torch.stack([self.length, torch.full_like(self.length, self.angle)])}

    def facts(self, channels: int = 1) -> Mapping[str, Fact]:
        """Angle, range and kind of the map."""
        how = {"field": self.field, "reading": self.reading, "boundary": self.boundary}
        return {"psf": "motion", **extent("length", self.length), "angle": self.angle, **how}

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """Largest error of the interpolated PSFs, see `dgno.optics.bank_error`."""

        def exact(row: int, col: int) -> PSF:
            return self._psf(float(self.length[row, col]))

        return bank_error(self.blur(), scene, exact, rng)


def motion_levels(shortest: float, longest: float, angle: float) -> list[float]:
    """Lengths between which motion may be interpolated: those that span whole pixels of the axis it follows.

    Quarters of a pixel too for paths off the grid, whose ends are shared among rows; and both sides of 1 px, where such
    a path begins not to be the identity.
    """
    cos, sin = sorted((abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))), reverse=True)
    step = 1 / cos if sin < 1e-6 else 0.25 / cos
    first, last = math.floor(max(shortest, 1) / step), math.ceil(max(longest, 1) / step)
    levels = {step * k for k in range(first, last + 1) if step * k > 1}
    return sorted(levels | ({1.0, 1.0 + 1e-6} if shortest < min(levels, default=math.inf) else set()))


@dataclass(frozen=True)
class MotionRange:
    """Random motion.

    length : (smallest, largest) in px
    angle : (smallest, largest) in degrees; one direction is drawn for an image
    fields : kinds of maps of the length over the whole range, see `dgno.optics.fields`; "constant" is that of a stage
    edge_softness : px, of the steps of piecewise maps
    reading, boundary : see `SpatiallyVaryingBlur`
    """

    length: tuple[float, float]
    angle: tuple[float, float] = (0.0, 180.0)
    fields: tuple[str, ...] = ("constant",)
    reading: str = "gather"
    boundary: str = "reflect"
    edge_softness: float = 0.0

    def __post_init__(self) -> None:
        problems = refuse_interval("length", self.length, 0, LONGEST) + field_problems(self.fields, self.edge_softness)
        problems += refuse_interval("angle", self.angle, -360, 360)
        problems += refuse_choice("reading", self.reading, READINGS)
        problems += refuse_choice("boundary", self.boundary, CONTINUED)
        if problems:
            raise ConfigError("no motion can be drawn from these ranges", why="; ".join(problems))

    def draw_optics(self, shape: tuple[int, int], rng: np.random.Generator) -> MotionOptics:
        """A random direction, and a random map of lengths."""
        kind = self.fields[rng.integers(len(self.fields))]
        angle = round(float(rng.uniform(*self.angle)), 2)
        length = draw_field(kind, shape, self.length, rng, edge_softness=self.edge_softness)
        return MotionOptics(length, angle, field=kind, reading=self.reading, boundary=self.boundary)
