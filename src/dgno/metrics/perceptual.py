"""Learned perceptual distance with a backbone that the user brings; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.errors import ConfigError
from dgno.metrics.comparable import refuse_other_shape

Colours = Float[Tensor, "b c h w"]
Features = Callable[[Float[Tensor, "b 3 h w"]], Sequence[Float[Tensor, "b d y x"]]]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's statistics, for inputs in [-1, 1]
TINY = 1e-10  # added to the length of feature vectors


def lpips(
    image: Colours,
    reference: Colours,
    features: Features,
    weights: Sequence[Float[Tensor, " _"]],
    *,
    data_range: float = 1.0,
) -> float:
    """LPIPS (Zhang et al. 2018, arXiv:1801.03924, Eq. 1), version 0.1 without its spatial form; 0 if equal.

    image, reference : (b, c, h, w), c = 3, or 1, which is repeated three times; range [0, data_range]
    features : the backbone, which gives the maps of its layers for images that were brought to [-1, 1] and then
        shifted and scaled by SHIFT and SCALE; for published numbers AlexNet's five ReLU maps
    weights : the learnt linear weights of every layer, one value a channel
    Per layer the feature vectors of each pixel are brought to length 1; the weighted squared difference, averaged over
    pixels, is summed over layers and averaged over the batch. Raises ConfigError if shapes do not fit.
    """
    refuse_other_shape(image, reference)
    with torch.no_grad():
        layers = [features(_backbone_input(x, data_range)) for x in (image, reference)]
        distance = torch.zeros(len(image), dtype=torch.float64, device=image.device)
        for a, b, weight in zip(*layers, _fitting(weights, layers[0]), strict=True):
            difference = (_unit(a) - _unit(b)).square()  # (b, d, y, x)
            distance += (difference * weight.double().view(1, -1, 1, 1)).sum(dim=1).mean(dim=(-2, -1))
    return float(distance.mean())


def _backbone_input(x: Colours, data_range: float) -> Float[Tensor, "b 3 h w"]:
    if x.shape[1] not in (1, 3):
        raise ConfigError(f"LPIPS needs images of 1 or 3 channels, got {x.shape[1]}")
    shift, scale = (torch.tensor(v, dtype=x.dtype, device=x.device).view(1, 3, 1, 1) for v in (SHIFT, SCALE))
    return (2 * x.expand(-1, 3, -1, -1) / data_range - 1 - shift) / scale


def _fitting(weights: Sequence[Tensor], maps: Sequence[Tensor]) -> Sequence[Tensor]:
    wanted, came = [x.shape[1] for x in maps], [weight.numel() for weight in weights]
    if wanted != came:
        raise ConfigError(f"linear weights for layers of {came} channels, but the backbone gives {wanted}")
    return weights


def _unit(x: Tensor) -> Tensor:
    """Feature vectors (b, d, y, x) divided by their length over d."""
    x = x.double()
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + TINY)
