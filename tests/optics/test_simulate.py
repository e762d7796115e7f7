"""Fields, noise and exposures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from dgno.errors import ConfigError
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.exposure import NO_NOISE, Exposure
from dgno.optics.fields import FIELDS
from dgno.optics.noise import poisson_gaussian
from dgno.optics.psf import gaussian, standard_deviation
from dgno.optics.simulate import FAMILIES, BlurRange, SigmaOptics, common_levels


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
    a, b = (ranges.draw((50, 60), np.random.default_rng(seed)) for _ in range(2))
    assert torch.equal(a.of(scene), b.of(scene))
    sigma = a.optics.maps()["sigma"]
    assert sigma.min() >= 0.6 - 1e-6
    assert sigma.max() <= min(4.0, 2.0 * float(sigma.min())) + 1e-5
    assert 500 <= a.camera.photons <= 5000


def test_planes_of_one_exposure_have_noise_of_their_own() -> None:
    """The same blur; noise that correlates as independent noise does, and comes back. Plane 0 is the default."""
    exposure = BlurRange().draw((60, 60), np.random.default_rng(0))
    scene = torch.full((1, 60, 60), 0.5)
    planes = [exposure.of(scene, plane) for plane in range(4)]
    assert torch.equal(planes[0], exposure.of(scene))
    assert torch.equal(planes[2], exposure.of(scene, plane=2))
    noise = torch.stack([plane.flatten() - 0.5 for plane in planes])
    correlation = torch.corrcoef(noise) - torch.eye(4)
    assert correlation.abs().max() < 5 / 60
    torch.testing.assert_close(noise.std(1), noise.std(1).mean().expand(4), rtol=0.1, atol=0)


def test_an_exposure_tells_what_was_drawn() -> None:
    """The kind of the map, which is the one of the range if there is one alone; and what lies beyond the border."""
    facts = [BlurRange().draw((9, 9), np.random.default_rng(i)).facts(1) for i in range(40)]
    assert {fact["field"] for fact in facts} == set(BlurRange().fields)
    ranges = BlurRange(fields=("tilted",), boundary="zero", reading="scatter")
    exposure = ranges.draw((9, 9), np.random.default_rng(0))
    told = exposure.facts(1)
    assert (told["field"], told["boundary"], told["reading"]) == ("tilted", "zero", "scatter")
    blur = exposure.optics.blur(1)
    assert isinstance(blur, SpatiallyVaryingBlur)
    assert (blur.boundary, blur.reading) == ("zero", "scatter")


@pytest.mark.parametrize("kind", FIELDS)
def test_no_blur_leaves_the_noise_alone(kind: str) -> None:
    ranges = BlurRange(sigma=(0.0, 0.0), fields=(kind,), photons=(1e12, 1e12), read_noise=(0.0, 0.0))
    scene = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(0))
    exposure = ranges.draw((30, 30), np.random.default_rng(0))
    torch.testing.assert_close(exposure.of(scene), scene, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(8))
def test_the_whole_range_is_spanned_where_asked_for(seed: int) -> None:
    """As in the paper's controlled experiment; else a part of it."""
    ranges = BlurRange(sigma=(0.6, 13.0), fields=("smooth", "tilted"), whole_range=True)
    whole, part = (
        r.draw_optics((40, 50), np.random.default_rng(seed)).sigma for r in (ranges, BlurRange(sigma=(0.6, 13.0)))
    )
    assert (float(whole.min()), float(whole.max())) == (pytest.approx(0.6), pytest.approx(13.0))
    assert part.max() <= 3 * part.min() * (1 + 1e-5)


def test_both_families_have_the_variance_they_are_told() -> None:
    """sigma^2 + 1/12, integrated over the pixels; a Gaussian is higher in its middle than a disk."""
    sigma = torch.full((9, 9), 3.0)
    disk, bell = (SigmaOptics(sigma, psf).mean_psf() for psf in FAMILIES)
    for psf in (disk, bell):
        assert standard_deviation(psf) ** 2 == pytest.approx(9 + 1 / 12, rel=0.01)
    assert bell.max() > 1.5 * disk.max()
    expected = gaussian(3.0, integrated=True)
    levels = common_levels(3.0, 3.0)
    assert levels[0] < 3.0 < levels[-1]
    middle = slice(len(bell) // 2 - 12, len(bell) // 2 + 13)
    np.testing.assert_allclose(bell[middle, middle], expected, atol=2e-4)


def test_light_without_noise() -> None:
    scene = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(0))
    optics = SigmaOptics(torch.full((30, 30), 2.0))
    assert torch.equal(Exposure(optics, NO_NOISE, 0).of(scene), optics.blur().apply(scene))


@pytest.mark.parametrize(("wrong", "message"), [
    ({"sigma": (4.0, 0.6)}, "sigma is (4.0, 0.6), wanted (smallest, largest)"),
    ({"sigma": (-1.0, 2.0)}, "sigma is (-1.0, 2.0)"),
    ({"sigma": (0.0, 1e6)}, "at most 100"),
    ({"sigma": (0.0, math.nan)}, "sigma is (0.0, nan)"),
    ({"fields": ("foo",)}, "fields[0] is 'foo', known: constant, tilted, smooth, voronoi, blocks"),
    ({"fields": ("constant", "smoth")}, "fields[1] is 'smoth', did you mean 'smooth'?"),
    ({"spread": math.inf}, "spread is inf"),
    ({"photons": (0.0, 10.0)}, "photons is (0.0, 10.0)"),
    ({"read_noise": (-0.1, 0.1)}, "read_noise is (-0.1, 0.1)"),
    ({"psf": "disc"}, "psf is 'disc', did you mean 'disk'?"),
    ({"softness": (0.5, 0.1)}, "softness is (0.5, 0.1)"),
])  # fmt: skip
def test_ranges_from_which_nothing_can_be_drawn_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BlurRange(**wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize(("low", "high"), [(0.6, 4.0), (0.3, 0.3), (1.0, 1.0), (0.1, 2.0), (5.0, 30.0)])
def test_common_levels_enclose_the_range(low: float, high: float) -> None:
    levels = common_levels(low, high)
    assert levels[0] <= low + 1e-9
    assert levels[-1] >= high - 1e-9
