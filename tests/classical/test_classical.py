"""Classical deconvolution with the PSF that made the blur."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dgno.classical.richardson_lucy import richardson_lucy
from dgno.classical.wiener import unsupervised_wiener
from dgno.metrics import psnr
from dgno.optics.psf import gaussian


def scene() -> torch.Tensor:
    rng = np.random.default_rng(0)
    image = np.zeros((2, 90, 101))
    for plane in image:
        for _ in range(25):
            y, x = rng.integers(0, 85, 2)
            plane[y : y + rng.integers(3, 20), x : x + rng.integers(3, 20)] = rng.uniform(0.2, 1)
    return torch.from_numpy(gaussian_filter(image, (0, 0.5, 0.5)))[None].float()


MANY = functools.partial(richardson_lucy, num_iter=300)


@pytest.mark.parametrize(("method", "gain"), [(unsupervised_wiener, 2), (richardson_lucy, 2), (MANY, 6)])
def test_gain_without_noise(method: Callable[..., torch.Tensor], gain: float) -> None:
    """Knowing the PSF of sigma 2, so many dB are won back on edges without noise; shape and batch are kept."""
    sharp = scene()
    blurred = torch.from_numpy(gaussian_filter(sharp.numpy(), (0, 0, 2, 2), mode="reflect"))
    restored = method(blurred, gaussian(2.0))
    assert restored.shape == sharp.shape
    assert psnr(restored, sharp) > psnr(blurred, sharp) + gain


def test_richardson_lucy_keeps_light_and_sign() -> None:
    """Nothing negative, and the same flux."""
    blurred = torch.from_numpy(gaussian_filter(scene().numpy(), (0, 0, 2, 2), mode="reflect"))
    restored = richardson_lucy(blurred, gaussian(2.0))
    assert restored.min() >= 0
    assert restored.mean() == pytest.approx(float(blurred.mean()), rel=0.02)


def test_wiener_is_the_same_every_time() -> None:
    """It samples; the seed fixes what it draws."""
    a, b = (unsupervised_wiener(scene(), gaussian(1.0), seed=3) for _ in range(2))
    assert torch.equal(a, b)
