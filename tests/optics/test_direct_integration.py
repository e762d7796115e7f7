"""Every family of PSFs against its defining integral, here by quadrature: no transforms, no grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import erf, j0

from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.motion import linear_motion
from dgno.optics.psf import PSF, disk, gaussian, gaussian_disk, super_gaussian
from dgno.optics.seidel import Seidel, seidel


def nodes(n: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights of Gauss and Legendre."""
    x, w = np.polynomial.legendre.leggauss(n)
    return low + (x + 1) / 2 * (high - low), w * (high - low) / 2


def over_pixels(half: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in px within each of 2 half + 1 pixels in a row, (pixels, points), and their weights."""
    x, w = nodes(points, -0.5, 0.5)
    return np.arange(-half, half + 1)[:, None] + x, w


def middle(psf: PSF, half: int) -> PSF:
    centre = len(psf) // 2
    return psf[centre - half : centre + half + 1, centre - half : centre + half + 1]


def of_radius(lens: Microscope, z: float, r: np.ndarray) -> np.ndarray:
    """|2 pi integral_0^(NA / wavelength) exp(i phi) J0(2 pi nu r) nu dnu|^2, of integral 1 over the plane; r in um."""
    edge, index = lens.numerical_aperture / lens.wavelength, lens.refractive_index / lens.wavelength
    nu, w = nodes(400, 0, edge)
    wave = np.exp(2j * math.pi * z * (np.sqrt(index**2 - nu**2) - index)) * 2 * math.pi * nu * w
    return np.abs(j0(2 * math.pi * np.outer(r, nu)) @ wave) ** 2 / (math.pi * edge**2)


LENSES = {
    "undersampled": Microscope(0.3, 0.55, 0.55),
    "fine": Microscope(0.25, 0.61, 0.21),
    "dry": Microscope(0.75, 0.5, 0.3),
    "dry, almost 1": Microscope(0.95, 0.6, 0.5),
    "water": Microscope(1.1, 0.48, 0.16, 1.333),
    "oil": Microscope(1.3, 0.52, 0.1, 1.515),
}


@pytest.mark.parametrize(("z", "tolerance"), [(0.0, 0.003), (0.4, 0.01), (-0.4, 0.01), (1.7, 0.02), (3.3, 0.02)])
@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
def test_defocus(lens: Microscope, z: float, tolerance: float) -> None:
    """Share of the light on every pixel within 12 px of the middle, relative to the largest."""
    psf = defocused(lens, z)
    half = min(12, len(psf) // 2 - 1)
    at, w = over_pixels(half, 8)
    radii = np.linspace(0, (half + 1) * math.sqrt(2) * lens.pixel_size, 1500)
    x = at.ravel() * lens.pixel_size
    values = np.interp(np.hypot(x[:, None], x), radii, of_radius(lens, z, radii)).reshape(*at.shape, *at.shape)
    expected = np.einsum("iajb,a,b->ij", values, w, w) * lens.pixel_size**2
    assert np.abs(middle(psf, half) - expected).max() < tolerance * expected.max()


@pytest.mark.parametrize(("z", "half_radius", "tenth_radius"), [
    (0.0, 0.55, 1.74),
    (3.12, 0.61, 2.35),
    (6.24, 1.17, 2.96),
    (9.36, 1.67, 3.69),
    (15.6, 2.97, 5.34),
    (31.2, 6.38, 9.69),
])  # fmt: skip
def test_encircled_light(z: float, half_radius: float, tenth_radius: float) -> None:
    """Half of the light and 90 % of it lie within these um, on two samples a pixel of 0.55 um; NA 0.3, 0.55 um."""
    psf = defocused(Microscope(0.3, 0.55, 0.275), z)
    radii = np.hypot(*np.indices(psf.shape) - len(psf) // 2).ravel() * 0.275
    order = np.argsort(radii)
    enclosed = psf.ravel()[order].cumsum()
    assert np.interp([0.5, 0.9], enclosed, radii[order]) == pytest.approx([half_radius, tenth_radius], rel=0.02)


def test_the_axis_is_dark_at_the_first_null() -> None:
    """At z = 2 n wavelength / NA^2 = 12.2 um in the paraxial limit, with the exact phase 2.4 % before it."""
    lens = Microscope(0.3, 0.55, 0.55 / 8)
    on_axis = [psf[len(psf) // 2, len(psf) // 2] for psf in (defocused(lens, z) for z in (0.0, 11.2, 11.93, 12.7))]
    assert on_axis[2] < 1e-3 * on_axis[0]
    assert min(on_axis[1], on_axis[3]) > 3 * on_axis[2]


@pytest.mark.parametrize("place", [(0.0, 0.7), (-0.5, 0.4), (0.9, 0.9)])
@pytest.mark.parametrize("coefficients", [
    Seidel(0.4, 0.3, -0.5, 0.2, 0.6, -0.3),
    Seidel(coma=1.2),
    Seidel(astigmatism=1.1, field_curvature=-0.6),
])  # fmt: skip
def test_aberrations(coefficients: Seidel, place: tuple[float, float]) -> None:
    """The pupil's integral in polar coordinates, X from the axis to the field point, on the middle pixels."""
    lens = Microscope(0.4, 0.52, 0.4)
    c, field, towards = coefficients, math.hypot(*place), math.atan2(*place)
    rho, w_rho = nodes(60, 0, 1)
    angle = np.arange(128) * 2 * math.pi / 128
    x, y = np.outer(rho, np.cos(angle)), np.outer(rho, np.sin(angle))
    waves = c.sphere * rho[:, None] ** 4 + c.coma * field * rho[:, None] ** 2 * x + c.astigmatism * field**2 * x**2
    waves += (c.field_curvature * field**2 + c.defocus) * rho[:, None] ** 2 + c.distortion * field**3 * x
    pupil = np.exp(-2j * math.pi * waves) * (rho * w_rho)[:, None] * 2 * math.pi / 128
    edge = lens.numerical_aperture / lens.wavelength
    at, w = over_pixels(6, 6)
    tau = 2 * math.pi * edge * lens.pixel_size * at.ravel()  # a place in the image, times 2 pi of a pupil radius
    to_right = x * math.cos(towards) - y * math.sin(towards)
    down = x * math.sin(towards) + y * math.cos(towards)
    columns = np.exp(1j * tau[:, None] * to_right.ravel())
    rows = np.exp(1j * tau[:, None] * down.ravel())
    intensity = np.abs((rows * pupil.ravel()) @ columns.T) ** 2 * edge**2 / math.pi * lens.pixel_size**2
    expected = np.einsum("iajb,a,b->ij", intensity.reshape(*at.shape, *at.shape), w, w)
    psf = middle(seidel(lens, coefficients, place), 6)
    assert np.abs(psf - expected).max() < 0.02 * expected.max()


@pytest.mark.parametrize(("sigma", "softness"), [(0.5, 0.25), (1.7, 0.4), (3.4, 0.1), (5.1, 0.25)])
def test_the_gaussian_like_disk(sigma: float, softness: float) -> None:
    """A Gaussian integrated over each pixel, its middle spread over the disk."""
    radius = sigma / math.sqrt(0.25 + softness**2)
    psf, s = gaussian_disk(sigma, softness), softness * radius
    edges = np.arange(-(len(psf) // 2), len(psf) // 2 + 2) - 0.5
    r, w = nodes(80, 0, radius)
    angle = np.arange(160) * 2 * math.pi / 160
    x, y = np.outer(r, np.cos(angle)).ravel(), np.outer(r, np.sin(angle)).ravel()
    columns, rows = (np.diff(erf((edges[:, None] - t) / (s * math.sqrt(2))), axis=0) / 2 for t in (x, y))
    weights = np.repeat(w * r, 160) * 2 * math.pi / 160 / (math.pi * radius**2)
    expected = (rows * weights) @ columns.T
    assert np.abs(psf - expected).max() < 0.01 * expected.max()


@pytest.mark.parametrize(("radius", "exponent"), [(0.8, 1.0), (2.3, 1.5), (4.1, 3.0), (3.3, 0.7)])
def test_the_super_gaussian(radius: float, exponent: float) -> None:
    psf = super_gaussian(radius, exponent)
    at, w = over_pixels(len(psf) // 2, 24)
    r2 = (at[:, :, None, None] ** 2 + at**2) / radius**2
    expected = np.einsum("iajb,a,b->ij", np.exp(-(r2**exponent)), w, w)
    expected /= expected.sum()
    assert np.abs(psf - expected).max() < 0.005 * expected.max()


@pytest.mark.parametrize("radius", [0.45, 1.9, 5.25])
def test_the_disk(radius: float) -> None:
    """Lengths of chords through each pixel, added up."""
    psf = disk(radius)
    at, w = over_pixels(len(psf) // 2, 64)
    reach = np.sqrt((radius**2 - at**2).clip(0))  # of the chord at each place
    edges = np.arange(-(len(psf) // 2), len(psf) // 2 + 2) - 0.5
    expected = np.diff(np.clip(edges[:, None, None], -reach, reach), axis=0) @ w / (math.pi * radius**2)
    np.testing.assert_allclose(psf, expected, atol=2e-3 * psf.max())


@pytest.mark.parametrize("sigma", [0.31, 0.6, 0.79, 2.2])
def test_the_integrated_gaussian(sigma: float) -> None:
    psf = gaussian(sigma, integrated=True)
    at, w = over_pixels(len(psf) // 2, 40)
    line = np.exp(-(at**2) / (2 * sigma**2)) @ w
    np.testing.assert_allclose(psf, np.outer(line, line) / line.sum() ** 2, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 13.0, 45.0, 71.5, 90.0, 160.0, 213.0])
@pytest.mark.parametrize("length", [2.0, 6.6, 11.0, 24.5])
def test_straight_motion(length: float, angle: float) -> None:
    """Many instants, each a pixel wide along the path's main axis and shared linearly along the other.

    Shared along both axes, as a moved image is when it is interpolated, the ends reach half a pixel farther.
    """
    psf = linear_motion(length, angle)
    half = len(psf) // 2 + 1
    t = ((np.arange(20_000) + 0.5) / 20_000 - 0.5) * length
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    offsets = np.arange(-half, half + 1)[:, None]
    x, y = np.abs(offsets - t * cos), np.abs(offsets - t * sin)
    shared = (1 - y).clip(0), (1 - x).clip(0)
    wide = (y < 0.5).astype(float), (x < 0.5).astype(float)
    rows, columns = (shared[0], wide[1]) if abs(cos) > abs(sin) - 1e-9 else (wide[0], shared[1])
    np.testing.assert_allclose(np.pad(psf, 1), rows @ columns.T / len(t), atol=2e-3 / length)
    assert np.abs(np.pad(psf, 1) - shared[0] @ shared[1].T / len(t)).max() <= 0.15 / length
