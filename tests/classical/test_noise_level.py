"""The noise of an image, and the rule that stops at it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import boxes, noisy, seen_through
from scipy.ndimage import gaussian_filter
from skimage import data

from dgno.classical.noise_level import Noise, estimate_noise
from dgno.classical.stopping import discrepancy, never, relative_change, settled
from dgno.errors import ConfigError
from dgno.optics.psf import gaussian


def coins() -> torch.Tensor:
    return torch.from_numpy(gaussian_filter(data.coins() / 255.0, 1.5))[None, None]


@pytest.mark.parametrize(("photons", "read_noise"), [(2000, 0.005), (500, 0.02), (1e12, 0.01), (300, 0.0)])
def test_the_noise_of_a_blurred_photograph_is_found(photons: float, read_noise: float) -> None:
    """Its variance within 15 % at every brightness that occurs, between the 5 % darkest and brightest pixels."""
    image = coins()
    found = estimate_noise(noisy(image, photons=photons, read_noise=read_noise)[0, 0])
    levels = torch.linspace(float(image.quantile(0.05)), float(image.quantile(0.95)), 5)[None].double()
    true = Noise(1 / photons, read_noise**2).variance(levels)
    torch.testing.assert_close(found.variance(levels), true, rtol=0.15, atol=0)


def test_edges_are_hardly_taken_for_noise() -> None:
    """Of a scene that is all edges on black, blurred by 1.5 px."""
    blurred, _ = seen_through(gaussian(1.5), boxes())
    found = estimate_noise(noisy(blurred)[0, 0])
    assert found.gain == pytest.approx(1 / 2000, rel=0.15)
    assert found.floor == pytest.approx(0.005**2, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 1), (7, 50), (8, 8), (40, 40)])
def test_what_is_flat_or_tiny_has_no_noise(shape: tuple[int, int]) -> None:
    assert estimate_noise(torch.full(shape, 0.25)) == Noise()


def test_the_truth_is_just_good_enough() -> None:
    """What the rule wants is what the true image, blurred, has; with twice the error it goes on."""
    blurred, _ = seen_through(gaussian(1.5), boxes().double())
    given, noise = noisy(blurred)[0, 0], Noise(1 / 2000, 0.005**2)
    test = discrepancy(noise, factor=1.05)(given)
    assert not test(given + 2 * (blurred[0, 0] - given), 1.0)
    assert test(blurred[0, 0], 1.0)


def test_a_fit_that_gets_no_better_is_enough() -> None:
    """A step of 3 % goes on, one of 0.3 % does not; a worse fit goes on: acceleration has overshot."""
    given = torch.zeros(1, 1, dtype=torch.float64)
    errors = (1.0, 0.97, 0.98, 0.95)
    test = discrepancy(Noise(0, 1e-6))(given)
    assert not any(test(torch.full((1, 1), error).sqrt().double(), 1.0) for error in errors)
    assert test(torch.full((1, 1), 0.947).sqrt().double(), 1.0)


def test_rest_and_never() -> None:
    plane = torch.zeros(2, 2)
    assert not never(plane)(plane, 0.0)
    test = settled(0.01)(plane)
    assert (test(plane, 0.011), test(plane, 0.009)) == (False, True)
    assert relative_change(torch.ones(2, 2), torch.full((2, 2), 0.5)) == pytest.approx(0.5)
    assert np.isfinite(relative_change(plane, plane))


@pytest.mark.parametrize(
    "make", [lambda: discrepancy(factor=0.0), lambda: discrepancy(progress=2.0), lambda: settled(-1)]
)
def test_rules_without_sense_are_refused(make: object) -> None:
    with pytest.raises(ConfigError, match=r"(factor|progress|tolerance) is (0\.0|2\.0|-1), wanted a finite number"):
        make()  # type: ignore[operator]
