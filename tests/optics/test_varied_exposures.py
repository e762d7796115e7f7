"""Exposures of some variety, and defocus through objectives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dgno.errors import ConfigError
from dgno.optics.blur import READINGS, SpatiallyVaryingBlur
from dgno.optics.brightfield import WAVELENGTHS
from dgno.optics.diffraction import Microscope
from dgno.optics.exposure import Exposure
from dgno.optics.objectives import OBJECTIVES, ObjectiveOptics, distance
from dgno.optics.simulate import CONTINUED, BlurRange, SigmaOptics
from dgno.optics.varied import VariedRange, Variety

SHAPE = (40, 48)
BLUR = BlurRange(sigma=(1.0, 3.0), photons=(1000.0, 5000.0), read_noise=(0.002, 0.01))


def drawn(variety: Variety, count: int) -> list[Exposure]:
    rng = np.random.default_rng(0)
    return [VariedRange(BLUR, variety).draw(SHAPE, rng) for _ in range(count)]


def test_without_variety_it_is_the_range() -> None:
    for exposure in drawn(Variety(), 20):
        assert isinstance(exposure.optics, SigmaOptics)
        assert exposure.optics.sigma.min() >= 1 - 1e-4
        assert exposure.optics.sigma.max() <= 3 + 1e-4
        assert 1000 <= exposure.camera.photons <= 5000
        assert exposure.camera.bits is exposure.camera.quality is None


SHARES = {
    "in_focus": lambda e: float(e.optics.sigma.max()) == 0,
    "strong": lambda e: float(e.optics.sigma.min()) >= 3 - 1e-4 and float(e.optics.sigma.max()) <= 13 + 1e-3,
    "objectives": lambda e: isinstance(e.optics, ObjectiveOptics),
    "clean": lambda e: math.isinf(e.camera.photons) and e.camera.read_noise == 0,
    "eight_bit": lambda e: e.camera.bits == 8,
    "jpeg": lambda e: e.camera.quality is not None and 60 <= e.camera.quality <= 95,
}


@pytest.mark.parametrize("name", SHARES)
def test_shares_are_met(name: str) -> None:
    """0.3 of 300 within four standard deviations; 1 is all of them."""
    counts = [sum(map(SHARES[name], drawn(Variety(**{name: share}), count))) for share, count in ((0.3, 300), (1, 20))]
    assert abs(counts[0] - 90) < 4 * math.sqrt(300 * 0.3 * 0.7)
    assert counts[1] == 20


def test_what_is_sharp_and_clean_is_the_scene() -> None:
    scene = torch.rand(3, *SHAPE)
    (exposure,) = drawn(Variety(in_focus=1, clean=1), 1)
    torch.testing.assert_close(exposure.of(scene), scene, rtol=0, atol=1e-6)


def test_one_generator_gives_one_exposure() -> None:
    all_of_it = Variety(0.2, 0.2, 13.0, 0.5, 0.2, 0.3, 0.3)
    scene = torch.rand(1, *SHAPE)
    for first, second in zip(drawn(all_of_it, 12), drawn(all_of_it, 12), strict=True):
        assert torch.equal(first.of(scene), second.of(scene))


def test_what_is_in_focus_is_neither_strong_nor_diffracted() -> None:
    """The others may be both: of 300 all are as strong as is said, and half of them diffracted."""
    exposures = drawn(Variety(in_focus=0.5, strong=1, objectives=0.5), 300)
    blurred = [e for e in exposures if not SHARES["in_focus"](e)]
    assert abs(len(blurred) - 150) < 4 * math.sqrt(300 * 0.25)
    assert all(map(SHARES["strong"], blurred))
    assert {type(e.optics) for e in exposures if SHARES["in_focus"](e)} == {SigmaOptics}
    diffracted = sum(map(SHARES["objectives"], exposures))
    assert abs(diffracted - len(blurred) / 2) < 4 * math.sqrt(len(blurred) * 0.25)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("boundary", CONTINUED)
def test_objectives_blur_as_the_range_says(reading: str, boundary: str) -> None:
    """In its reading, within its boundary, and tell both."""
    defocus = BlurRange(fields=("voronoi",), reading=reading, boundary=boundary)
    variety = Variety(objectives=1)
    optics = VariedRange(defocus, variety).draw(SHAPE, np.random.default_rng(0)).optics
    assert isinstance(optics, ObjectiveOptics)
    assert {"reading": reading, "boundary": boundary}.items() <= optics.facts(1).items()
    usual = VariedRange(replace(defocus, reading="gather", boundary="reflect"), variety)
    other = usual.draw(SHAPE, np.random.default_rng(0)).optics.blur(1)
    assert isinstance(other, SpatiallyVaryingBlur)
    wanted = SpatiallyVaryingBlur.of_psfs(other.weights, list(other.psfs.numpy()), reading=reading, boundary=boundary)
    scene = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(optics.blur(1).apply(scene), wanted.apply(scene))


@pytest.mark.parametrize("wrong", [{"clean": 1.5}, {"strongest": -1.0}, {"quality": (0.0, 50.0)}])
def test_impossible_variety_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Variety(**wrong)


def test_strong_blur_is_stronger() -> None:
    with pytest.raises(ConfigError, match=r"strongest is 2.0 px, wanted at least the 3.0 px"):
        VariedRange(BLUR, Variety(strong=0.1, strongest=2.0))


def encircled(psf: np.ndarray, share: float) -> float:
    """Radius in px around the middle inside which this share of the light is."""
    middle = np.array(psf.shape) // 2
    r = np.hypot(*(np.indices(psf.shape) - middle[:, None, None])).ravel()
    order = np.argsort(r)
    return float(r[order][np.searchsorted(np.cumsum(psf.ravel()[order]), share * psf.sum())])


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda m: f"{m.numerical_aperture}, {m.pixel_size} um")
def test_objectives_blur_by_what_they_are_told(objective: Microscope) -> None:
    """In focus a point is about a pixel; far from it nine tenths of the light lie where nine tenths of the rays do."""
    assert 1 <= objective.pixel_size / (objective.wavelength / (4 * objective.numerical_aperture)) <= 3.2
    sines = np.sqrt((np.arange(100_000) + 0.5) / 100_000) * objective.numerical_aperture / objective.refractive_index
    rays = distance(objective, 8.0) / objective.pixel_size * np.tan(np.arcsin(sines))
    assert math.sqrt((rays**2).mean() / 2) == pytest.approx(8, rel=1e-3)
    focused, wide = (ObjectiveOptics(torch.full(SHAPE, sigma), objective).mean_psf(1) for sigma in (0.0, 8.0))
    assert encircled(focused, 0.5) <= 1.5
    assert encircled(wide, 0.9) == pytest.approx(np.quantile(rays, 0.9), rel=0.12)


def test_colours_are_blurred_by_their_wavelengths() -> None:
    """As one gray image each, of that wavelength."""
    scene, sigma = torch.rand(3, *SHAPE), torch.linspace(0.5, 4, SHAPE[1]).expand(SHAPE).contiguous()
    optics = ObjectiveOptics(sigma, OBJECTIVES[5])
    blurred = optics.blur(3).apply(scene)
    for c, wavelength in enumerate(WAVELENGTHS):
        alone = ObjectiveOptics(sigma, replace(OBJECTIVES[5], wavelength=wavelength)).blur(1)
        torch.testing.assert_close(blurred[c], alone.apply(scene[c]))


def test_adjoints_are_adjoints() -> None:
    x, y = torch.rand(2, 3, *SHAPE, dtype=torch.float64)
    blur = ObjectiveOptics(torch.rand(SHAPE, dtype=torch.float64) * 3, OBJECTIVES[1]).blur(3)
    assert float((blur.apply(x) * y).sum()) == pytest.approx(float((x * blur.adjoint(y)).sum()), rel=1e-9)


def test_interpolated_psfs_are_close_to_exact_ones() -> None:
    """Levels of soft disks serve objectives too: a twentieth of the range at worst, as training bears."""
    scene = torch.rand(1, *SHAPE)
    sigma = torch.linspace(0.3, 6, SHAPE[1]).expand(SHAPE).contiguous()
    for objective in OBJECTIVES:
        assert ObjectiveOptics(sigma, objective).bank_error(scene, np.random.default_rng(0)) < 0.05
