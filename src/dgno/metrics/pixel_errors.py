"""Measures of the difference pixel by pixel: MAE, PSNR, PSNR up to an affine map, and PSNR inside a region."""

from __future__ import annotations

import math

from jaxtyping import Bool
from torch import Tensor

from dgno.errors import ConfigError
from dgno.metrics.comparable import Compared, Images, refuse_other_shape


def mae(image: Compared, reference: Compared) -> float:
    """Mean absolute error, mean |image - reference|, in the units of the images.

    Raises ConfigError if the shapes differ.
    """
    refuse_other_shape(image, reference)
    return (image.double() - reference.double()).abs().mean().item()


def psnr(image: Compared, reference: Compared, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range^2 / mean squared difference); infinite if equal.

    Raises ConfigError if the shapes differ.
    """
    refuse_other_shape(image, reference)
    return decibels((image.double() - reference.double()).square().mean().item(), data_range)


def affine_psnr(image: Compared, reference: Compared, data_range: float = 1.0) -> float:
    """PSNR in dB after the best affine fit of the image: min over a, b of mean (a image + b - reference)^2.

    It does not see contrast and brightness, so it stands beside PSNR and never for it. One fit for all channels; a
    constant image is fitted by the mean of the reference. Raises ConfigError if the shapes differ.
    """
    refuse_other_shape(image, reference)
    x, y = (t.double() - t.double().mean() for t in (image, reference))
    spread = x.square().mean().item()
    slope = (x * y).mean().item() / spread if spread > 0 else 0.0
    return decibels((slope * x - y).square().mean().item(), data_range)


def region_psnr(image: Images, reference: Images, region: Bool[Tensor, "h2 w2"], *, data_range: float = 1.0) -> float:
    """PSNR in dB of the pixels inside a region, all channels of them; infinite if they are equal.

    region : (h, w), True where pixels count
    10 log10(data_range^2 / mean over the region of (image - reference)^2). Raises ConfigError if the shapes differ, or
    if no pixel counts: images without the region are to be skipped and counted, not averaged.
    """
    refuse_other_shape(image, reference)
    if region.shape != image.shape[-2:]:
        raise ConfigError(f"a region of shape {tuple(region.shape)} for images of shape {tuple(image.shape)}")
    if not region.any():
        raise ConfigError("the region holds no pixel", hint="skip such images, and tell how many they are")
    error = (image.double() - reference.double())[..., region].square().mean().item()
    return decibels(error, data_range)


def decibels(mean_squared_error: float, data_range: float) -> float:
    """10 log10(data_range^2 / mean squared error), infinite for an error of 0."""
    return math.inf if mean_squared_error == 0 else 10 * math.log10(data_range**2 / mean_squared_error)
