"""From a sharp scene to a pair: draw a defocus, blur, add the camera's noise."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice, refuse_interval, refuse_number
from dgno.errors import ConfigError
from dgno.optics.blur import SpatiallyVaryingBlur, blur_levels
from dgno.optics.fields import FIELDS
from dgno.optics.noise import poisson_gaussian
from dgno.optics.psf import PSF, gaussian, gaussian_disk

Scene = Float[Tensor, "c h w"]
MOST_PHOTONS = 1e15  # torch counts them in float32, up to 2^63
LARGEST_SIGMA = 100.0  # px; PSFs are computed on a fine grid, which grows with the square
FAMILIES: dict[str, Callable[[float, float], PSF]] = {  # sigma, softness -> PSF of variance sigma^2 + 1/12
    "disk": gaussian_disk,
    "gaussian": lambda sigma, softness: gaussian(sigma, integrated=True),
}


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
    """

    sigma: tuple[float, float] = (0.6, 4.0)
    spread: float = 3.0
    softness: tuple[float, float] = (0.25, 0.25)
    fields: tuple[str, ...] = ("constant", "tilted", "smooth", "voronoi")
    photons: tuple[float, float] = (2000.0, 2000.0)
    read_noise: tuple[float, float] = (0.005, 0.005)
    psf: str = "disk"
    whole_range: bool = False

    def __post_init__(self) -> None:
        problems = refuse_interval("sigma", self.sigma, 0, LARGEST_SIGMA) + refuse_choice("psf", self.psf, FAMILIES)
        problems += refuse_number("spread", self.spread, 1) + refuse_interval("softness", self.softness, 0)
        for i, kind in enumerate(self.fields):
            problems += refuse_choice(f"fields[{i}]", kind, FIELDS)
        if not self.fields:
            problems.append(f"fields is empty, known: {', '.join(FIELDS)}")
        problems += refuse_interval("photons", self.photons, 1, MOST_PHOTONS)
        problems += refuse_interval("read_noise", self.read_noise, 0, 1)
        if problems:
            raise ConfigError("no exposure can be drawn from these ranges", why="; ".join(problems))


@dataclass(frozen=True)
class Exposure:
    """One drawn exposure: the blur at every pixel in px, the disk's softness, the camera, and the noise's seed.

    photons : infinite for none of their noise
    field : the kind of map that `sigma` was drawn as, "given" if it was not drawn
    boundary, reading : how the scene goes on beyond its border, and whose strength counts, see `SpatiallyVaryingBlur`
    psf : family of the PSFs, see `BlurRange`
    """

    sigma: Float[Tensor, "h w"]
    softness: float
    photons: float
    read_noise: float
    noise_seed: int
    field: str = "given"
    boundary: str = "reflect"
    reading: str = "gather"
    psf: str = "disk"

    def blur(self) -> SpatiallyVaryingBlur:
        """The blur as a linear operator."""
        levels = common_levels(float(self.sigma.min()), float(self.sigma.max()))
        family = functools.partial(_computed, self.psf, softness=self.softness)
        return SpatiallyVaryingBlur(self.sigma, family, reading=self.reading, boundary=self.boundary, levels=levels)

    def of(self, scene: Scene, plane: int = 0) -> Scene:
        """The blurred and noisy image of a scene in [0, 1]; noise may leave the range.

        plane : of an image whose planes are exposed one by one; each has noise of its own
        """
        seed = self.noise_seed
        if plane:
            seed = int(np.random.SeedSequence([seed, plane]).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)
        blurred = self.blur().apply(scene)
        return poisson_gaussian(blurred, photons=self.photons, read_noise=self.read_noise, generator=generator)


def draw_exposure(shape: tuple[int, int], ranges: BlurRange, rng: np.random.Generator) -> Exposure:
    """A random exposure: around a strength drawn uniformly, a random part of the range, as a random kind of map."""
    low, high = ranges.sigma
    if not ranges.whole_range:
        centre = rng.uniform(low, high)
        half = math.exp(rng.uniform(0, math.log(ranges.spread)) / 2)
        low, high = max(low, centre / half), min(high, centre * half)
    kind = ranges.fields[rng.integers(len(ranges.fields))]
    return Exposure(
        sigma=FIELDS[kind](shape, low, high, rng),
        softness=round(float(rng.uniform(*ranges.softness)), 2),  # rounded, so that PSFs are met again
        photons=float(np.exp(rng.uniform(*np.log(ranges.photons)))),
        read_noise=float(rng.uniform(*ranges.read_noise)),
        noise_seed=int(rng.integers(2**62)),
        field=kind,
        psf=ranges.psf,
    )


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
