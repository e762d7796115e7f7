"""Blur by the aberrations of a lens, which change from the axis to the corners: PSFs on a grid, blended between."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_count
from dgno.errors import ConfigError
from dgno.optics.bank_error import bank_error
from dgno.optics.blur import SpatiallyVaryingBlur, hat_weights
from dgno.optics.diffraction import Microscope
from dgno.optics.exposure import Fact, Scene
from dgno.optics.psf import PSF
from dgno.optics.seidel import Aberration, seidel


@dataclass(frozen=True)
class LensOptics:
    """The same lens for every image of this shape, its axis in the middle.

    shape : (height, width) px; H = 1 at half the longer side, see `dgno.optics.seidel`
    nodes : PSFs along each axis of the grid, from border to border. Between them the four around a pixel are mixed
        bilinearly: weights that are not negative and sum to 1 (partition of unity)
    reading, boundary : see `SpatiallyVaryingBlur`
    """

    shape: tuple[int, int]
    microscope: Microscope
    coefficients: Aberration
    nodes: int = 9
    reading: str = "gather"
    boundary: str = "reflect"

    def __post_init__(self) -> None:
        if problems := refuse_count("nodes", self.nodes, 2):
            raise ConfigError("no such grid of PSFs", why=problems[0])

    def place(self, row: float, col: float) -> tuple[float, float]:
        """Where in the field a pixel lies, in half sides from the axis."""
        half = max(self.shape) / 2
        return (row - (self.shape[0] - 1) / 2) / half, (col - (self.shape[1] - 1) / 2) / half

    def psf_at(self, row: float, col: float) -> PSF:
        """The PSF of one pixel, exactly."""
        return seidel(self.microscope, self.coefficients, self.place(row, col))

    def blur(self, channels: int = 1) -> SpatiallyVaryingBlur:
        """The blur as a linear operator, for any channels."""
        return _blur(self)

    def mean_psf(self, channels: int = 1) -> PSF:
        """The average PSF over all pixels."""
        return self.blur().mean_psf().numpy()

    def maps(self) -> Mapping[str, Scene]:
        """None: the coefficients say it all."""
        return {}

    def facts(self, channels: int = 1) -> Mapping[str, Fact]:
        """The lens."""
        how = {"nodes": self.nodes, "reading": self.reading, "boundary": self.boundary}
        return {"psf": "seidel", **asdict(self.microscope), "aberrations": str(self.coefficients), **how}

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """Largest error of the blended PSFs, see `dgno.optics.bank_error`."""
        return bank_error(self.blur(), scene, self.psf_at, rng)


@functools.lru_cache(maxsize=1)  # all images of a set have one lens
def _blur(lens: LensOptics) -> SpatiallyVaryingBlur:
    rows, columns = (np.linspace(0, n - 1, lens.nodes) for n in lens.shape)
    down, right = (_shares(n, lens.nodes) for n in lens.shape)
    weights = torch.einsum("ih,jw->ijhw", down, right).flatten(0, 1).float()
    psfs = [lens.psf_at(float(row), float(col)) for row in rows for col in columns]
    return SpatiallyVaryingBlur.of_psfs(weights, psfs, reading=lens.reading, boundary=lens.boundary)


def _shares(n: int, nodes: int) -> Float[Tensor, "nodes n"]:
    """Share of each node at each of n pixels in a row."""
    if n == 1:
        return torch.eye(nodes, dtype=torch.float64)[:, :1]
    places = torch.arange(n, dtype=torch.float64)[None]
    return hat_weights(places, torch.linspace(0, n - 1, nodes, dtype=torch.float64))[:, 0]


@dataclass(frozen=True)
class LensRange:
    """One lens for images of every shape; see `LensOptics`."""

    microscope: Microscope
    coefficients: Aberration
    nodes: int = 9
    reading: str = "gather"
    boundary: str = "reflect"

    def draw_optics(self, shape: tuple[int, int], rng: np.random.Generator) -> LensOptics:
        """The lens; nothing is drawn."""
        return LensOptics(
            shape, self.microscope, self.coefficients, self.nodes, reading=self.reading, boundary=self.boundary
        )
