"""How close a restored image comes to its reference, by the protocol `dgno`.

Tensors (..., h, w) with values in [0, data_range]; channels are averaged. Computed in float64.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dgno.errors import ConfigError

Images = Float[Tensor, "*batch h w"]
Compared = Float[Tensor, "..."]  # both of one shape, which is checked with an error of ours
WINDOW, SIGMA = 11, 1.5  # px, of the Gaussian window of SSIM


def psnr(image: Compared, reference: Compared, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range^2 / mean squared difference); infinite if equal.

    Raises ConfigError if the shapes differ.
    """
    _refuse_other_shape(image, reference)
    error = (image.double() - reference.double()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def ssim(image: Compared, reference: Compared, data_range: float = 1.0) -> float:
    """Structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861), the mean over windows and channels.

    Gaussian window of 11 px and sigma 1.5, population covariance, K = 0.01 and 0.03, windows inside the image only.
    Raises ConfigError if the shapes differ or the images are smaller than the window.
    """
    _refuse_other_shape(image, reference)
    if min(image.shape[-2:]) < WINDOW:
        raise ConfigError(f"SSIM needs images of at least {WINDOW} x {WINDOW} px, got {tuple(image.shape[-2:])}")
    a, b = image.double(), reference.double()
    mean_a, mean_b = _windowed(a), _windowed(b)
    variance_a, variance_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float((luminance * structure).mean())


def _refuse_other_shape(image: Compared, reference: Compared) -> None:
    if image.shape != reference.shape:
        came = f"{tuple(image.shape)} against {tuple(reference.shape)}"
        raise ConfigError(f"images of different shapes: {came}", hint="compare images of one size and channels")


def _windowed(x: Images) -> Float[Tensor, "*batch h-10 w-10"]:
    """Weighted mean over the window around each pixel that has a whole one."""
    t = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    line = torch.exp(-(t**2) / (2 * SIGMA**2))
    line = line / line.sum()
    flat = x.reshape(-1, 1, *x.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, line[None, None, :, None]), line[None, None, None, :])
    return flat.reshape(*x.shape[:-2], *flat.shape[-2:])
