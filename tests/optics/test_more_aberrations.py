"""Sixth-order aberrations, apodised pupils, lateral colour, and edges of maps that are not hard."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import j0

from dgno.errors import ConfigError
from dgno.optics.brightfield import BrightFieldBlur
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.fields import FIELDS, PIECEWISE, draw_field
from dgno.optics.psf import PSF
from dgno.optics.seidel import Seidel, seidel
from dgno.optics.sixth_order import SixthOrder

LENS = Microscope(numerical_aperture=0.5, wavelength=0.55, pixel_size=0.3)
SIXTH: dict[str, Callable[..., np.ndarray]] = {
    "w060": lambda h, rho, cos: rho**6,
    "w151": lambda h, rho, cos: h * rho**5 * cos,
    "w240": lambda h, rho, cos: h**2 * rho**4,
    "w242": lambda h, rho, cos: h**2 * rho**4 * cos**2,
    "w331": lambda h, rho, cos: h**3 * rho**3 * cos,
    "w333": lambda h, rho, cos: h**3 * rho**3 * cos**3,
    "w420": lambda h, rho, cos: h**4 * rho**2,
    "w422": lambda h, rho, cos: h**4 * rho**2 * cos**2,
    "w511": lambda h, rho, cos: h**5 * rho * cos,
}


def same_size(a: PSF, b: PSF) -> tuple[PSF, PSF]:
    half = max(len(a), len(b)) // 2
    return np.pad(a, half - len(a) // 2), np.pad(b, half - len(b) // 2)


def centroid(psf: PSF) -> tuple[float, float]:
    offsets = np.arange(len(psf)) - len(psf) // 2
    return float(psf.sum(1) @ offsets), float(psf.sum(0) @ offsets)


@pytest.mark.parametrize("name", SIXTH)
@pytest.mark.parametrize("h", [0.0, 0.6, 1.3])
def test_each_term_is_that_of_the_literature(name: str, h: float) -> None:
    """In polar coordinates of the pupil; the slope is bounded by what a PSF's grid is made for."""
    rho, angle = np.meshgrid(np.linspace(0, 1, 30), np.linspace(0, 2 * math.pi, 30))
    coefficients = SixthOrder(**{name: 1.7})
    waves = coefficients.waves(rho * np.cos(angle), rho * np.sin(angle), h)
    expected = SIXTH[name](h, rho, np.cos(angle))
    np.testing.assert_allclose(waves, 1.7 * expected, atol=1e-12)
    outward = np.gradient(waves, np.linspace(0, 1, 30), axis=1)
    assert np.abs(outward).max() <= coefficients.steepest(h) + 1e-9


def test_sixth_order_adds_to_seidel() -> None:
    """Alone with zeros it is Seidel; balanced against third order, spherical aberration gets smaller."""
    third = Seidel(sphere=1.0, coma=0.5)
    np.testing.assert_array_equal(seidel(LENS, SixthOrder(third), (0.3, 0.4)), seidel(LENS, third, (0.3, 0.4)))
    worse = seidel(LENS, SixthOrder(w060=1.0), (0.0, 0.0)).max()
    balanced = seidel(LENS, SixthOrder(Seidel(sphere=-1.5, defocus=0.6), w060=1.0), (0.0, 0.0)).max()
    assert balanced > 2 * worse
    with pytest.raises(ConfigError, match="w151 is nan"):
        SixthOrder(w151=math.nan)


@pytest.mark.parametrize("apodisation", [-0.25, 0.25])
def test_apodised_pupils(apodisation: float) -> None:
    """Against the radial integral with the amplitude (1 - (wavelength nu / n)^2)^apodisation."""
    lens = Microscope(0.9, 0.5, 0.05, apodisation=apodisation)
    psf = defocused(lens, 0.3)
    edge = 0.9 / 0.5
    x, w = np.polynomial.legendre.leggauss(300)
    nu, w = (x + 1) / 2 * edge, w / 2 * edge
    amplitude = (1 - (0.5 * nu) ** 2) ** apodisation
    wave = amplitude * np.exp(2j * math.pi * 0.3 * (np.sqrt(4 - nu**2) - 2)) * 2 * math.pi * nu * w
    radii = np.arange(14) * 0.05
    expected = np.abs(j0(2 * math.pi * np.outer(radii, nu)) @ wave) ** 2 * 0.05**2
    expected /= 2 * math.pi * (amplitude**2 * nu * w).sum()
    middle = len(psf) // 2
    assert np.abs(psf[middle, middle : middle + 14] - expected).max() < 0.04 * expected.max()
    in_focus, even = (defocused(dataclasses.replace(lens, apodisation=a), 0.0) for a in (apodisation, 0.0))
    assert in_focus.max() < 0.999 * even.max()  # of all pupils of one energy the even one has the highest peak


@pytest.mark.parametrize("wrong", [{"apodisation": math.nan}, {"pixel_size": math.nan}, {"refractive_index": math.inf}])
def test_impossible_microscopes_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Microscope(**{"numerical_aperture": 0.5, "wavelength": 0.5, "pixel_size": 0.3, **wrong})


@pytest.mark.parametrize("shift", [(0.6, 0.0), (-0.13, 0.41), (1.7, -1.1)])
def test_a_shifted_image(shift: tuple[float, float]) -> None:
    """By so many um, parts of a pixel too; by whole pixels it is the same image elsewhere, on grids of other sizes."""
    assert centroid(defocused(LENS, 2.0, shift=shift)) == pytest.approx((shift[0] / 0.3, shift[1] / 0.3), abs=0.02)
    there, here = same_size(defocused(LENS, 2.0, shift=(0.6, -0.9)), defocused(LENS, 2.0))
    np.testing.assert_allclose(np.roll(here, (2, -3), (0, 1)), there, atol=0.01 * here.max())


def test_lateral_colour_moves_its_channel_alone() -> None:
    point = torch.zeros(3, 32, 40, dtype=torch.float64)
    point[:, 16, 20] = 1
    shifts = ((0.9, 0.0), (0.0, 0.0), (-0.3, -0.6))
    blurred = BrightFieldBlur(torch.zeros(32, 40), LENS, lateral_shifts=shifts).apply(point)
    for channel, (down, right) in zip(blurred, shifts, strict=True):
        place = divmod(int(channel.argmax()), 40)
        assert place == (16 + round(down / 0.3), 20 + round(right / 0.3))


@pytest.mark.parametrize("kind", FIELDS)
def test_edges_of_maps_may_be_soft(kind: str) -> None:
    """Steps get smaller, what lies away from them and the range stay; maps without edges are not touched."""
    hard, soft = (
        draw_field(kind, (60, 70), (0.6, 4.0), np.random.default_rng(3), edge_softness=s).double() for s in (0.0, 1.5)
    )
    torch.testing.assert_close(hard, FIELDS[kind]((60, 70), 0.6, 4.0, np.random.default_rng(3)).double())
    assert 0.6 - 1e-6 <= soft.min() <= soft.max() <= 4.0 + 1e-6
    if kind not in PIECEWISE:
        assert torch.equal(hard, soft)
        return
    assert soft.diff(dim=1).abs().max() < 0.4 * hard.diff(dim=1).abs().max()
    if kind != "mixture":
        assert ((hard - soft).abs() < 1e-3).double().mean() > 0.4
