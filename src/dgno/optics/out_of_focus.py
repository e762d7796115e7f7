"""Defocus in um by a map, through a microscope: drawn at random, blurred by diffraction, recorded."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice, refuse_interval
from dgno.errors import ConfigError
from dgno.optics.bank_error import bank_error
from dgno.optics.blur import READINGS, SpatiallyVaryingBlur
from dgno.optics.brightfield import WAVELENGTHS, BrightFieldBlur, defocus_levels
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.exposure import Fact, Scene
from dgno.optics.fields import draw_field
from dgno.optics.psf import PSF, mean_psf
from dgno.optics.simulate import CONTINUED, extent, field_problems


@dataclass(frozen=True)
class DefocusOptics:
    """Defocus by a map, through a wide-field microscope.

    defocus : um from focus at each pixel, of either sign
    microscope : its wavelength is that of gray images
    bands : um, the wavelengths of red, green and blue; None: colours, too, are of the microscope's wavelength
    field : the kind of map, "given" if it was not drawn
    reading, boundary : see `SpatiallyVaryingBlur`
    """

    defocus: Float[Tensor, "h w"]
    microscope: Microscope
    bands: tuple[float, float, float] | None = WAVELENGTHS
    field: str = "given"
    reading: str = "gather"
    boundary: str = "reflect"

    def blur(self, channels: int) -> SpatiallyVaryingBlur | BrightFieldBlur:
        """The operator: one wavelength, or three for an image of three channels."""
        if self.bands is None or channels != 3:
            return self._band(self.microscope.wavelength)
        return BrightFieldBlur(
            self.defocus, self.microscope, wavelengths=self.bands, reading=self.reading, boundary=self.boundary
        )

    def _band(self, wavelength: float) -> SpatiallyVaryingBlur:
        optics = dataclasses.replace(self.microscope, wavelength=wavelength)
        distance = self.defocus.abs()  # either side of focus looks the same
        levels = defocus_levels(optics, *map(float, distance.aminmax()))
        family = functools.partial(defocused, optics)
        return SpatiallyVaryingBlur(distance, family, reading=self.reading, boundary=self.boundary, levels=levels)

    def _wavelengths(self, channels: int) -> tuple[float, ...]:
        return (self.microscope.wavelength,) if self.bands is None or channels != 3 else self.bands

    def mean_psf(self, channels: int) -> PSF:
        """The average PSF over all pixels and channels."""
        return mean_psf([self._band(wavelength).mean_psf().numpy() for wavelength in self._wavelengths(channels)])

    def maps(self) -> Mapping[str, Scene]:
        """z, um."""
        return {"z": self.defocus[None]}

    def facts(self, channels: int) -> Mapping[str, Fact]:
        """The microscope, range and kind of the map."""
        lens = dataclasses.asdict(self.microscope)
        lens["wavelength"] = " ".join(f"{wavelength:g}" for wavelength in self._wavelengths(channels))
        how = {"field": self.field, "reading": self.reading, "boundary": self.boundary}
        return {"psf": "diffraction", **extent("z", self.defocus), **lens, **how}

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """Largest error of the interpolated PSFs, see `dgno.optics.bank_error`; of the first wavelength."""
        wavelength = self._wavelengths(scene.shape[0])[0]
        optics = dataclasses.replace(self.microscope, wavelength=wavelength)

        def exact(row: int, col: int) -> PSF:
            return defocused(optics, float(self.defocus[row, col]))

        return bank_error(self._band(wavelength), scene[:1], exact, rng)


@dataclass(frozen=True)
class DefocusRange:
    """Random maps of defocus, each from one end of the range to the other.

    defocus : (smallest, largest) in um, of either sign
    microscope, bands, reading, boundary : see `DefocusOptics`
    fields, edge_softness : kinds of maps, and the softness of their steps in px, see `dgno.optics.fields`
    """

    defocus: tuple[float, float]
    microscope: Microscope
    bands: tuple[float, float, float] | None = WAVELENGTHS
    fields: tuple[str, ...] = ("constant", "tilted", "smooth", "voronoi")
    reading: str = "gather"
    boundary: str = "reflect"
    edge_softness: float = 0.0

    def __post_init__(self) -> None:
        problems = refuse_interval("defocus", self.defocus, -math.inf) + field_problems(self.fields, self.edge_softness)
        problems += refuse_choice("reading", self.reading, READINGS)
        problems += refuse_choice("boundary", self.boundary, CONTINUED)
        if problems:
            raise ConfigError("no defocus can be drawn from these ranges", why="; ".join(problems))

    def draw_optics(self, shape: tuple[int, int], rng: np.random.Generator) -> DefocusOptics:
        """A random map."""
        kind = self.fields[rng.integers(len(self.fields))]
        z = draw_field(kind, shape, self.defocus, rng, edge_softness=self.edge_softness)
        how = {"field": kind, "reading": self.reading, "boundary": self.boundary}
        return DefocusOptics(z, self.microscope, self.bands, **how)
