"""Random defocus as a strength at every pixel: what training draws, and `dgno simulate` by default."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice, refuse_interval, refuse_number
from dgno.errors import ConfigError
from dgno.optics.bank_error import bank_error
from dgno.optics.blur import BOUNDARIES, READINGS, SpatiallyVaryingBlur, blur_levels
from dgno.optics.exposure import CameraRange, Exposure, Fact, PairRange, Scene
from dgno.optics.fields import FIELDS, draw_field
from dgno.optics.psf import PSF, gaussian, gaussian_disk

LARGEST_SIGMA = 100.0  # px; PSFs are computed on a fine grid, which grows with the square
FAMILIES: dict[str, Callable[[float, float], PSF]] = {  # sigma, softness -> PSF of variance sigma^2 + 1/12
    "disk": gaussian_disk,
    "gaussian": lambda sigma, softness: gaussian(sigma, integrated=True),
}
CONTINUED = tuple(name for name in BOUNDARIES if name != "valid")  # boundaries that leave an image its size


@dataclass(frozen=True)
class BlurRange:
    """What a random exposure may look like; (smallest, largest) of each.

    sigma : blur in px, the standard deviation of the PSF along an axis; (0, 0) is no blur, the camera's noise alone
    spread : largest ratio of the strengths inside one image
    softness : of the Gaussian-like disk; 0.25 is our standard disk, 1.5 almost a Gaussian
    fields : kinds of maps, see `dgno.optics.fields`
    photons : detected at full scale, drawn log-uniformly
    read_noise : in units of full scale
    psf : "disk", the Gaussian-like disk, or "gaussian", where softness means nothing; both integrated over the pixels
    whole_range : every map is drawn from all of `sigma`, whatever the spread; smooth and tilted ones span it
    reading, boundary : see `SpatiallyVaryingBlur`
    edge_softness : px, of the steps of piecewise maps, see `dgno.optics.fields.draw_field`
    """

    sigma: tuple[float, float] = (0.6, 4.0)
    spread: float = 3.0
    softness: tuple[float, float] = (0.25, 0.25)
    fields: tuple[str, ...] = ("constant", "tilted", "smooth", "voronoi")
    photons: tuple[float, float] = (2000.0, 2000.0)
    read_noise: tuple[float, float] = (0.005, 0.005)
    psf: str = "disk"
    whole_range: bool = False
    reading: str = "gather"
    boundary: str = "reflect"
    edge_softness: float = 0.0

    def __post_init__(self) -> None:
        problems = refuse_interval("sigma", self.sigma, 0, LARGEST_SIGMA) + refuse_choice("psf", self.psf, FAMILIES)
        problems += refuse_number("spread", self.spread, 1) + refuse_interval("softness", self.softness, 0)
        problems += field_problems(self.fields, self.edge_softness) + CameraRange.problems(
            self.photons, self.read_noise
        )
        problems += refuse_choice("reading", self.reading, READINGS)
        problems += refuse_choice("boundary", self.boundary, CONTINUED)
        if problems:
            raise ConfigError("no exposure can be drawn from these ranges", why="; ".join(problems))

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> Exposure:
        """A random exposure."""
        return PairRange(self, CameraRange(self.photons, self.read_noise)).draw(shape, rng)

    def draw_optics(self, shape: tuple[int, int], rng: np.random.Generator) -> SigmaOptics:
        """A random blur: around a strength drawn uniformly, a random part of the range, as a random kind of map."""
        low, high = self.sigma
        if not self.whole_range:
            centre = rng.uniform(low, high)
            half = math.exp(rng.uniform(0, math.log(self.spread)) / 2)
            low, high = max(low, centre / half), min(high, centre * half)
        kind = self.fields[rng.integers(len(self.fields))]
        return SigmaOptics(
            draw_field(kind, shape, (low, high), rng, edge_softness=self.edge_softness),
            psf=self.psf,
            softness=round(float(rng.uniform(*self.softness)), 2),  # rounded, so that PSFs are met again
            field=kind,
            reading=self.reading,
            boundary=self.boundary,
        )


def field_problems(fields: tuple[str, ...], edge_softness: float) -> list[str]:
    """What is wrong with names of kinds of maps, and with the softness of their edges."""
    problems = refuse_number("edge_softness", edge_softness, 0)
    if not fields:
        return [*problems, f"fields is empty, known: {', '.join(FIELDS)}"]
    return problems + [
        problem for i, kind in enumerate(fields) for problem in refuse_choice(f"fields[{i}]", kind, FIELDS)
    ]


@dataclass(frozen=True)
class SigmaOptics:
    """Blur by a map of strengths.

    sigma : px at every pixel
    psf, softness : family of the PSFs, see `BlurRange`
    field : the kind of map that `sigma` was drawn as, "given" if it was not drawn
    reading, boundary : see `SpatiallyVaryingBlur`
    """

    sigma: Float[Tensor, "h w"]
    psf: str = "disk"
    softness: float = 0.25
    field: str = "given"
    reading: str = "gather"
    boundary: str = "reflect"

    def blur(self, channels: int = 1) -> SpatiallyVaryingBlur:
        """The blur as a linear operator, for any channels."""
        levels = common_levels(float(self.sigma.min()), float(self.sigma.max()))
        family = functools.partial(_computed, self.psf, softness=self.softness)
        return SpatiallyVaryingBlur(self.sigma, family, reading=self.reading, boundary=self.boundary, levels=levels)

    def mean_psf(self, channels: int = 1) -> PSF:
        """The average PSF over all pixels."""
        return self.blur().mean_psf().numpy()

    def maps(self) -> Mapping[str, Scene]:
        """sigma, px."""
        return {"sigma": self.sigma[None]}

    def facts(self, channels: int = 1) -> Mapping[str, Fact]:
        """Family, range and kind of the map."""
        soft = {"softness": self.softness} if self.psf == "disk" else {}
        how = {"field": self.field, "reading": self.reading, "boundary": self.boundary}
        return {"psf": self.psf, **extent("sigma", self.sigma), **soft, **how}

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """Largest error of the interpolated PSFs, see `dgno.optics.bank_error`."""

        def exact(row: int, col: int) -> PSF:
            return FAMILIES[self.psf](float(self.sigma[row, col]), self.softness)

        return bank_error(self.blur(), scene, exact, rng)


def extent(name: str, values: Float[Tensor, "h w"]) -> dict[str, Fact]:
    """NAME_min, NAME_mean and NAME_max of a map, rounded to 1e-4."""
    return {f"{name}_{f.__name__}": round(float(f(values)), 4) for f in (torch.min, torch.mean, torch.max)}


@functools.lru_cache(maxsize=4096)
def _computed(family: str, sigma: float, softness: float) -> PSF:
    return FAMILIES[family](sigma, softness)


_COMMON = tuple(blur_levels(0.3, 20.0))  # strengths shared by all exposures, so that their PSFs are computed once


def common_levels(lowest: float, highest: float) -> list[float]:
    """The shared strengths that enclose [lowest, highest]; strengths of its own outside their range."""
    if lowest < _COMMON[0] or highest > _COMMON[-1]:
        return blur_levels(lowest, highest)
    first = int(np.searchsorted(_COMMON, lowest, side="right")) - 1
    last = int(np.searchsorted(_COMMON, highest, side="left"))
    return list(_COMMON[first : max(last, first) + 1])
