"""Blur operators: laws that every one obeys."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dgno.optics.blur import READINGS, SpatiallyVaryingBlur, blur_levels
from dgno.optics.diffraction import Microscope
from dgno.optics.fields import FIELDS
from dgno.optics.motion import linear_motion
from dgno.optics.psf import PSF, disk, gaussian, gaussian_disk, super_gaussian
from dgno.optics.seidel import Seidel, seidel

SHAPE = (40, 53)
BOUNDARIES = ["reflect", "replicate", "zero", "circular"]


def field(kind: str, low: float = 0.6, high: float = 4.0) -> torch.Tensor:
    return FIELDS[kind](SHAPE, low, high, np.random.default_rng(3))


def slanting_motion(length: float) -> PSF:
    return linear_motion(length, 25.0)


def legacy_motion(length: float) -> PSF:
    return linear_motion(length, 25.0, legacy_shift=True)


def across_the_field() -> tuple[torch.Tensor, list[PSF]]:
    """Two comatic PSFs, mixed from left to right: unlike those of defocus, they are not their own mirror images."""
    lens = Microscope(numerical_aperture=0.5, wavelength=0.55, pixel_size=0.4)
    share = torch.linspace(0, 1, SHAPE[1], dtype=torch.float64).expand(SHAPE)
    return torch.stack([1 - share, share]), [seidel(lens, Seidel(coma=1.0), place) for place in ((0, -1), (0.3, 1))]


def every_blur() -> dict[str, SpatiallyVaryingBlur]:
    disks = functools.lru_cache(gaussian_disk)
    blurs = {
        f"{kind}, {b}, {r}": SpatiallyVaryingBlur(field(kind), disks, boundary=b, reading=r)
        for kind in FIELDS
        for b in BOUNDARIES
        for r in READINGS
    }
    families = {"gaussian": gaussian, "disk": disk, "super-gaussian": super_gaussian, "motion": slanting_motion}
    for r in READINGS:
        for name, family in families.items():
            blurs[f"{name}, {r}"] = SpatiallyVaryingBlur(field("smooth", 1.0, 3.0), family, reading=r)
        steps = torch.where(field("voronoi") > 2, 4.0, 6.0)
        for b in BOUNDARIES:
            blurs[f"shifted motion, {b}, {r}"] = SpatiallyVaryingBlur(
                steps, legacy_motion, levels=[4, 6], reading=r, boundary=b
            )
            blurs[f"coma, {b}, {r}"] = SpatiallyVaryingBlur.of_psfs(*across_the_field(), reading=r, boundary=b)
        blurs[f"down to no blur, {r}"] = SpatiallyVaryingBlur(field("smooth", 0.0, 3.0), gaussian, reading=r)
        blurs[f"none at all, {r}"] = SpatiallyVaryingBlur(torch.zeros(SHAPE), gaussian, reading=r)
    return blurs


EVERY_BLUR = every_blur()
every = pytest.mark.parametrize("blur", EVERY_BLUR.values(), ids=EVERY_BLUR.keys())


def images(seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@every
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_adjoint(blur: SpatiallyVaryingBlur, dtype: torch.dtype, tolerance: float) -> None:
    """<A x, y> = <x, A^T y>."""
    x, y = images(0, dtype), images(1, dtype)
    difference = (blur.apply(x) * y).sum() - (x * blur.adjoint(y)).sum()
    assert abs(difference) <= tolerance * x.norm() * y.norm()


@every
def test_linear(blur: SpatiallyVaryingBlur) -> None:
    x, y = images(0), images(1)
    torch.testing.assert_close(blur.apply(2 * x - 3 * y), 2 * blur.apply(x) - 3 * blur.apply(y))


@every
def test_light_stays_positive(blur: SpatiallyVaryingBlur) -> None:
    assert blur.apply(images(0)).min() >= -1e-6


@pytest.mark.parametrize("name", [name for name in EVERY_BLUR if name.endswith("gather")])
def test_a_flat_image_stays_flat(name: str) -> None:
    """In the gather reading, unless darkness comes in from outside."""
    blur = EVERY_BLUR[name]
    flat = torch.full((1, *SHAPE), 0.7, dtype=torch.float64)
    error = (blur.apply(flat) - 0.7).abs().max()
    assert error < 1e-6 if blur.boundary != "zero" or blur.radius == 0 else error > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_take_the_memory_of_the_field(dtype: torch.dtype) -> None:
    """Its dtype; and they sum to 1 to its last digits, so that no light is lost."""
    blur = SpatiallyVaryingBlur(field("smooth").to(dtype), gaussian_disk)
    assert blur.weights.dtype == dtype
    total = blur.weights.double().sum(0)
    assert (total - 1).abs().max() <= torch.finfo(dtype).eps
    assert blur.mean_psf().dtype == torch.float64


def test_one_strength_at_a_time_is_transformed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, no more than two spectra of the image's size are made at once."""
    made: list[int] = []
    transform = torch.fft.rfft2

    def counting(x: torch.Tensor, **arguments: Any) -> torch.Tensor:
        spectrum = transform(x, **arguments)
        made.append(spectrum.numel() * spectrum.element_size())
        return spectrum

    monkeypatch.setattr(torch.fft, "rfft2", counting)
    blur = SpatiallyVaryingBlur(field("smooth"), gaussian_disk)
    blur.apply(images(0, torch.float32)[:1])
    assert len(blur.psfs) > 10
    assert max(made) == min(made) == made[0]


def test_a_constant_field_is_a_convolution() -> None:
    blur = SpatiallyVaryingBlur(torch.full(SHAPE, 2.0), gaussian)
    expected = gaussian_filter(images(0)[0].numpy(), 2.0, mode="reflect", truncate=4)
    np.testing.assert_allclose(blur.apply(images(0))[0].numpy(), expected, atol=1e-9)


def test_steps_of_the_field_are_exact() -> None:
    """With the levels of a piecewise constant field, each part is the plain convolution copied through its mask."""
    steps = torch.where(torch.arange(SHAPE[1]) < 20, 1.0, 3.0).expand(SHAPE)
    blur = SpatiallyVaryingBlur(steps, gaussian_disk, levels=[1.0, 3.0])
    parts = [SpatiallyVaryingBlur(torch.full(SHAPE, s), gaussian_disk).apply(images(0)) for s in (1.0, 3.0)]
    torch.testing.assert_close(blur.apply(images(0)), torch.where(steps == 1.0, *parts))


def test_interpolated_levels_come_close_to_exact_ones() -> None:
    """Against a hundred times as many levels: the default is better than 60 dB."""
    smooth = field("smooth")
    fine = SpatiallyVaryingBlur(smooth, functools.lru_cache(gaussian_disk), levels=list(np.geomspace(0.5, 4.1, 800)))
    error = (SpatiallyVaryingBlur(smooth, gaussian_disk).apply(images(0)) - fine.apply(images(0))).square().mean()
    assert -10 * torch.log10(error) > 60


def test_blur_reaches_beyond_images_smaller_than_the_psf() -> None:
    tiny = torch.rand(1, 3, 2)
    blurred = SpatiallyVaryingBlur(torch.full((3, 2), 4.0), gaussian_disk).apply(tiny)
    assert blurred.shape == tiny.shape
    assert blurred.mean() == pytest.approx(float(tiny.mean()), abs=0.05)


@pytest.mark.parametrize(("low", "high", "count"), [(2, 2, 1), (0.6, 13, 31), (8, 10, 4), (0, 0, 1), (0, 4, 27)])
def test_levels(low: float, high: float, count: int) -> None:
    """Log-spaced, enough for the range, with one linear segment down to 0."""
    levels = blur_levels(low, high)
    assert len(levels) == count
    assert (levels[0], levels[-1]) == (pytest.approx(low), pytest.approx(high))
    assert levels == sorted(levels)


def test_the_mean_psf_is_the_average_over_pixels() -> None:
    steps = torch.where(torch.arange(SHAPE[1]) < 20, 1.0, 3.0).expand(SHAPE)
    mean = SpatiallyVaryingBlur(steps, gaussian, levels=[1.0, 3.0]).mean_psf()
    share = 20 / SHAPE[1]
    assert mean.max() == pytest.approx(share * gaussian(1.0).max() + (1 - share) * gaussian(3.0).max())
