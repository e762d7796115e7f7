"""Metrics against the libraries that people trust."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage import metrics as reference

from dgno.errors import ConfigError
from dgno.metrics import psnr, ssim


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sharp = torch.rand(shape, generator=generator)
    return (sharp + 0.1 * torch.randn(shape, generator=generator)).clamp(0, 1), sharp


@pytest.mark.parametrize("shape", [(64, 64), (1, 11, 11), (3, 41, 57), (2, 3, 33, 12)])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_equal_to_scikit_image(shape: tuple[int, ...], data_range: float) -> None:
    """PSNR; and SSIM with a Gaussian window, population covariance, and the border of 5 px cut."""
    a, b = (t * data_range for t in pair(shape))
    assert psnr(a, b, data_range) == pytest.approx(
        reference.peak_signal_noise_ratio(b.double().numpy(), a.double().numpy(), data_range=data_range), abs=1e-6
    )
    planes = zip(a.reshape(-1, *shape[-2:]), b.reshape(-1, *shape[-2:]), strict=True)
    expected = [_scikit_ssim(x, y, data_range) for x, y in planes]
    assert ssim(a, b, data_range) == pytest.approx(np.mean(expected), abs=1e-6)


def _scikit_ssim(a: torch.Tensor, b: torch.Tensor, data_range: float) -> float:
    _, image = reference.structural_similarity(
        a.double().numpy(), b.double().numpy(), data_range=data_range,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True,
    )  # fmt: skip
    return float(image[5:-5, 5:-5].mean())


def test_equal_images() -> None:
    a, _ = pair((32, 32))
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1)


def test_symmetric() -> None:
    a, b = pair((32, 32))
    assert psnr(a, b) == psnr(b, a)
    assert ssim(a, b) == pytest.approx(ssim(b, a))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constants_are_defined(value: float) -> None:
    a, b = torch.full((20, 20), value), torch.full((20, 20), 0.25)
    assert math.isfinite(psnr(a, b))
    assert 0 < ssim(a, b) < 1


def test_images_smaller_than_the_window_are_an_error() -> None:
    with pytest.raises(ConfigError, match="at least 11 x 11"):
        ssim(torch.rand(10, 40), torch.rand(10, 40))


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize("other", [(20, 21), (1, 20, 20), (3, 20, 20)])
def test_images_of_different_shapes_are_an_error(metric: Callable[..., float], other: tuple[int, ...]) -> None:
    """Also those that would broadcast to a number."""
    with pytest.raises(ConfigError, match=r"different shapes: \(20, 20\) against"):
        metric(torch.rand(20, 20), torch.rand(other))
