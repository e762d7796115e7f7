"""Fields, noise and exposures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dgno.optics.fields import FIELDS
from dgno.optics.noise import poisson_gaussian
from dgno.optics.simulate import BlurRange, common_levels, draw_exposure


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("shape", [(60, 80), (1, 1), (5, 300)])
def test_fields_stay_in_their_range_and_come_back(kind: str, shape: tuple[int, int]) -> None:
    """Between low and high, finite, and the same from the same generator."""
    a, b = (FIELDS[kind](shape, 0.6, 4.0, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.shape == shape
    assert a.min() >= 0.6 - 1e-6
    assert a.max() <= 4.0 + 1e-6


def test_smooth_is_smooth_and_voronoi_jumps() -> None:
    smooth, voronoi = (FIELDS[kind]((100, 100), 0.6, 4.0, np.random.default_rng(1)) for kind in ("smooth", "voronoi"))
    assert smooth.diff(dim=1).abs().max() < 0.2
    assert voronoi.diff(dim=1).abs().max() > 0.3


@pytest.mark.parametrize(("photons", "read_noise"), [(500.0, 0.0), (2000.0, 0.005), (10000.0, 0.02)])
def test_noise_has_the_variance_it_is_told(photons: float, read_noise: float) -> None:
    """var = x / photons + read_noise^2: the regression over gray levels recovers both within 5 %."""
    levels = torch.linspace(0.05, 1, 20)
    x = levels[:, None].expand(-1, 100_000)
    noisy = poisson_gaussian(x, photons=photons, read_noise=read_noise, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(noisy.mean(1), levels, atol=5e-3, rtol=0)
    slope, offset = np.polyfit(levels.numpy(), noisy.var(1).numpy(), 1)
    assert 1 / slope == pytest.approx(photons, rel=0.05)
    assert abs(offset - read_noise**2) < 0.05 * read_noise**2 + 0.01 / photons


@pytest.mark.parametrize("seed", range(20))
def test_exposures_keep_their_ranges_and_come_back(seed: int) -> None:
    ranges = BlurRange(sigma=(0.6, 4.0), spread=2.0, photons=(500, 5000), read_noise=(0.001, 0.01))
    scene = torch.rand(3, 50, 60, generator=torch.Generator().manual_seed(seed))
    a, b = (draw_exposure((50, 60), ranges, np.random.default_rng(seed)) for _ in range(2))
    assert torch.equal(a.of(scene), b.of(scene))
    assert a.sigma.min() >= 0.6 - 1e-6
    assert a.sigma.max() <= min(4.0, 2.0 * float(a.sigma.min())) + 1e-5
    assert 500 <= a.photons <= 5000


@pytest.mark.parametrize(("low", "high"), [(0.6, 4.0), (0.3, 0.3), (1.0, 1.0), (0.1, 2.0), (5.0, 30.0)])
def test_common_levels_enclose_the_range(low: float, high: float) -> None:
    levels = common_levels(low, high)
    assert levels[0] <= low + 1e-9
    assert levels[-1] >= high - 1e-9
