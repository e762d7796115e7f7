"""Aberrations across the field: what each coefficient does, and where."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dgno.errors import ConfigError
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.psf import PSF, standard_deviation
from dgno.optics.seidel import Seidel, seidel

LENS = Microscope(numerical_aperture=0.5, wavelength=0.55, pixel_size=0.3)
EVERY = {
    "none": Seidel(),
    "sphere": Seidel(sphere=1.0),
    "coma": Seidel(coma=0.8),
    "astigmatism": Seidel(astigmatism=1.0),
    "field curvature": Seidel(field_curvature=1.5),
    "distortion": Seidel(distortion=2.0),
    "defocus": Seidel(defocus=-1.0),
    "all": Seidel(0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
}
PLACES = [(0.0, 0.0), (0.0, 1.0), (-0.6, 0.3), (1.0, 1.0)]
every = pytest.mark.parametrize("coefficients", EVERY.values(), ids=EVERY.keys())


def centroid(psf: PSF) -> tuple[float, float]:
    offsets = np.arange(len(psf)) - len(psf) // 2
    return float(psf.sum(1) @ offsets), float(psf.sum(0) @ offsets)


def same_size(a: PSF, b: PSF) -> tuple[PSF, PSF]:
    half = max(len(a), len(b)) // 2
    return np.pad(a, half - len(a) // 2), np.pad(b, half - len(b) // 2)


@every
@pytest.mark.parametrize("place", PLACES)
def test_a_distribution_of_odd_side(coefficients: Seidel, place: tuple[float, float]) -> None:
    psf = seidel(LENS, coefficients, place)
    assert psf.shape[0] == psf.shape[1]
    assert psf.shape[0] % 2 == 1
    assert psf.min() >= 0
    assert psf.sum() == pytest.approx(1, abs=1e-12)


@every
def test_the_field_turned_is_the_psf_turned(coefficients: Seidel) -> None:
    """A lens is the same all around its axis; a quarter of a turn is exact on the grid."""
    row, col = 0.4, 0.7
    for turns, place in enumerate([(row, col), (-col, row), (-row, -col), (col, -row)]):
        turned = np.rot90(seidel(LENS, coefficients, (row, col)), turns)
        np.testing.assert_allclose(*same_size(seidel(LENS, coefficients, place), turned), atol=2e-6)


@every
def test_mirror_symmetry_across_the_field_direction(coefficients: Seidel) -> None:
    psf = seidel(LENS, coefficients, (0.0, 0.9))
    np.testing.assert_allclose(psf, psf[::-1], atol=1e-9)


def test_without_aberrations_it_is_the_airy_pattern() -> None:
    for place in PLACES:
        np.testing.assert_allclose(*same_size(seidel(LENS, Seidel(), place), defocused(LENS, 0.0)), atol=1e-9)


def test_on_the_axis_only_sphere_and_defocus_act() -> None:
    lateral = Seidel(0.0, 0.4, 0.5, 0.6, 0.7, 0.0)
    np.testing.assert_allclose(seidel(LENS, lateral, (0.0, 0.0)), seidel(LENS, Seidel(), (0.0, 0.0)), atol=1e-12)


@pytest.mark.parametrize("coefficients", [Seidel(sphere=1.0), Seidel(defocus=1.0)])
def test_sphere_and_defocus_are_the_same_everywhere(coefficients: Seidel) -> None:
    middle = seidel(LENS, coefficients, (0.0, 0.0))
    for place in PLACES[1:]:
        np.testing.assert_allclose(seidel(LENS, coefficients, place), middle, atol=1e-12)
    assert centroid(middle) == pytest.approx((0, 0), abs=1e-6)


def test_defocus_is_the_paraxial_limit_of_the_exact_phase() -> None:
    """z um are z NA^2 / (2 n wavelength) waves, for a small aperture."""
    lens = Microscope(numerical_aperture=0.1, wavelength=0.55, pixel_size=1.0)
    z = 80.0
    waves = z * 0.1**2 / (2 * 0.55)
    a, b = same_size(seidel(lens, Seidel(defocus=waves), (0.0, 0.0)), defocused(lens, z))
    np.testing.assert_allclose(a, b, atol=0.02 * b.max())


def test_field_curvature_is_a_defocus_that_grows_with_the_square() -> None:
    a = seidel(LENS, Seidel(field_curvature=1.6), (0.3, 0.4))
    b = seidel(LENS, Seidel(defocus=1.6 * 0.25), (0.0, 0.0))
    np.testing.assert_allclose(*same_size(a, b), atol=1e-12)


@pytest.mark.parametrize(("name", "power"), [
    ("sphere", 0),
    ("coma", 1),
    ("astigmatism", 2),
    ("field_curvature", 2),
    ("distortion", 3),
    ("defocus", 0),
])  # fmt: skip
def test_how_each_grows_with_the_field(name: str, power: int) -> None:
    """As H to the power of its own: half way out it is as with a coefficient 2^power smaller at the border."""
    near = seidel(LENS, Seidel(**{name: 1.6}), (0.0, 0.5))
    far = seidel(LENS, Seidel(**{name: 1.6 / 2**power}), (0.0, 1.0))
    np.testing.assert_allclose(*same_size(near, far), atol=1e-12)
    assert power == 0 or np.abs(np.subtract(*same_size(near, seidel(LENS, Seidel(**{name: 1.6}), (0, 1))))).max() > 1e-3


@pytest.mark.parametrize("place", [(0.0, 1.0), (1.0, 0.0), (-0.8, 0.0), (0.6, -0.8)])
def test_distortion_moves_outward(place: tuple[float, float]) -> None:
    """By W311 H^3 wavelength / NA, in px of the explicit pixel size, along the field direction."""
    field = math.hypot(*place)
    shift = 3.0 * field**3 * LENS.wavelength / LENS.numerical_aperture / LENS.pixel_size
    expected = (shift * place[0] / field, shift * place[1] / field)
    assert centroid(seidel(LENS, Seidel(distortion=3.0), place)) == pytest.approx(expected, abs=0.05)


def test_coma_leans_along_the_field_and_grows_with_it() -> None:
    """The centroid moves by the mean slope of W: W131 H wavelength / NA, across the field direction not at all."""
    shift = LENS.wavelength / LENS.numerical_aperture / LENS.pixel_size
    for field in (0.5, 1.0):
        y, x = centroid(seidel(LENS, Seidel(coma=0.8), (0.0, field)))
        assert y == pytest.approx(0, abs=1e-6)
        assert x == pytest.approx(0.8 * field * shift, rel=0.1)


def test_astigmatism_draws_lines_along_and_across_the_field() -> None:
    """At the two line foci: W = X^2 spreads light along the field only, and with Wd = -1 across it only."""

    def spread(psf: PSF, axis: int) -> float:
        offsets = np.arange(len(psf)) - len(psf) // 2
        return float(psf.sum(1 - axis) @ offsets**2)

    along = seidel(LENS, Seidel(astigmatism=2.0), (0.0, 1.0))
    across = seidel(LENS, Seidel(astigmatism=2.0, defocus=-2.0), (0.0, 1.0))
    assert spread(along, 1) > 2 * spread(along, 0)
    assert spread(across, 0) > 2 * spread(across, 1)
    np.testing.assert_allclose(*same_size(along, across.T), atol=0.02 * along.max())  # on grids of other sizes


@every
def test_aberrations_only_take_from_the_peak(coefficients: Seidel) -> None:
    """Strehl: no aberrated PSF on a fine grid is higher than the perfect one, and none is narrower."""
    lens = Microscope(numerical_aperture=0.5, wavelength=0.55, pixel_size=0.1)
    perfect, aberrated = (seidel(lens, c, (0.5, 0.5)) for c in (Seidel(), coefficients))
    assert aberrated.max() <= perfect.max() * 1.01
    assert standard_deviation(aberrated) >= standard_deviation(perfect) * 0.99


def test_impossible_aberrations_are_refused() -> None:
    with pytest.raises(ConfigError, match="coma is nan"):
        Seidel(coma=math.nan)
    with pytest.raises(ConfigError, match="grid"):
        seidel(LENS, Seidel(sphere=1e4), (0.0, 0.0))
    with pytest.raises(ConfigError, match="place"):
        seidel(LENS, Seidel(), (math.inf, 0.0))
