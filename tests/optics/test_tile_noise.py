"""Noise that is keyed by place: the same however an image is cut, and that of a camera."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import pdtr
from scipy.stats import kstest, norm, poisson

from dgno.errors import ConfigError
from dgno.optics.noise import poisson_gaussian
from dgno.optics.tile_noise import BLOCK, MANY, _counts, tile_noise

CAMERA = {"photons": 300.0, "read_noise": 0.01}


def image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side", [17, 64, 100])
def test_it_does_not_depend_on_the_tiles(side: int) -> None:
    """Tiles of any side, and the whole image at once."""
    x = image(2, 150, 170)
    whole, tiled = tile_noise(x, (0, 0), seed=4, **CAMERA), torch.empty_like(x)
    for top in range(0, 150, side):
        for left in range(0, 170, side):
            part = (..., slice(top, top + side), slice(left, left + side))
            tiled[part] = tile_noise(x[part], (top, left), seed=4, **CAMERA)
    assert torch.equal(tiled, whole)
    assert not torch.equal(tile_noise(x, (0, 0), seed=5, **CAMERA), whole)


def test_regression_of_variance_on_mean_finds_the_camera() -> None:
    """F and the read noise within 5 % on 10^6 pixels: var = x / F + read_noise^2."""
    levels = torch.linspace(0.02, 1, 20)
    noisy = tile_noise(levels[:, None, None].expand(-1, 250, 200), (64, 0), photons=800.0, read_noise=0.05, seed=0)
    again = tile_noise(levels[:, None, None].expand(-1, 250, 200), (640, 0), photons=800.0, read_noise=0.05, seed=0)
    both = torch.cat([noisy, again], dim=1).flatten(1).double()
    slope, offset = np.polyfit(levels.numpy(), both.var(1).numpy(), 1)
    assert 1 / slope == pytest.approx(800, rel=0.05)
    assert offset**0.5 == pytest.approx(0.05, rel=0.05)
    torch.testing.assert_close(both.mean(1), levels.double(), atol=5e-3, rtol=0)


@pytest.mark.parametrize("mean", [0.05, 2.0, 40.0, 1e4])
def test_counts_are_those_of_poisson(mean: float) -> None:
    """As often as the distribution says, within four standard errors; and all whole numbers."""
    counts = tile_noise(torch.ones(200, 200).double(), (0, 0), photons=mean, read_noise=0.0, seed=1) * mean
    torch.testing.assert_close(counts, counts.round(), atol=1e-6, rtol=0)
    found = counts.round().flatten().numpy()
    for limit in poisson.ppf([0.1, 0.5, 0.9], mean):
        share = poisson.cdf(limit, mean)
        assert abs((found <= limit).mean() - share) <= 4 * (share * (1 - share) / len(found)) ** 0.5 + 1e-12


@pytest.mark.parametrize("mean", [MANY, 3e4, 1e6])
def test_many_photons_are_counted_as_few_are(mean: float) -> None:
    """The distribution function steps over the random share at the count; beyond the double's digits not to be told."""
    shares = np.random.default_rng(0).random(100_000)
    counts = _counts(np.full(shares.shape, mean), shares)
    is_exact = (pdtr(counts - 1, mean) < shares) & (shares <= pdtr(counts, mean))
    assert is_exact.mean() >= 1 - 5e-5


def test_read_noise_is_normal_and_blocks_are_independent() -> None:
    """Also where the light is dark or negative."""
    dark = tile_noise(torch.tensor([[0.0], [-0.4]]).expand(2, 130)[:, None], (0, 0), seed=2, **CAMERA)
    assert dark.abs().max() < 0.06
    noise = tile_noise(torch.zeros(2 * BLOCK, 2 * BLOCK), (0, 0), photons=1e3, read_noise=1.0, seed=3).double()
    assert kstest(noise.flatten().numpy(), norm.cdf).pvalue > 1e-3
    blocks = noise.unfold(0, BLOCK, BLOCK).unfold(1, BLOCK, BLOCK).reshape(4, -1)
    assert (torch.corrcoef(blocks) - torch.eye(4)).abs().max() < 5 / BLOCK


def test_places_are_not_negative() -> None:
    with pytest.raises(ConfigError, match="not negative"):
        tile_noise(image(3, 3), (0, -1), seed=0, **CAMERA)


@pytest.mark.parametrize("camera", [CAMERA, {"photons": 50.0, "read_noise": 0.0}, {"photons": 1e9, "read_noise": 0.1}])
def test_channels_have_noise_of_their_own(camera: dict[str, float]) -> None:
    noise = tile_noise(torch.full((3, 128, 128), 0.5), (0, 0), seed=6, **camera).double().flatten(1)
    assert (torch.corrcoef(noise) - torch.eye(3)).abs().max() < 5 / 128


def test_light_of_infinitely_many_photons_has_read_noise_alone() -> None:
    x = image(3, 70, 80)
    assert torch.equal(tile_noise(x, (0, 0), photons=float("inf"), read_noise=0.0, seed=1), x)


@pytest.mark.parametrize("bad", [{"photons": 0.0}, {"photons": -1.0}, {"photons": float("nan")}])
@pytest.mark.parametrize("noise", [poisson_gaussian, functools.partial(tile_noise, origin=(0, 0), seed=0)])
def test_cameras_that_are_none(noise: Callable[..., torch.Tensor], bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="photons"):
        noise(image(4, 4), **CAMERA | bad)
    with pytest.raises(ConfigError, match="read_noise"):
        noise(image(4, 4), photons=10.0, read_noise=bad["photons"] - 1)
