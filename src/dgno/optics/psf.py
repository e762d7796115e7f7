"""Point-spread functions: images of a point source, sampled on the pixel grid.

Every PSF is a square array of odd side, centred on its middle pixel, non-negative, with sum 1, in float64. Lengths are
in pixels unless a name says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from dgno.checks import refuse_number
from dgno.errors import ConfigError

PSF = Float64[np.ndarray, "k k"]
FINE = 7  # samples along a pixel; odd, so that one is in its middle
LARGE = 100.0  # px, radius of a disk that 3 samples describe within 1e-4 of its peak, if its edge is sharp or 5 px soft
WIDEST = 1023  # px of a PSF's side: strong enough for any image, and made in seconds
SOFTEST = 1e6  # of a disk: a Gaussian long before
IDENTITY: PSF = np.ones((1, 1))


def gaussian(sigma: float, *, integrated: bool | None = None) -> PSF:
    """exp(-r^2 / 2 sigma^2), cut at 4 sigma.

    sigma : standard deviation in px; 0 gives the identity
    integrated : integrate over each pixel (variance sigma^2 + 1/12) instead of sampling at its centre. By default below
        0.8 px, where point samples misstate the variance. A blur that varies across 0.8 px needs one of the two for all
        its strengths, or the PSF jumps there
    """
    _refuse(sigma=sigma)
    if sigma == 0:
        return IDENTITY
    half_side(4 * sigma)
    return _gaussian(sigma, integrated=bool(sigma < 0.8) if integrated is None else integrated)


def _gaussian(sigma: float, *, integrated: bool) -> PSF:
    """`gaussian`, as wide as it gets."""
    radius = max(1, math.ceil(4 * sigma))
    x = np.arange(-radius, radius + 1)
    if integrated:
        edges = np.array([math.erf(t / (sigma * math.sqrt(2))) for t in np.append(x - 0.5, radius + 0.5)])
        line = np.diff(edges)
    else:
        line = np.exp(-(x**2) / (2 * sigma**2))
    return np.outer(line, line) / line.sum() ** 2


def disk(radius: float) -> PSF:
    """Geometric defocus: constant inside a circle, each pixel weighted by the exact area it shares with the disk.

    radius : in px; 0 gives the identity. The variance along an axis is radius^2 / 4 + 1/12.
    """
    _refuse(radius=radius)
    if radius == 0:
        return IDENTITY
    half_side(radius - 0.5)
    return _disk(radius)


def _disk(radius: float) -> PSF:
    """`disk`, as wide as it gets."""
    half = math.ceil(radius + 0.5) - 1  # the outermost pixel that the circle reaches
    edges = np.arange(-half, half + 2) - 0.5
    corner_area = _area_below_left(edges[:, None], edges[None, :], radius)
    area = np.diff(np.diff(corner_area, axis=0), axis=1).clip(min=0)
    return area / area.sum()


def _area_below_left(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Area of the disk's part left of x, a column, and below y, a row: differences over a pixel give the shared one."""
    x, y = np.clip(x, -radius, radius), np.clip(y, -radius, radius)

    def half_disk(t: np.ndarray) -> np.ndarray:  # integral of sqrt(radius^2 - s^2) from -radius to t
        return (
            t * np.sqrt((radius**2 - t**2).clip(0)) + radius**2 * (np.arcsin((t / radius).clip(-1, 1)) + math.pi / 2)
        ) / 2

    # A column at s reaches from -sqrt(r^2 - s^2) up to min(y, sqrt(r^2 - s^2)); it is empty where y is below the disk.
    # The circle crosses the height y at s = -reach and s = reach.
    reach = np.sqrt((radius**2 - y**2).clip(0))
    at_x, at_left, at_right = half_disk(x), half_disk(-reach), half_disk(reach)
    is_left, is_right = x < -reach, x > reach
    chord = np.where(is_left, at_left, np.where(is_right, at_right, at_x)) - at_left
    inside = chord + y * (np.clip(x, -reach, reach) + reach)  # where the chord at y cuts the column
    outside = 2 * np.where(is_left, at_x, at_left) + 2 * np.where(is_right, at_x - at_right, 0)
    return inside + np.where(y > 0, outside, 0)


def gaussian_disk(sigma: float, softness: float = 0.25) -> PSF:
    """A disk with a soft edge, disk(R) convolved with a Gaussian of `softness` R: what defocus looks like.

    sigma : standard deviation along an axis in px, sqrt(R^2 / 4 + (softness R)^2); 0 gives the identity. Integrated
        over the pixels, as a camera does, the variance is sigma^2 + 1/12
    softness : 0 gives the disk; large values approach the Gaussian of the same sigma
    The DGNO paper calls the defocus PSF "often well approximated by a Gaussian-like disk kernel" without a formula;
    this is ours.
    """
    _refuse(sigma=sigma)
    if problems := refuse_number("softness", float(softness), 0, SOFTEST):
        raise ConfigError("there is no such PSF", why=problems[0])
    if sigma == 0:
        return IDENTITY
    radius = float(sigma) / math.sqrt(0.25 + softness**2)
    samples = 3 if radius > LARGE and not 0 < softness * radius < 5 else FINE
    radius = samples * float(sigma) / math.sqrt(0.25 + softness**2)
    half_side((np.ceil(radius - 0.5) + np.ceil(4 * softness * radius) - samples // 2) / samples)
    from scipy.signal import fftconvolve  # here: it takes half a second, and restoring does without

    edge = softness * radius
    sharp, soft = _disk(radius), _gaussian(edge, integrated=edge < 0.8) if edge else IDENTITY
    psf = _binned(fftconvolve(sharp, soft).clip(min=0), samples)
    return psf / psf.sum()


def super_gaussian(radius: float, exponent: float = 1.0) -> PSF:
    """exp(-(r / R)^(2 m)) integrated over each pixel, cut where it falls below e^-8: from a Gaussian to a disk.

    radius : R in px, where the light has fallen to 1/e; 0 gives the identity
    exponent : m, at least 1/2; 1 is the Gaussian of sigma = R / sqrt(2), cut at 4 sigma; large values approach
        the disk of radius R
    The variance along an axis is R^2 Gamma(2 / m) / (2 Gamma(1 / m)) + 1/12, within 1 % where R is above 4 and m
    from 0.7 on; with the longer tails below, of which the cut takes more, it is less by up to 2.5 %.
    """
    if not (0 <= radius < math.inf and 0.5 <= exponent < math.inf):
        why = f"radius {radius} and exponent {exponent}"
        raise ConfigError("a super-Gaussian needs a finite radius >= 0 and an exponent >= 1/2", why=why)
    if radius == 0:
        return IDENTITY
    reach_px = radius * 8 ** (1 / (2 * exponent))
    if reach_px < 0.5:
        return IDENTITY
    samples = max(FINE, 2 * math.ceil(16 / radius) + 1)  # of a pixel: the radius has at least 32
    half_side(reach_px - 0.5 + 0.5 / samples)
    reach = math.ceil(reach_px * samples)
    square = (np.arange(-reach, reach + 1) / (radius * samples)) ** 2
    r2 = square[:, None] + square
    with np.errstate(over="ignore"):  # far outside a hard edge: e^-inf is 0
        psf = _binned(np.exp(-(r2**exponent)), samples)
    return psf / psf.sum()


def half_side(reach: float) -> int:
    """Whole pixels on each side of the middle one, of a PSF that reaches so far; ConfigError beyond `WIDEST`."""
    if reach > WIDEST // 2:
        what, why = f"the PSF would be {2 * float(np.ceil(reach)) + 1:.6g} px wide", f"wanted at most {WIDEST} px"
        raise ConfigError(what, why=why, hint="give a smaller blur, or make the image smaller first")
    return math.ceil(reach)


def _refuse(**lengths: float) -> None:
    problems = [problem for name, value in lengths.items() for problem in refuse_number(name, float(value), 0)]
    if problems:
        raise ConfigError("there is no such PSF", why="; ".join(problems))


def _binned(fine: Float64[np.ndarray, "f f"], samples: int = FINE) -> Float64[np.ndarray, "k k"]:
    """Sums over samples x samples, an odd number, the middle one in the middle of a pixel."""
    half = math.ceil((len(fine) - samples) / 2 / samples)
    fine = np.pad(fine, ((2 * half + 1) * samples - len(fine)) // 2)
    return fine.reshape(2 * half + 1, samples, 2 * half + 1, samples).sum((1, 3))


def standard_deviation(psf: PSF) -> float:
    """Root of the mean variance along both axes, px."""
    offsets = np.arange(len(psf)) - len(psf) // 2
    variance = psf.sum(0) @ offsets**2 + psf.sum(1) @ offsets**2
    return math.sqrt(float(variance / (2 * psf.sum())))


def mean_psf(psfs: Sequence[Float64[np.ndarray, "_ _"]]) -> PSF:
    """The average of PSFs, whatever their sides."""
    half = max(len(psf) for psf in psfs) // 2
    mean: np.ndarray = np.mean([np.pad(psf, half - len(psf) // 2) for psf in psfs], axis=0)
    return mean
