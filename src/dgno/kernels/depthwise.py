"""Depth-wise 3x3 convolutions followed by a gate, in plain tensor code: the reference for every faster version.

The fast twin in C with the same signatures is `depthwise_c.py`; `backends.py` chooses.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def gelu_gate(x: Float[Tensor, "b c2 h w"], weight: Float[Tensor, "c2 1 3 3"]) -> Float[Tensor, "b c2//2 h w"]:
    """GELU(first half) * second half of the convolved channels: the gate of Restormer's feed-forward network."""
    first, second = F.conv2d(x, weight, padding=1, groups=x.shape[1]).chunk(2, dim=1)
    return F.gelu(first) * second


def sigmoid_gate(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "c 1 3 3"], bias: Float[Tensor, " c"]
) -> Float[Tensor, "b c h w"]:
    """x * sigmoid(convolution of x + bias): the conditional positional encoding of MambaIRv2."""
    return x * torch.sigmoid(F.conv2d(x, weight, bias, padding=1, groups=x.shape[1]))
