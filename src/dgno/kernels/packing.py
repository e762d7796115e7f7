"""Matrices laid out for the products in C (`products.h`)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def pad_outputs(weight: Float[Tensor, outputs * inputs], lanes: int) -> Float[Tensor, padded * inputs]:
    """Zeros after the last output, up to whole vectors of `lanes`."""
    padding = -weight.shape[0] % lanes
    return F.pad(weight, (0, 0) * (weight.ndim - 1) + (0, padding)) if padding else weight


def pack(weight: Float[Tensor, "outputs inputs"], lanes: int) -> Float[Tensor, "vectors inputs lanes"]:
    """The weights of a linear map with `lanes` neighbouring outputs of an input side by side."""
    padded = pad_outputs(weight.detach(), lanes)
    return padded.unflatten(0, (-1, lanes)).transpose(1, 2).contiguous()
