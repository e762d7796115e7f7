"""Matrices laid out for the products in C (`products.h`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

HALF_INPUTS = 2048  # at most, of a product of bfloat16: its rows are rounded into a buffer


def pad_outputs(weight: Tensor, lanes: int) -> Tensor:
    """Zeros after the last output, up to whole vectors of `lanes`; (outputs, inputs) or (outputs)."""
    padding = -weight.shape[0] % lanes
    return F.pad(weight, (0, 0) * (weight.ndim - 1) + (0, padding)) if padding else weight


def pack(weight: Float[Tensor, "o i"], lanes: int, *, half: bool = False) -> Tensor:
    """The weights of a linear map with `lanes` neighbouring outputs of an input side by side: (vectors, inputs, lanes).

    half : as bfloat16, pairs of inputs together: (vectors, pairs, lanes, 2), a zero after an odd number of inputs
    """
    padded = pad_outputs(weight.detach(), lanes)
    if half:
        padded = F.pad(padded, (0, padded.shape[1] % 2)).to(torch.bfloat16)
        return padded.unflatten(1, (-1, 2)).unflatten(0, (-1, lanes)).transpose(1, 2).contiguous()
    return padded.unflatten(0, (-1, lanes)).transpose(1, 2).contiguous()
