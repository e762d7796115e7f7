"""Defocus in colour: each channel by its own wavelength and focus."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch

from dgno.errors import ConfigError
from dgno.optics.blur import READINGS, SpatiallyVaryingBlur
from dgno.optics.brightfield import WAVELENGTHS, BrightFieldBlur, defocus_levels, transmitted
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.fields import FIELDS

LENS = Microscope(numerical_aperture=0.3, wavelength=0.55, pixel_size=0.55)
SHAPE = (32, 40)
SHIFTS = (2.0, 0.0, -1.5)


def image(seed: int) -> torch.Tensor:
    return torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@functools.lru_cache
def blur(kind: str, reading: str = "gather", boundary: str = "reflect") -> BrightFieldBlur:
    z = FIELDS[kind](SHAPE, 1.0, 8.0, np.random.default_rng(0)).double() - 4
    return BrightFieldBlur(z, LENS, axial_shifts=SHIFTS, reading=reading, boundary=boundary)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", ["tilted", "voronoi"])
def test_adjoint(reading: str, kind: str) -> None:
    x, y, operator = image(0), image(1), blur(kind, reading)
    difference = (operator.apply(x) * y).sum() - (x * operator.adjoint(y)).sum()
    assert abs(difference) <= 1e-12 * x.norm() * y.norm()


def test_white_stays_white() -> None:
    """A flat bright field has no colour fringes, however far the channels are apart."""
    white = torch.full((3, *SHAPE), 0.9, dtype=torch.float64)
    torch.testing.assert_close(blur("tilted").apply(white), white)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_each_channel_is_blurred_by_its_own_wavelength_and_focus(channel: int) -> None:
    operator = BrightFieldBlur(torch.full(SHAPE, 5.0).double(), LENS, axial_shifts=SHIFTS)
    lens = dataclasses.replace(LENS, wavelength=WAVELENGTHS[channel])
    psf = defocused(lens, 5.0 + SHIFTS[channel])
    one = torch.ones(1, *SHAPE, dtype=torch.float64)
    expected = SpatiallyVaryingBlur.of_psfs(one, [psf]).apply(image(0)[channel])
    torch.testing.assert_close(operator.apply(image(0))[channel], expected, atol=1e-12, rtol=0)


def test_channels_do_not_mix() -> None:
    red = image(0) * torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)[:, None, None]
    blurred = blur("tilted").apply(red)
    assert blurred[1:].abs().max() == 0
    assert blurred[0].std() < red[0].std()


def test_in_focus_blue_is_sharpest() -> None:
    """The Airy disk grows with the wavelength."""
    point = torch.zeros(3, *SHAPE, dtype=torch.float64)
    point[:, 16, 20] = 1
    red, green, blue = BrightFieldBlur(torch.zeros(SHAPE).double(), LENS).apply(point).amax((1, 2))
    assert red < green < blue


def test_an_axial_shift_moves_the_focus_of_its_channel() -> None:
    """Red with its focus 4 um off is sharpest where the specimen lies 4 um off to the other side."""
    point = torch.zeros(3, *SHAPE, dtype=torch.float64)
    point[:, 16, 20] = 1
    peaks = [
        float(BrightFieldBlur(torch.full(SHAPE, z), LENS, axial_shifts=(4.0, 0.0, 0.0)).apply(point)[0].max())
        for z in (-8.0, -4.0, 0.0)
    ]
    assert peaks[1] > max(peaks[0], peaks[2])
    assert peaks[0] == pytest.approx(peaks[2])


def test_levels_are_close_enough() -> None:
    """Against PSFs computed for the very distance, anywhere up to 30 um; at 13.78 um the PSF's grid doubles."""
    scene = (torch.rand(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) > 0.5).double()
    one = torch.ones(1, *SHAPE, dtype=torch.float64)
    family, levels = functools.partial(defocused, LENS), defocus_levels(LENS, 0.0, 30.0)
    for z in [13.78, *np.random.default_rng(0).uniform(0, 30, 12)]:
        upper = int(np.searchsorted(levels, z))
        field = torch.full(SHAPE, z, dtype=torch.float64)
        mixed = SpatiallyVaryingBlur(field, family, levels=levels[upper - 1 : upper + 1]).apply(scene)
        exact = SpatiallyVaryingBlur.of_psfs(one, [defocused(LENS, float(z))]).apply(scene)
        assert (mixed - exact).abs().max() < (1 / 200 if z == 13.78 else 1 / 512)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (3.0, 3.0), (0.0, 31.2), (5.0, 5.1)])
def test_levels_enclose_the_range(low: float, high: float) -> None:
    levels = defocus_levels(LENS, low, high)
    assert (levels[0], levels[-1]) == (low, high)
    assert levels == sorted(set(levels))


def test_impossible_distances_are_refused() -> None:
    for low, high in ((-1.0, 2.0), (2.0, 1.0), (0.0, float("inf"))):
        with pytest.raises(ConfigError, match="distances"):
            defocus_levels(LENS, low, high)


def test_beer_and_lambert() -> None:
    """Densities add, transmissions multiply; density 1 leaves a tenth."""
    a, b = torch.rand(5, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    torch.testing.assert_close(transmitted(a + b), transmitted(a) * transmitted(b))
    assert float(transmitted(torch.tensor(1.0), incident=0.8)) == pytest.approx(0.08)
