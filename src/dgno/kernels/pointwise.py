"""The same linear map at every pixel or token."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

BATCHES = 16  # torch sends 1x1 convolutions of at least so many images to oneDNN even with one thread


def pointwise(
    x: Float[Tensor, "*batch i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "*batch o"]:
    """x weight^T + bias on the last axis: the reference."""
    return F.linear(x, weight, bias)


def pointwise_onednn(
    x: Float[Tensor, "*batch i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "*batch o"]:
    """The same as a 1x1 convolution in channels-last memory: through oneDNN, 1.3 to 2 times as fast on some processors.

    The rows of x are dealt into 16 images; where their number does not allow that, the reference runs.
    """
    rows = x.numel() // x.shape[-1]
    if rows == 0 or rows % BATCHES:
        return pointwise(x, weight, bias)
    images = x.reshape(BATCHES, 1, rows // BATCHES, x.shape[-1]).permute(0, 3, 1, 2)
    y = F.conv2d(images, weight[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)
