"""From the width of a blur to um of defocus."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dgno.errors import ConfigError
from dgno.optics.defocus_cone import DefocusCone
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.psf import PSF


def variance(psf: PSF, frequency: float) -> float:
    """Along the columns, px^2, by how the transfer function begins to fall: 1 - 2 pi^2 var nu^2."""
    places = np.arange(len(psf)) - len(psf) // 2
    return float((1 - (psf.sum(0) * np.cos(2 * np.pi * frequency * places)).sum()) / (2 * np.pi**2 * frequency**2))


@pytest.mark.parametrize(("aperture", "index"), [(0.3, 1.0), (0.75, 1.0), (1.1, 1.33)])
def test_diffraction_adds_this_variance(aperture: float, index: float) -> None:
    """To that of the PSF in focus; 12 depths of field away the tails cut off, which both have, hardly matter."""
    microscope = Microscope(aperture, 0.55, 0.12 / aperture, index)
    z = 12 * 0.55 * index / aperture**2
    added = variance(defocused(microscope, z), 1e-3) - variance(defocused(microscope, 0.0), 1e-3)
    sigma = math.sqrt(added) * microscope.pixel_size
    assert DefocusCone(aperture, index).defocus(sigma) == pytest.approx(z, rel=0.02)


@pytest.mark.parametrize(("aperture", "excess"), [(1e-4, 0.0), (0.25, 0.011), (0.5, 0.052), (0.75, 0.17)])
def test_it_is_half_the_radius_of_the_cone_for_small_apertures(aperture: float, excess: float) -> None:
    radius = Microscope(aperture, 0.55, 0.2).geometric_radius(1.0)
    assert radius / 2 / DefocusCone(aperture).spread - 1 == pytest.approx(excess, abs=2e-3)


@pytest.mark.parametrize(("aperture", "index"), [(0.0, 1.0), (1.2, 1.0), (0.5, 0.9), (math.nan, 1.0), (0.5, math.inf)])
def test_no_such_objective(aperture: float, index: float) -> None:
    with pytest.raises(ConfigError):
        DefocusCone(aperture, index)
