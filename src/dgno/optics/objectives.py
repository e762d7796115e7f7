"""Defocus as the objectives of many laboratories show it: what training draws beside soft disks.

The strength is given in px, as of soft disks, and turned into a distance from focus: the standard deviation along an
axis of where the rays of an even pupil meet the plane, of pixel size p. With a = NA / n their tangents have the mean
square

    <tan^2> = -1 - log(1 - a^2) / a^2,      z = sigma p / sqrt(<tan^2> / 2);

of a narrow cone that is half the cone's radius. What diffraction adds, rings and the blur of focus itself, is in the
PSF.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.optics.bank_error import bank_error
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.brightfield import WAVELENGTHS
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.exposure import Blur, Fact, Scene
from dgno.optics.psf import PSF, mean_psf
from dgno.optics.simulate import common_levels, extent

# NA, wavelength and pixel size in um, index: usual objectives with cameras of 3.45 and 6.5 um, and slide scanners; all
# sample their images at 1 to 3 times the Nyquist distance wavelength / (4 NA) and thus show a point in focus as about
# one pixel.
OBJECTIVES = (
    Microscope(0.13, 0.52, 1.625),
    Microscope(0.3, 0.52, 0.65),
    Microscope(0.3, 0.60, 1.0),
    Microscope(0.45, 0.52, 0.65),
    Microscope(0.5, 0.46, 0.325),
    Microscope(0.75, 0.52, 0.325),
    Microscope(0.75, 0.55, 0.5),
    Microscope(0.75, 0.55, 0.25),
    Microscope(0.95, 0.60, 0.1625),
    Microscope(1.2, 0.52, 0.1625, refractive_index=1.33),
    Microscope(1.3, 0.60, 0.1625, refractive_index=1.515),
    Microscope(1.4, 0.46, 0.1035, refractive_index=1.515),
)


@dataclass(frozen=True)
class ObjectiveOptics:
    """Defocus by a map of strengths, through an objective.

    sigma : px at every pixel, of the cone of light
    objective : its wavelength is that of gray images; colours have their own
    field : the kind of map that `sigma` was drawn as, "given" if it was not drawn
    reading, boundary : see `SpatiallyVaryingBlur`
    """

    sigma: Float[Tensor, "h w"]
    objective: Microscope
    field: str = "given"
    reading: str = "gather"
    boundary: str = "reflect"

    def blur(self, channels: int) -> Blur:
        """The operator: one wavelength, or three for an image of three channels."""
        bands = [self._band(wavelength) for wavelength in self._wavelengths(channels)]
        return bands[0] if len(bands) == 1 else BandBlur(bands)

    def _wavelengths(self, channels: int) -> tuple[float, ...]:
        return WAVELENGTHS if channels == 3 else (self.objective.wavelength,)

    def _band(self, wavelength: float) -> SpatiallyVaryingBlur:
        family = functools.partial(_computed, replace(self.objective, wavelength=wavelength))
        levels = common_levels(float(self.sigma.min()), float(self.sigma.max()))
        return SpatiallyVaryingBlur(self.sigma, family, reading=self.reading, boundary=self.boundary, levels=levels)

    def mean_psf(self, channels: int) -> PSF:
        """The average PSF over all pixels and channels."""
        return mean_psf([self._band(wavelength).mean_psf().numpy() for wavelength in self._wavelengths(channels)])

    def maps(self) -> Mapping[str, Scene]:
        """sigma, px."""
        return {"sigma": self.sigma[None]}

    def facts(self, channels: int) -> Mapping[str, Fact]:
        """The objective, range and kind of the map, and how it is read."""
        lens = asdict(self.objective) | {"wavelength": " ".join(f"{w:g}" for w in self._wavelengths(channels))}
        how = {"field": self.field, "reading": self.reading, "boundary": self.boundary}
        return {"psf": "objective", **extent("sigma", self.sigma), **lens, **how}

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """Largest error of the interpolated PSFs, see `dgno.optics.bank_error`; of the first wavelength."""
        wavelength = self._wavelengths(scene.shape[0])[0]
        lens = replace(self.objective, wavelength=wavelength)

        def exact(row: int, col: int) -> PSF:
            return defocused(lens, distance(lens, float(self.sigma[row, col])))

        return bank_error(self._band(wavelength), scene[:1], exact, rng)


class BandBlur:
    """A blur of its own for every channel."""

    def __init__(self, bands: list[SpatiallyVaryingBlur]) -> None:
        self.bands = bands

    def apply(self, h: Tensor) -> Tensor:
        """The blurred image (..., c, h, w), linear light in and out."""
        return torch.stack([band.apply(h[..., c, :, :]) for c, band in enumerate(self.bands)], dim=-3)

    def adjoint(self, g: Tensor) -> Tensor:
        """The transpose of `apply`."""
        return torch.stack([band.adjoint(g[..., c, :, :]) for c, band in enumerate(self.bands)], dim=-3)


def distance(objective: Microscope, sigma: float) -> float:
    """um from focus at which the rays have this standard deviation in px along an axis."""
    squared = (objective.numerical_aperture / objective.refractive_index) ** 2
    return sigma * objective.pixel_size / math.sqrt((-1 - math.log1p(-squared) / squared) / 2)


@functools.lru_cache(maxsize=2048)
def _computed(objective: Microscope, sigma: float) -> PSF:
    return defocused(objective, distance(objective, sigma))
