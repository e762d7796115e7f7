"""Measures against libraries, on images that no other test has: odd sizes, gray and colours, both floats."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data, filters, metrics
from torch import Tensor

from dgno.errors import ConfigError
from dgno.metrics import UNIFORM, affine_psnr, edge_band, mae, ms_ssim, psnr, region_psnr, ssim

SIZES = {
    "moon": (181, 263),
    "page": (187, 383),
    "chelsea": (177, 201, 3),
    "noise": (199, 177),
    "colours": (190, 177, 3),
}
every_image = pytest.mark.parametrize("name", SIZES)
both_floats = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def arrays(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A restored and a sharp image in [0, 1], (h, w) or (h, w, 3), float64."""
    shape, rng = SIZES[name], np.random.default_rng(7)
    loaded = getattr(data, name)() / 255 if hasattr(data, name) else rng.random(shape)
    sharp = loaded[tuple(slice(n) for n in shape)].astype(np.float32).astype(np.float64)
    restored = gaussian_filter(sharp, (1.2, 1.2, 0)[: sharp.ndim]) * 0.9 + 0.03
    return (restored + rng.normal(0, 0.02, shape)).clip(0, 1).astype(np.float32).astype(np.float64), sharp


def tensors(name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    a, b = (torch.from_numpy(np.moveaxis(np.atleast_3d(x), -1, 0).copy()).to(dtype) for x in arrays(name))
    return a, b


@every_image
@both_floats
def test_scikit_image(name: str, dtype: torch.dtype) -> None:
    """PSNR, MAE, and SSIM with both windows."""
    (a, b), (x, y) = tensors(name, dtype), arrays(name)
    assert psnr(a, b) == pytest.approx(metrics.peak_signal_noise_ratio(y, x, data_range=1), abs=1e-9)
    assert mae(a, b) == pytest.approx(np.abs(x - y).mean(), abs=1e-12)
    axis = -1 if x.ndim == 3 else None
    uniform = metrics.structural_similarity(x, y, data_range=1, channel_axis=axis)
    assert ssim(a, b, window=UNIFORM) == pytest.approx(uniform, abs=1e-9)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    _, similarity = metrics.structural_similarity(x, y, data_range=1, channel_axis=axis, **settings)
    assert ssim(a, b) == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=1e-9)


@every_image
def test_ssim_of_a_region_is_the_mean_of_its_part_of_the_map(name: str) -> None:
    """That of scikit-image, at the pixels that count."""
    (a, b), (x, y) = tensors(name, torch.float64), arrays(name)
    region = np.random.default_rng(0).random(x.shape[:2]) > 0.7
    _, similarity = metrics.structural_similarity(
        x, y, data_range=1, channel_axis=-1 if x.ndim == 3 else None, full=True
    )
    inner = similarity[3:-3, 3:-3][region[3:-3, 3:-3]]
    assert ssim(a, b, window=UNIFORM, region=torch.from_numpy(region)) == pytest.approx(inner.mean(), abs=1e-9)
    border = np.ones_like(region)
    border[3:-3, 3:-3] = False
    with pytest.raises(ConfigError, match="no window of SSIM lies in the region"):
        ssim(a, b, window=UNIFORM, region=torch.from_numpy(border))


@every_image
def test_torchmetrics(name: str) -> None:
    """PSNR; SSIM, of whose map the windows that look beyond the image are cut off; MS-SSIM within 1e-3, as there they
    are not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torchmetrics imports
        reference = pytest.importorskip("torchmetrics.functional.image")
    a, b = (x[None] for x in tensors(name, torch.float64))
    assert psnr(a, b) == pytest.approx(float(reference.peak_signal_noise_ratio(a, b, data_range=1.0)), abs=1e-5)
    _, similarity = reference.structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    assert ssim(a, b) == pytest.approx(float(similarity[..., 5:-5, 5:-5].mean()), abs=1e-6)
    if a.shape[1] == 1:  # colours: it multiplies the scales of every channel and averages then
        theirs = reference.multiscale_structural_similarity_index_measure(a, b, data_range=1.0)
        assert ms_ssim(a, b) == pytest.approx(float(theirs), abs=1e-3)


@every_image
@both_floats
def test_the_affine_fit_is_that_of_least_squares(name: str, dtype: torch.dtype) -> None:
    """By numpy's solver; a changed contrast is worth nothing, and PSNR is never better."""
    (a, b), (x, y) = tensors(name, dtype), arrays(name)
    columns = np.stack([x.ravel(), np.ones(x.size)], axis=1)
    fit, *_ = np.linalg.lstsq(columns, y.ravel(), rcond=None)
    expected = -10 * math.log10(np.square(columns @ fit - y.ravel()).mean())
    assert affine_psnr(a, b) == pytest.approx(expected, abs=1e-6)
    assert affine_psnr(0.25 * a - 3, b) == pytest.approx(expected, abs=1e-3)
    assert affine_psnr(255 * a, 255 * b, 255) == pytest.approx(expected, abs=1e-4)
    assert affine_psnr(a, b) > psnr(a, b)


@every_image
def test_the_edge_band_parts_the_image(name: str) -> None:
    """Its squared errors and those of the rest are all; it lies where scikit-image's Sobel filter is large."""
    a, b = tensors(name, torch.float64)
    band = edge_band(b)
    share = float(band.double().mean())
    assert 0 < share < 1
    inside, outside = (10 ** (-region_psnr(a, b, region) / 10) for region in (band, ~band))
    assert share * inside + (1 - share) * outside == pytest.approx(10 ** (-psnr(a, b) / 10), rel=1e-9)
    slope = filters.sobel(gaussian_filter(b.mean(0).numpy(), 1.0))
    assert slope[band.numpy()].mean() > slope[~band.numpy()].mean()
