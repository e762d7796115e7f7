"""The defocused image of a point in a wide-field microscope: scalar Fourier optics, incoherent, one wavelength.

Lengths in um, frequencies in cycles per um. Goodman, Introduction to Fourier Optics, chapter 6; the phase of defocus is
the exact one of a spherical wave, not its paraxial limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from dgno.checks import refuse_number
from dgno.errors import ConfigError
from dgno.optics.psf import PSF

LARGEST_SIDE = 4096  # px of the grid on which a PSF is computed
WAVELENGTHS = (1e-4, 50.0)  # um: from X-rays to the far infrared; any light told in nm or m lies outside
Samples = Float64[np.ndarray, "n n"]
Rows = Float64[np.ndarray, "n 1"]
Columns = Float64[np.ndarray, "1 n"]


@dataclass(frozen=True)
class Microscope:
    """What decides the PSF besides the defocus.

    numerical_aperture : of the objective
    wavelength : um
    pixel_size : um, in the plane of the specimen
    refractive_index : of the medium between specimen and objective
    apodisation : the pupil's amplitude goes with cos(angle of the ray)^(2 apodisation); -1/4 for a lens that keeps
        sine condition and energy and collects light from a point, 1/4 for one that illuminates, 0 for an even pupil
    """

    numerical_aperture: float
    wavelength: float
    pixel_size: float
    refractive_index: float = 1.0
    apodisation: float = 0.0

    def __post_init__(self) -> None:
        lengths = (self.numerical_aperture, self.wavelength, self.pixel_size, self.refractive_index)
        if not all(0 < length < math.inf for length in lengths):
            raise ConfigError(f"aperture, wavelength, pixel size and index must be positive and finite, got {self}")
        if not WAVELENGTHS[0] <= self.wavelength <= WAVELENGTHS[1]:
            hint = "wavelengths are in um: 0.53 for green light, not 530 (nm)"
            raise ConfigError(f"a wavelength of {self.wavelength:g} um", hint=hint)
        if self.numerical_aperture >= self.refractive_index:
            why = f"NA {self.numerical_aperture} with index {self.refractive_index}"
            raise ConfigError("the numerical aperture must be below the refractive index", why=why)
        if problems := refuse_number("apodisation", self.apodisation, -1, 1):
            raise ConfigError("no such pupil", why=problems[0])

    @property
    def supersampling(self) -> int:
        """Samples per pixel and axis that hold the frequencies up to the cut-off 2 NA / wavelength, at least 2."""
        return max(2, math.ceil(4 * self.pixel_size * self.numerical_aperture / self.wavelength))

    @property
    def depth_of_field(self) -> float:
        """um that look sharp: n wavelength / NA^2 of the wave, and n p / NA that the pixel hides."""
        wave = self.refractive_index * self.wavelength / self.numerical_aperture**2
        return wave + self.refractive_index * self.pixel_size / self.numerical_aperture

    def geometric_radius(self, defocus: float) -> float:
        """Radius in um of the cone of light at this distance from focus."""
        tangent = self.numerical_aperture / math.sqrt(self.refractive_index**2 - self.numerical_aperture**2)
        return abs(defocus) * tangent


def defocused(microscope: Microscope, defocus: float, *, shift: tuple[float, float] = (0.0, 0.0)) -> PSF:
    """Image of a point source `defocus` um out of focus, integrated over the camera's pixels.

    shift : (rows, columns) in um by which the image lies off the middle pixel

    h = |F^-1{P exp(i phi)}|^2 with the pupil P = 1 for nu <= NA / wavelength and
    phi = 2 pi (defocus (sqrt((n / wavelength)^2 - nu^2) - n / wavelength) - shift . nu).
    """
    fine = microscope.pixel_size / microscope.supersampling
    airy = 0.61 * microscope.wavelength / microscope.numerical_aperture
    reach = microscope.geometric_radius(defocus) + math.hypot(*shift)
    side = grid_side(2 * (2 * reach + 8 * airy) / fine)
    nu_y, nu_x = frequencies(side, fine)
    index = microscope.refractive_index / microscope.wavelength
    path = defocus * (np.sqrt((index**2 - nu_y**2 - nu_x**2).clip(0)) - index)
    return image_of_pupil(microscope, 2 * np.pi * (path - shift[0] * nu_y - shift[1] * nu_x))


def image_of_pupil(microscope: Microscope, phase: Samples) -> PSF:
    """PSF of a pupil with this phase in radians, given at `frequencies` on a grid finer than the pixels.

    The grid holds every frequency of the intensity, so its integral over pixels is exact: a product with their
    transfer function sinc(nu_y p) sinc(nu_x p), read at the middles of the pixels.
    A rim of partial samples is a soft one, which takes 0.5 to 2.5 % of the light (Parseval: sum of T (1 - T)) from the
    pattern's far tails, most of them beyond the grid. That share is spread around it, over a square of half the grid,
    so that the core keeps its height, and all keeps its centroid.
    """
    n, s, pixel = len(phase), microscope.supersampling, microscope.pixel_size
    nu_y, nu_x = frequencies(n, pixel / s)
    transmission = _aperture(microscope, nu_y, nu_x)
    cosine = np.sqrt((1 - (nu_y**2 + nu_x**2) * (microscope.wavelength / microscope.refractive_index) ** 2).clip(1e-12))
    amplitude = cosine ** (2 * microscope.apodisation)
    intensity = np.abs(np.fft.ifft2(transmission * amplitude * np.exp(1j * phase))) ** 2
    lost = (transmission * (1 - transmission) * amplitude**2).sum() / ((transmission * amplitude) ** 2).sum()
    otf = np.fft.fft2(intensity) * (1 + lost * _box(nu_y, nu_x, n // 2 * pixel / s)) * _box(nu_y, nu_x, pixel)
    light = np.fft.ifft2(otf).real.clip(0)
    half = (n - 1) // 2 // s
    at = s * np.arange(-half, half + 1)
    return _crop(light[np.ix_(at, at)])


def frequencies(side: int, fine: float) -> tuple[Rows, Columns]:
    """Cycles per um along rows and columns of a transform of side x side samples, `fine` um apart."""
    nu = np.fft.fftfreq(side, fine)
    return nu[:, None], nu[None, :]


def _box(nu_y: Rows, nu_x: Columns, side: float) -> Samples:
    """Transfer function of the mean over a square."""
    product: np.ndarray = np.sinc(nu_y * side) * np.sinc(nu_x * side)
    return product


def _aperture(microscope: Microscope, nu_y: Rows, nu_x: Columns) -> Samples:
    edge = microscope.numerical_aperture / microscope.wavelength
    step = nu_x[0, 1] - nu_x[0, 0]
    transmission: np.ndarray = ((edge - np.sqrt(nu_y**2 + nu_x**2)) / step + 0.5).clip(0, 1)  # the rim by its share
    return transmission


def grid_side(needed: float) -> int:
    """Samples along the grid on which a PSF is computed: the next power of two, refused where that grows absurd."""
    side = 2 ** math.ceil(math.log2(max(needed, 64)))
    if side > LARGEST_SIDE:
        hint = "blur so strong cannot be computed, nor restored: give a smaller defocus, and all lengths in um"
        raise ConfigError(f"the PSF would need a grid of {side} x {side} samples", hint=hint)
    return side


def _crop(psf: PSF, lost: float = 1e-3) -> Float64[np.ndarray, "k2 k2"]:
    """The smallest centred square that misses at most a share `lost` of the light, with sum 1."""
    psf, middle = psf / psf.sum(), len(psf) // 2
    ring = np.maximum(*np.abs(np.indices(psf.shape) - middle))
    enclosed = np.bincount(ring.ravel(), psf.ravel()).cumsum()
    half = int(np.searchsorted(enclosed, 1 - lost))
    cropped = psf[middle - half : middle + half + 1, middle - half : middle + half + 1]
    return cropped / cropped.sum()
