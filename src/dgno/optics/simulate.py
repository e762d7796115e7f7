"""From a sharp scene to a pair: blurred and sharp, with the blur that was applied."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.optics.blur import SpatiallyVaryingBlur, blur_levels
from dgno.optics.fields import FIELDS
from dgno.optics.noise import poisson_gaussian
from dgno.optics.psf import PSF, gaussian_disk


@dataclass(frozen=True)
class BlurRange:
    """What a random defocus may look like.

    sigma : smallest and largest blur in px (standard deviation of the PSF along an axis)
    spread : largest ratio of strengths inside one image
    softness : of the Gaussian-like disk, smallest and largest; 0.25 is our standard disk, 2 almost a Gaussian
    fields : kinds of maps, see `dgno.optics.fields`
    photons : detected at full scale, smallest and largest; drawn log-uniformly
    read_noise : smallest and largest, in units of full scale
    """

    sigma: tuple[float, float] = (0.6, 4.0)
    spread: float = 3.0
    softness: tuple[float, float] = (0.25, 0.25)
    fields: tuple[str, ...] = ("constant", "tilted", "smooth", "voronoi")
    photons: tuple[float, float] = (2000.0, 2000.0)
    read_noise: tuple[float, float] = (0.005, 0.005)


@dataclass(frozen=True)
class Pair:
    """One simulated exposure.

    sharp, blurred : (c, h, w) in [0, 1]; noise may leave the range
    sigma : (h, w) true blur in px
    """

    sharp: Float[Tensor, "c h w"]
    blurred: Float[Tensor, "c h w"]
    sigma: Float[Tensor, "h w"]


@functools.lru_cache(maxsize=4096)
def _cached_disk(sigma: float, softness: float) -> PSF:
    return gaussian_disk(sigma, softness)


def draw_field(shape: tuple[int, int], ranges: BlurRange, rng: np.random.Generator) -> Float[Tensor, "h w"]:
    """A map of blur strengths: a random kind, a random part of the range at most `spread` wide."""
    low, high = ranges.sigma
    centre = rng.uniform(low, high)
    half = np.exp(rng.uniform(0, np.log(ranges.spread)) / 2)
    kind = ranges.fields[rng.integers(len(ranges.fields))]
    return FIELDS[kind](shape, max(low, centre / half), min(high, centre * half), rng)


def simulate(
    scene: Float[Tensor, "c h w"], ranges: BlurRange, rng: np.random.Generator, *, margin: int = 0
) -> Pair:
    """Blur a sharp scene by a random spatially varying defocus and add camera noise.

    scene : (c, h, w) in [0, 1]
    margin : px cut from every side of the result, so that it does not show how the blur continued the scene
    """
    sigma = draw_field((scene.shape[-2], scene.shape[-1]), ranges, rng)
    softness = round(float(rng.uniform(*ranges.softness)), 1 if ranges.softness[0] < ranges.softness[1] else 6)
    levels = snapped_levels(float(sigma.min()), float(sigma.max()))
    blur = SpatiallyVaryingBlur(sigma, functools.partial(_cached_disk, softness=softness), levels=levels)
    blurred = blur.apply(scene)
    noise_seed = torch.Generator().manual_seed(int(rng.integers(2**62)))
    photons = float(np.exp(rng.uniform(*np.log(ranges.photons))))
    read_noise = float(rng.uniform(*ranges.read_noise))
    blurred = poisson_gaussian(blurred, photons=photons, read_noise=read_noise, generator=noise_seed)

    inside = (..., slice(margin, scene.shape[-2] - margin), slice(margin, scene.shape[-1] - margin))
    return Pair(scene[inside], blurred[inside], sigma[inside])


GRID = np.array(blur_levels(0.3, 20.0))  # common levels, so that PSFs are computed once in a process


def snapped_levels(lowest: float, highest: float) -> list[float]:
    """The common levels that enclose [lowest, highest]."""
    first = max(int(np.searchsorted(GRID, lowest, side="right")) - 1, 0)
    last = int(np.searchsorted(GRID, highest, side="left"))
    if lowest < GRID[0] or last >= len(GRID):
        return blur_levels(lowest, highest)
    return [float(level) for level in GRID[first : last + 1]]
