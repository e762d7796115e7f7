"""Aberrations of third order across the field of a lens: sharp in the middle, comatic and astigmatic in the corners.

Wave aberration, in waves, of the field point at distance H from the axis (1 = half the side of the field):

    W = W040 rho^4 + W131 H rho^2 X + W222 H^2 X^2 + W220 H^2 rho^2 + W311 H^3 X + Wd rho^2

with the pupil coordinates (X, Y), rho^2 = X^2 + Y^2 <= 1, turned so that X points from the axis to the field point.
PSF = |F^-1{circ(rho) exp(-2 pi i W)}|^2, integrated over the camera's pixels. The size of a pixel is given by the
`Microscope`; Kohli et al. 2025 (Nature Methods 22, 1311, ring deconvolution), whose order of coefficients this keeps,
let it follow from the number of samples. Welford, Aberrations of Optical Systems, chapter 7.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Protocol, runtime_checkable

from dgno.checks import refuse_number
from dgno.errors import ConfigError
from dgno.optics.diffraction import Microscope, Samples, frequencies, grid_side, image_of_pupil
from dgno.optics.psf import PSF


@dataclass(frozen=True)
class Seidel:
    """Coefficients in waves, in the order of the ring-deconvolution literature.

    sphere : W040, the same over the whole field
    coma : W131, grows with H
    astigmatism : W222, grows with H^2
    field_curvature : W220, grows with H^2
    distortion : W311, grows with H^3; moves the PSF outward by W311 H^3 wavelength / NA
    defocus : Wd, the same over the whole field; z um of it are z NA^2 / (2 n wavelength) waves
    """

    sphere: float = 0.0
    coma: float = 0.0
    astigmatism: float = 0.0
    field_curvature: float = 0.0
    distortion: float = 0.0
    defocus: float = 0.0

    def __post_init__(self) -> None:
        problems = [p for name, value in vars(self).items() for p in refuse_number(name, value, -math.inf)]
        if problems:
            raise ConfigError("these are no Seidel coefficients", why="; ".join(problems))

    def waves(self, x: Samples, y: Samples, field: float) -> Samples:
        """W at pupil coordinates x (along the field direction) and y, for the field point at distance `field`."""
        square, h = x**2 + y**2, field
        w040, w131, w222, w220, w311, defocus = astuple(self)
        curved = (w220 * h**2 + defocus + w040 * square) * square
        result: Samples = curved + w131 * h * square * x + w222 * h**2 * x**2 + w311 * h**3 * x
        return result

    def steepest(self, field: float) -> float:
        """A bound of the slope of W over the pupil: times wavelength / NA, how far a ray misses, in um."""
        w040, w131, w222, w220, w311, defocus = (abs(c) for c in astuple(self))
        h = field
        return 4 * w040 + 3 * w131 * h + 2 * (w222 + w220) * h**2 + w311 * h**3 + 2 * defocus


@runtime_checkable
class Aberration(Protocol):
    """Wave aberrations over pupil and field: `Seidel`, or `SixthOrder`."""

    def waves(self, x: Samples, y: Samples, field: float) -> Samples:
        """W at pupil coordinates x (along the field direction) and y, for the field point at distance `field`."""
        ...

    def steepest(self, field: float) -> float:
        """A bound of the slope of W over the pupil."""
        ...


def seidel(microscope: Microscope, coefficients: Aberration, position: tuple[float, float]) -> PSF:
    """Image of a point source at one place of the field; its middle pixel is the ideal image point.

    position : (row, col) from the optical axis in half sides of the field: (0, 0) the axis, (1, 1) a corner
    Coma and distortion move the centroid off the middle pixel: that displacement belongs to the image.
    """
    problems = refuse_number("row", position[0], -math.inf) + refuse_number("col", position[1], -math.inf)
    if problems:
        raise ConfigError("no place of the field", why="; ".join(problems))
    field, angle = math.hypot(*position), math.atan2(*position)
    airy = 0.61 * microscope.wavelength / microscope.numerical_aperture
    reach = coefficients.steepest(field) * microscope.wavelength / microscope.numerical_aperture
    fine = microscope.pixel_size / microscope.supersampling
    side = grid_side(2 * (2 * reach + 8 * airy) / fine)
    nu_y, nu_x = frequencies(side, fine)
    edge = microscope.numerical_aperture / microscope.wavelength
    x = (math.cos(angle) * nu_x + math.sin(angle) * nu_y) / edge
    y = (math.cos(angle) * nu_y - math.sin(angle) * nu_x) / edge
    return image_of_pupil(microscope, -2 * math.pi * coefficients.waves(x, y, field))
