"""The blur of an object that reaches beyond its image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from dgno.classical.convolution import Convolution, LinearBlur, as_blur, check_psf
from dgno.errors import ConfigError
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.psf import gaussian


def lopsided(side: int) -> np.ndarray:
    psf = np.random.default_rng(side).random((side, side))
    return psf / psf.sum()


@pytest.mark.parametrize("side", [1, 3, 9])
@pytest.mark.parametrize("shape", [(1, 1), (23, 31), (40, 16)])
def test_it_is_the_valid_convolution(side: int, shape: tuple[int, int]) -> None:
    h = torch.rand(2, shape[0] + side - 1, shape[1] + side - 1, dtype=torch.float64)
    seen = Convolution(lopsided(side)).apply(h)
    expected = np.stack([convolve2d(plane, lopsided(side), mode="valid") for plane in h.numpy()])
    np.testing.assert_allclose(seen.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("shape", [(1, 5), (23, 31)])
def test_adjoint(shape: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    """<A x, y> = <x, A^T y>."""
    blur = Convolution(lopsided(7))
    x, y = torch.rand(shape[0] + 6, shape[1] + 6, dtype=dtype), torch.rand(shape, dtype=dtype)
    difference = (blur.apply(x) * y).sum() - (x * blur.adjoint(y)).sum()
    assert abs(difference) <= tolerance * x.norm() * y.norm()


def test_a_blur_is_what_has_apply_and_adjoint() -> None:
    blur = SpatiallyVaryingBlur(torch.zeros(4, 5), lambda _: gaussian(1.0))
    assert isinstance(blur, LinearBlur)
    assert as_blur(blur) is blur
    assert isinstance(as_blur(gaussian(1.0)), Convolution)


@pytest.mark.parametrize(
    ("psf", "why"),
    [
        (np.ones((4, 4)) / 16, r"its shape is \(4, 4\), wanted a square of odd side"),
        (np.ones((3, 5)) / 15, r"its shape is \(3, 5\)"),
        (np.eye(3) - 2 / 9, "values that are negative, NaN or infinite"),
        (np.full((3, 3), np.nan), "values that are negative, NaN or infinite"),
        (np.ones((3, 3)), "its sum is 9, wanted 1; crop it around its middle, and divide it by its sum"),
    ],
)
def test_what_is_no_psf_is_refused(psf: np.ndarray, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_psf(psf)
