"""Laws of deconvolution: every classical method obeys them, with whatever it is told of the blur."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dgno.classical.blind import blind_richardson_lucy
from dgno.classical.blind_sigma import blind_disk
from dgno.classical.convolution import Convolution
from dgno.classical.richardson_lucy import richardson_lucy
from dgno.classical.ring import ring_deconvolve
from dgno.classical.stopping import discrepancy, settled
from dgno.classical.wiener import unsupervised_wiener, wiener
from dgno.errors import NonFiniteInput
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.psf import IDENTITY, PSF, gaussian, gaussian_disk

Method = Callable[[Tensor, PSF], Tensor]


def varying(x: Tensor, psf: PSF) -> Tensor:
    height, width = x.shape[-2:]
    field = torch.zeros(height, width, dtype=x.dtype)
    return richardson_lucy(x, SpatiallyVaryingBlur(field, lambda _: psf), num_iter=10)


TOLD: dict[str, Method] = {
    "wiener": wiener,
    "wiener, balance given": functools.partial(wiener, balance=1e-5),
    "unsupervised wiener": unsupervised_wiener,
    "richardson-lucy": functools.partial(richardson_lucy, num_iter=10),
    "accelerated": functools.partial(richardson_lucy, num_iter=10, accelerated=True),
    "total variation": functools.partial(richardson_lucy, num_iter=10, tv=0.002),
    "stopped by the noise": functools.partial(richardson_lucy, stop=discrepancy()),
    "stopped by rest": functools.partial(richardson_lucy, stop=settled(0.05)),
    "varying": varying,
    "ring": lambda x, psf: ring_deconvolve(x, Convolution(psf), num_iter=20, step=0.01),
}
BLIND: dict[str, Method] = {
    "blind": lambda x, psf: blind_disk(x, num_iter=5),
    "blind, PSF too": lambda x, psf: blind_richardson_lucy(x, radius=3, num_iter=2, inner=2)[0],
}
EVERY = TOLD | BLIND
every = pytest.mark.parametrize("method", EVERY.values(), ids=EVERY.keys())


def image(seed: int = 0, shape: tuple[int, ...] = (2, 2, 37, 44), dtype: torch.dtype = torch.float64) -> Tensor:
    values = gaussian_filter(np.random.default_rng(seed).random(shape), (0, 0, 1.5, 1.5))
    return torch.from_numpy(values).to(dtype)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_precision_are_kept(method: Method, dtype: torch.dtype) -> None:
    given = image(dtype=dtype)
    before = given.clone()
    restored = method(given, gaussian(1.5))
    assert (restored.shape, restored.dtype) == (given.shape, dtype)
    assert torch.isfinite(restored).all()
    assert torch.equal(given, before)


@every
def test_both_precisions_agree(method: Method) -> None:
    """To single precision, however often it is divided by a blurred estimate."""
    exact, single = (method(image(dtype=dtype), gaussian(1.5)).double() for dtype in (torch.float64, torch.float32))
    torch.testing.assert_close(single, exact, atol=2e-3, rtol=0)


@every
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (7, 8), (17, 16)])
def test_images_smaller_than_the_psf(method: Method, shape: tuple[int, int]) -> None:
    """17 px wide, on planes down to one pixel: same shape, finite."""
    restored = method(image(shape=(1, 1, *shape)), gaussian(2.0))
    assert restored.shape == (1, 1, *shape)
    assert torch.isfinite(restored).all()


@pytest.mark.parametrize("name", sorted(TOLD.keys() - {"unsupervised wiener", "total variation"}))
def test_without_blur_there_is_nothing_to_restore(name: str) -> None:
    """A PSF of one pixel gives the image back; but two methods smooth whatever they are given."""
    torch.testing.assert_close(TOLD[name](image(), IDENTITY), image(), atol=2e-3, rtol=0)


@every
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_constants_stay(method: Method, level: float) -> None:
    flat = torch.full((1, 1, 40, 33), level, dtype=torch.float64)
    torch.testing.assert_close(method(flat, gaussian_disk(1.5)), flat, atol=2e-3, rtol=0)


@every
def test_images_of_a_batch_do_not_know_each_other(method: Method) -> None:
    both = torch.cat([image(1)[:, :1], 0.3 * image(2)[:, :1]])
    apart = torch.cat([method(one, gaussian(1.5)) for one in both.split(1)])
    torch.testing.assert_close(method(both, gaussian(1.5)), apart, atol=1e-12, rtol=0)


@every
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(method: Method, bad: float) -> None:
    given = image()
    given[0, 1, 3, 4] = bad
    with pytest.raises(NonFiniteInput, match=r"1 values are NaN or infinite; .*--nonfinite"):
        method(given, gaussian(1.5))
