"""Matrices laid out for the products in C (`products.h`): the reference, and padded vectors.

The fast twin in C is `packing_c.py`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

MOST_INPUTS = 2048  # of a product of bfloat16: its rows are rounded into a buffer
BLOCK = 32  # inputs of a tile (AMX)


def pad_outputs(weight: Tensor, lanes: int) -> Tensor:
    """Zeros after the last output, up to whole vectors of `lanes`; (outputs, inputs) or (outputs)."""
    padding = -weight.shape[0] % lanes
    return F.pad(weight, (0, 0) * (weight.ndim - 1) + (0, padding)) if padding else weight


def pack(weight: Float[Tensor, "*groups o i"], lanes: int, parts: int = 0) -> Tensor:
    """The weights of a linear map with `lanes` neighbouring outputs of an input side by side: (vectors, inputs, lanes).

    groups : the outputs of each are padded to whole vectors of their own, which follow each other
    parts : of bfloat16 that they are the sum of, each the rounded rest of those before it, pairs of inputs together,
        with zeros up to whole blocks of `BLOCK` inputs: (parts, vectors, pairs, lanes, 2). 0: floats, as above
    """
    groups = weight.detach().reshape(-1, *weight.shape[-2:])
    padded = torch.cat([pad_outputs(group, lanes) for group in groups])
    if not parts:
        return padded.unflatten(0, (-1, lanes)).transpose(1, 2).contiguous()
    left = F.pad(padded, (0, -padded.shape[1] % BLOCK))
    packed = left.new_empty((parts, left.shape[0] // lanes, left.shape[1] // 2, lanes, 2), dtype=torch.bfloat16)
    for part in packed:
        rounded = left.to(torch.bfloat16)
        part.copy_(rounded.unflatten(1, (-1, 2)).unflatten(0, (-1, lanes)).transpose(1, 2))
        left = left - rounded
    return packed
