"""Widths at half maximum of shapes that have known ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from dgno.errors import ConfigError, UnsupportedInput
from dgno.evaluation.downstream.fwhm import fwhm
from dgno.optics.psf import disk

SIDE = 101
PER_SIGMA = 2 * math.sqrt(2 * math.log(2))  # 2.3548


def gaussian(sigma: tuple[float, float], angle: float = 0.0, centre: tuple[float, float] = (50, 50)) -> np.ndarray:
    """Of these sigmas along and across a direction, sampled."""
    rows, columns = np.indices((SIDE, SIDE))
    y, x = rows - centre[0], columns - centre[1]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = cos * x + sin * y, cos * y - sin * x
    return np.exp(-(along**2) / (2 * sigma[0] ** 2) - across**2 / (2 * sigma[1] ** 2))


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("angle", [0.0, 90.0, 33.0, -120.0])
@pytest.mark.parametrize("sigma", [1.5, 3.0, 8.0])
def test_a_gaussian_is_2_355_sigma_wide(sigma: float, angle: float, bright: bool) -> None:
    """Within 1 %, wherever its centre lies between the pixels, whatever unit and ground."""
    spot = 40 * gaussian((sigma, 1.3 * sigma), angle, (50.3, 48.6))
    found = fwhm(100 + spot if bright else 100 - spot, angle=angle, bright=bright, pixel_size=0.4)
    assert found.px == pytest.approx(PER_SIGMA * sigma, rel=0.01)
    assert found.um == pytest.approx(0.4 * found.px)


@pytest.mark.parametrize("radius", [10.0, 15.5, 24.0])
def test_a_disk_is_2_r_wide_along_a_narrow_profile(radius: float) -> None:
    """Within 2 %: the five lines are chords within 2 px of the centre, the outer ones shorter."""
    psf = disk(radius)
    spot = np.pad(psf / psf.max(), (SIDE - len(psf)) // 2)
    for angle in (0.0, 45.0, 90.0):
        assert fwhm(spot, angle=angle).px == pytest.approx(2 * radius, rel=0.02)


@pytest.mark.parametrize("length", [25, 41])
def test_motion_that_is_long_against_the_spot_is_its_own_width(length: int) -> None:
    """Along the motion; across it the spot is as it was."""
    streak = uniform_filter1d(gaussian((2.0, 2.0)), length, axis=1)
    assert fwhm(streak).px == pytest.approx(length, rel=0.01)
    assert fwhm(streak, angle=90.0).px == pytest.approx(PER_SIGMA * 2, rel=0.01)


def test_blur_adds_variances() -> None:
    """So sharp, restored and blurred crops of one cell are in this order."""
    widths = [fwhm(gaussian((math.hypot(4, blur), 4.0))).px for blur in (0.0, 1.5, 5.0)]
    assert widths == pytest.approx([PER_SIGMA * math.hypot(4, blur) for blur in (0.0, 1.5, 5.0)], rel=0.01)


def test_noise_of_a_few_percent_changes_little() -> None:
    rng = np.random.default_rng(0)
    found = [fwhm(gaussian((6.0, 6.0)) + rng.normal(0, 0.03, (SIDE, SIDE))).px for _ in range(10)]
    assert np.mean(found) == pytest.approx(PER_SIGMA * 6, rel=0.03)


@pytest.mark.parametrize(("crop", "said"), [
    (np.full((SIDE, SIDE), 3.0), "stands out"),
    (gaussian((4, 4), centre=(50, 35)) + gaussian((4, 4), centre=(50, 65)), "two lobes"),
    (gaussian((1.0, 1.0)), "2.4 px wide"),
    (gaussian((60.0, 4.0)), "border"),
    (gaussian((4.0, 4.0), centre=(50, 1)), "border"),
])  # fmt: skip
def test_what_has_no_such_width_is_refused(crop: np.ndarray, said: str) -> None:
    with pytest.raises(UnsupportedInput, match=said):
        fwhm(crop)


def test_settings_that_mean_nothing_are_refused() -> None:
    for wrong in ({"pixel_size": 0.0}, {"angle": math.nan}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            fwhm(gaussian((4.0, 4.0)), **wrong)
