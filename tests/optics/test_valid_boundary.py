"""The boundary "valid": what no border touches, and nothing else; and blurs as functions of their field."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from dgno.errors import ConfigError
from dgno.optics.blur import READINGS, SpatiallyVaryingBlur
from dgno.optics.fields import FIELDS
from dgno.optics.motion import linear_motion
from dgno.optics.psf import PSF, disk, gaussian

SHAPE = (31, 26)
readings = pytest.mark.parametrize("reading", READINGS)


def leaning(length: float) -> PSF:
    """Not its own mirror image."""
    return linear_motion(length, 30.0, legacy_shift=True)


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@readings
@pytest.mark.parametrize("psf", [disk(3.3), leaning(6), gaussian(1.2), gaussian(0)])
def test_of_one_psf_it_is_the_valid_convolution(reading: str, psf: PSF) -> None:
    blur = SpatiallyVaryingBlur(torch.ones(SHAPE), lambda _: psf, reading=reading, boundary="valid")
    h = image(2, *SHAPE)
    for plane, blurred in zip(h.numpy(), blur.apply(h).numpy(), strict=True):
        np.testing.assert_allclose(blurred, convolve2d(plane, psf, mode="valid"), atol=1e-12)


@readings
@pytest.mark.parametrize("kind", FIELDS)
def test_it_is_the_middle_of_every_other_boundary(reading: str, kind: str) -> None:
    """Which differ nearer to the border only."""
    field = FIELDS[kind](SHAPE, 0.6, 2.0, np.random.default_rng(1)).double()
    h = image(*SHAPE)
    inside = SpatiallyVaryingBlur(field, gaussian, reading=reading, boundary="valid")
    r = inside.radius
    for boundary in ("reflect", "replicate", "zero", "circular"):
        whole = SpatiallyVaryingBlur(field, gaussian, reading=reading, boundary=boundary).apply(h)
        torch.testing.assert_close(inside.apply(h), whole[r:-r, r:-r], atol=1e-12, rtol=0)


@readings
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("family", [gaussian, leaning])
def test_adjoint(reading: str, dtype: torch.dtype, tolerance: float, family: Callable[[float], PSF]) -> None:
    """<A x, y> = <x, A^T y>, where y is smaller than x; the adjoint gives an image of the size of x."""
    field = torch.where(FIELDS["voronoi"](SHAPE, 1.0, 4.0, np.random.default_rng(0)) > 2, 2.0, 3.0)
    blur = SpatiallyVaryingBlur(field, family, reading=reading, boundary="valid", levels=[2.0, 3.0])
    x = image(2, *SHAPE).to(dtype)
    forward = blur.apply(x)
    assert forward.shape == (2, *(n - 2 * blur.radius for n in SHAPE))
    y = image(*forward.shape, seed=1).to(dtype)
    back = blur.adjoint(y)
    assert back.shape == x.shape
    assert abs((forward * y).sum() - (x * back).sum()) <= tolerance * x.norm() * y.norm()


@readings
def test_a_flat_image_stays_flat_in_gather(reading: str) -> None:
    """Although darkness lies beyond the border; scatter shows the steps."""
    field = torch.where(torch.arange(SHAPE[1]) < 13, 1.0, 2.0).expand(SHAPE)
    blur = SpatiallyVaryingBlur(field, gaussian, reading=reading, boundary="valid", levels=[1.0, 2.0])
    error = (blur.apply(torch.ones(SHAPE, dtype=torch.float64)) - 1).abs().max()
    assert error < 1e-12 if reading == "gather" else error > 0.1


@pytest.mark.parametrize("shape", [(16, 40), (40, 17), (3, 3)])
def test_images_that_are_too_small_are_refused(shape: tuple[int, int]) -> None:
    """One pixel is left by an image as large as the PSF, none by a smaller one."""
    blur = SpatiallyVaryingBlur(torch.full(shape, 2.0), gaussian, boundary="valid")
    assert 2 * blur.radius + 1 == 17
    if min(shape) < 17:
        with pytest.raises(ConfigError, match="nothing is left by a PSF of 17 px"):
            blur.apply(torch.ones(shape))
    else:
        assert blur.apply(torch.ones(shape)).shape == (shape[0] - 16, 1)


@readings
def test_the_field_may_be_differentiated(reading: str) -> None:
    """Against differences of the blurred image, for strengths away from the levels."""
    field = (FIELDS["smooth"]((9, 8), 1.05, 2.95, np.random.default_rng(0)).double() * 50).round() / 50 + 0.003
    levels = [1.0, 1.5, 2.0, 2.5, 3.0]
    h, g = image(9, 8), image(9, 8, seed=1)

    def loss(strengths: torch.Tensor) -> torch.Tensor:
        return (SpatiallyVaryingBlur(strengths, gaussian, levels=levels, reading=reading).apply(h) * g).sum()

    assert torch.autograd.gradcheck(loss, field.requires_grad_(), eps=1e-4, atol=1e-6)
    assert torch.isfinite(SpatiallyVaryingBlur(field, gaussian, reading=reading).apply(h)).all()
