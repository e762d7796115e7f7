"""Point-spread functions: what every one obeys, and the numbers of each family."""

from __future__ import annotations

import functools
import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from dgno.errors import ConfigError
from dgno.optics import psf as psfs
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.motion import linear_motion, trajectory
from dgno.optics.psf import PSF, WIDEST, disk, gaussian, gaussian_disk, standard_deviation, super_gaussian

SMALL_LENS = Microscope(numerical_aperture=0.3, wavelength=0.55, pixel_size=0.55)
FINE = Microscope(numerical_aperture=0.3, wavelength=0.55, pixel_size=0.55 / 8)
EVERY_PSF = {
    "identity": gaussian(0),
    "gaussian, point-sampled": gaussian(2.3),
    "gaussian, integrated": gaussian(0.6),
    "disk below a pixel": disk(0.3),
    "disk": disk(7.15),
    "gaussian disk": gaussian_disk(4.0),
    "soft gaussian disk": gaussian_disk(1.3, softness=1.5),
    "super-gaussian": super_gaussian(4.2, 3.0),
    "super-gaussian below a pixel": super_gaussian(0.4, 2.0),
    "super-gaussian inside a pixel": super_gaussian(1e-4, 4.0),
    "diffraction in focus": defocused(SMALL_LENS, 0.0),
    "diffraction": defocused(SMALL_LENS, 9.36),
}


@pytest.mark.parametrize("psf", EVERY_PSF.values(), ids=EVERY_PSF.keys())
def test_a_psf_is_a_centred_distribution(psf: PSF) -> None:
    """Odd and square, not negative, sum 1, centroid on the middle pixel, the same when mirrored or transposed."""
    assert psf.shape[0] == psf.shape[1]
    assert psf.shape[0] % 2 == 1
    assert psf.min() >= 0
    assert psf.sum() == pytest.approx(1, abs=1e-12)
    offsets = np.arange(len(psf)) - len(psf) // 2
    assert abs(psf.sum(0) @ offsets) < 1e-9
    for other in (psf[::-1], psf[:, ::-1], psf.T):
        np.testing.assert_allclose(other, psf, atol=1e-15)


@pytest.mark.parametrize(("psf", "variance"), [
    (gaussian(0.7), 0.49 + 1 / 12),
    (gaussian(0.6, integrated=True), 0.36 + 1 / 12),
    (gaussian(0.9), 0.81),
    (gaussian(3.0), 9.0),
    (disk(4.0), 4 + 1 / 12),
    (disk(7.15), 7.15**2 / 4 + 1 / 12),
    (gaussian_disk(4.0), 16 + 1 / 12),
    (gaussian_disk(2.0, softness=1.5), 4 + 1 / 12),
])  # fmt: skip
def test_second_moment(psf: PSF, variance: float) -> None:
    assert standard_deviation(psf) ** 2 == pytest.approx(variance, rel=0.01)


def test_point_sampling_misstates_a_narrow_gaussian() -> None:
    """Why narrow ones are integrated: at 0.6 px the variance of point samples is 0.352 instead of 0.360."""
    assert standard_deviation(gaussian(0.6, integrated=False)) ** 2 == pytest.approx(0.352, abs=1e-3)


@pytest.mark.parametrize("radius", [0.3, 0.6, 1.0, 1.5, 2.7, 7.15])
def test_disk_weights_are_shared_areas(radius: float) -> None:
    """Each pixel's weight is the area it shares with the disk, here counted on a fine grid."""
    psf, fine = disk(radius), 96
    t = (np.arange(len(psf) * fine) + 0.5) / fine - len(psf) / 2
    inside = (t[:, None] ** 2 + t[None] ** 2 <= radius**2).reshape(len(psf), fine, len(psf), fine)
    counted = inside.mean((1, 3))
    np.testing.assert_allclose(psf, counted / counted.sum(), atol=1.5e-3)


def test_limits_of_the_gaussian_disk() -> None:
    """Softness 0 is the disk, large softness the Gaussian."""
    np.testing.assert_allclose(gaussian_disk(2.0, softness=0.0), disk(4.0), atol=1e-12)
    soft, pure = gaussian_disk(2.0, softness=50.0), gaussian(2.0)
    middle = slice(len(soft) // 2 - len(pure) // 2, len(soft) // 2 + len(pure) // 2 + 1)
    np.testing.assert_allclose(soft[middle, middle], pure, atol=1e-3)


def middle_of(psf: PSF, side: int) -> PSF:
    """The middle side x side pixels, filled up with zeros where the PSF is smaller."""
    psf = np.pad(psf, max(0, (side - len(psf)) // 2))
    cut = (len(psf) - side) // 2
    return psf[cut : cut + side, cut : cut + side]


@pytest.mark.parametrize("radius", [0.9, 2.0, 6.4])
def test_limits_of_the_super_gaussian(radius: float) -> None:
    """m = 1 is the Gaussian of sigma = R / sqrt(2), large m the disk of radius R; radius 0 the identity."""
    bell, pure = super_gaussian(radius, 1.0), gaussian(radius / math.sqrt(2), integrated=True)
    np.testing.assert_allclose(middle_of(bell, len(pure)), pure, atol=1e-3)
    hard, sharp = super_gaussian(radius, 200.0), disk(radius)
    np.testing.assert_allclose(middle_of(hard, len(sharp)), sharp, atol=1e-3)
    np.testing.assert_array_equal(super_gaussian(0.0, 3.0), np.ones((1, 1)))


@pytest.mark.parametrize("radius", [4.0, 6.3, 12.0])
@pytest.mark.parametrize("exponent", [0.5, 0.6, 0.7, 1.0, 2.0, 5.0, 40.0])
def test_variance_of_the_super_gaussian(radius: float, exponent: float) -> None:
    """R^2 Gamma(2 / m) / (2 Gamma(1 / m)) + 1/12; the cut at e^-8 takes most from long tails."""
    expected = radius**2 * math.gamma(2 / exponent) / (2 * math.gamma(1 / exponent)) + 1 / 12
    tolerance = 0.01 if exponent >= 0.7 else 0.025
    assert standard_deviation(super_gaussian(radius, exponent)) ** 2 == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("wrong", [(-1.0, 1.0), (1.0, 0.0), (1.0, -2.0), (math.inf, 1.0), (math.nan, 1.0)])
def test_impossible_super_gaussians_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ConfigError):
        super_gaussian(*wrong)


def test_first_zero_of_the_disks_otf() -> None:
    """At 0.61 / R cycles per pixel."""
    radius, n = 8.0, 512
    otf = np.abs(np.fft.fft(disk(radius).sum(0), n))[: n // 2]
    assert np.argmin(otf[: int(n * 0.9 / radius)]) / n == pytest.approx(0.61 / radius, rel=0.03)


@pytest.mark.parametrize(("defocus", "ratio"), [(3.12, 0.795), (6.24, 0.370)])
def test_axial_intensity_falls_as_the_theory_says(defocus: float, ratio: float) -> None:
    """[sin(u/4) / (u/4)]^2 with the exact phase of defocus."""
    peak = defocused(FINE, defocus).max() / defocused(FINE, 0.0).max()
    assert peak == pytest.approx(ratio, abs=0.006)


def test_first_zero_of_the_airy_pattern() -> None:
    """At 0.61 wavelength / NA: 1.118 um."""
    profile = defocused(FINE, 0.0)
    line = profile[len(profile) // 2, len(profile) // 2 :]
    first_minimum = int(np.argmax(np.diff(line) > 0)) * FINE.pixel_size
    assert first_minimum == pytest.approx(1.118, abs=FINE.pixel_size)


def test_far_from_focus_geometry_holds() -> None:
    """At 31.2 um half of the light lies within 6.4 um and 90 % within 9.6 um; the cone's radius is 9.81 um."""
    psf = defocused(FINE, 31.2)
    y, x = np.indices(psf.shape) - len(psf) // 2
    order = np.argsort(np.hypot(y, x), axis=None)
    enclosed, radii = psf.ravel()[order].cumsum(), np.hypot(y, x).ravel()[order] * FINE.pixel_size
    assert radii[np.searchsorted(enclosed, 0.5)] == pytest.approx(6.38, abs=0.1)
    assert radii[np.searchsorted(enclosed, 0.9)] == pytest.approx(9.6, abs=0.15)
    assert FINE.geometric_radius(31.2) == pytest.approx(9.81, abs=0.01)


def test_depth_of_field() -> None:
    """Of NA 0.3 at 10 x on 5.5 um pixels: 6.11 um of the wave and 1.83 um of the pixel."""
    assert SMALL_LENS.depth_of_field == pytest.approx(6.11 + 1.83, abs=0.01)


def test_defocus_to_either_side_looks_the_same() -> None:
    np.testing.assert_allclose(defocused(SMALL_LENS, 5.0), defocused(SMALL_LENS, -5.0), atol=1e-12)


def test_undersampled_optics_are_computed_on_a_finer_grid() -> None:
    """NA 0.3 at 0.55 um pixels passes more than the camera's Nyquist frequency."""
    assert SMALL_LENS.supersampling == math.ceil(4 * 0.55 * 0.3 / 0.55) == 2


@pytest.mark.parametrize("wrong", [(1.0, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, 0.0)])
def test_impossible_microscopes_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError):
        Microscope(*wrong)
    with pytest.raises(ConfigError, match="grid"):
        defocused(FINE, 5000.0)


@pytest.mark.parametrize("wavelength", [530.0, 5.3e-7])
def test_a_wavelength_in_another_unit_is_told_as_such(wavelength: float) -> None:
    """In nm or in m; X-rays (2.4 nm) and infrared (10 um) pass."""
    with pytest.raises(ConfigError, match="wavelengths are in um"):
        Microscope(0.5, wavelength, 0.5)
    for other in (0.0024, 10.0):
        assert Microscope(0.5, other, 0.5).wavelength == other


@pytest.mark.parametrize("softness", [0.2, 0.25, 1.5])
def test_the_gaussian_disk_is_as_wide_as_it_says(softness: float) -> None:
    """Variance sigma^2 + 1/12, growing with sigma; within 5 % also where a hard edge falls among a few pixels."""
    sigmas = np.geomspace(0.45, 9, 60)
    measured = np.array([standard_deviation(gaussian_disk(sigma, softness)) for sigma in sigmas])
    np.testing.assert_allclose(measured, np.sqrt(sigmas**2 + 1 / 12), rtol=0.05)
    np.testing.assert_allclose(measured[sigmas > 1], np.sqrt(sigmas[sigmas > 1] ** 2 + 1 / 12), rtol=5e-3)
    assert (np.diff(measured) > 0).all()


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("family", [gaussian, disk, gaussian_disk, super_gaussian, linear_motion])
def test_no_psf_of_a_size_that_is_none(family: Callable[[float], PSF], bad: float) -> None:
    with pytest.raises(ConfigError, match=f"{bad}"):
        family(bad)


@pytest.mark.parametrize(("family", "widest"), [
    (gaussian, 127.75),
    (disk, 511.5),
    (gaussian_disk, 142.9),
    (functools.partial(gaussian_disk, softness=0.0), 255.7),
    (functools.partial(super_gaussian, exponent=1.0), 180.7),
    (linear_motion, 1023),
    (functools.partial(linear_motion, angle=45.0), 1445),
    (functools.partial(linear_motion, legacy_shift=True), 1023),
    (lambda length: trajectory([(0.0, 0.0), (length, 0.0)]), 1022),
])  # fmt: skip
def test_too_wide_a_psf_is_refused_before_it_is_made(family: Callable[[float], PSF], widest: float) -> None:
    assert len(family(widest)) == WIDEST
    tracemalloc.start()
    for length in (widest + 3, 20_000, 10**9, 1e30):
        with pytest.raises(ConfigError, match=r"the PSF would be .* px wide: wanted at most 1023 px; give a smaller"):
            family(length)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_psf_says_how_wide_it_would_be() -> None:
    with pytest.raises(ConfigError, match="would be 40001 px wide"):
        gaussian(5000.0)


def test_a_disk_softer_than_any_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="softness is"):
        gaussian_disk(2.0, 1e200)


@pytest.mark.parametrize("softness", [0.0, 0.05, 0.25])
def test_large_disks_are_as_true_from_fewer_samples(softness: float, monkeypatch: pytest.MonkeyPatch) -> None:
    sigma = 101 * math.sqrt(0.25 + softness**2)
    coarse = gaussian_disk(sigma, softness)
    monkeypatch.setattr(psfs, "LARGE", math.inf)
    fine = gaussian_disk(sigma, softness)
    half = max(len(coarse), len(fine)) // 2
    coarse, fine = (np.pad(psf, half - len(psf) // 2) for psf in (coarse, fine))
    np.testing.assert_allclose(coarse, fine, rtol=0, atol=1e-4 * fine.max())
