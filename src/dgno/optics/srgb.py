"""sRGB code values and the light behind them, IEC 61966-2-1. Optics acts on light."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Values = Float[Tensor, "*shape"]


def srgb_decode(x: Values) -> Values:
    """sRGB code values in [0, 1] -> linear light."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def srgb_encode(x: Values) -> Values:
    """Linear light in [0, 1] -> sRGB code values."""
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def in_linear_light(process: Callable[[Tensor], Tensor], scene: Values) -> Values:
    """`process` applied to the light behind sRGB code values in [0, 1]; the result coded again."""
    return srgb_encode(process(srgb_decode(scene.clamp(0, 1))).clamp(0, 1))
