"""The block of NAFNet (Chen et al. 2022, arXiv:2204.04676): no activation function, products of channels instead.

Its channel attention takes the mean over the whole map, so a crop that it was trained on and a large image give it
other statistics. With `block` the mean is over aligned squares: alike in every image, and in every tile of one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dgno.networks.blocks import ChannelNorm, Map
from dgno.operators.pointwise import Pointwise


def simple_gate(x: Float[Tensor, "b c2 h w"]) -> Float[Tensor, "b c2//2 h w"]:
    """First half * second half of the channels (Eq. 4)."""
    first, second = x.chunk(2, dim=1)
    return first * second


class SimplifiedChannelAttention(nn.Module):
    """x * W mean(x), the mean over the map or over aligned squares of it (Eq. 6).

    block : side of the squares in px, dividing the map; None: the whole map
    """

    def __init__(self, dim: int, *, block: int | None) -> None:
        super().__init__()
        self.block, self.weigh = block, Pointwise(dim, dim)

    def forward(self, x: Map) -> Map:
        if self.block is None:
            return x * self.weigh(x.mean(dim=(2, 3), keepdim=True))
        weights = self.weigh(F.avg_pool2d(x, self.block))  # (b, c, rows, columns)
        squares = x.unflatten(3, (-1, self.block)).unflatten(2, (-1, self.block))  # (b, c, rows, p, columns, p)
        return (squares * weights[:, :, :, None, :, None]).flatten(4, 5).flatten(2, 3)


class NAFBlock(nn.Module):
    """Two residual steps, each scaled per channel by what is learnt, from 0 on (Fig. 3c).

    x + beta * W attention(gate(depthwise(W norm(x)))), then x + gamma * W gate(W norm(x)); W are 1x1 convolutions with
    bias, to 2 dim before a gate.
    block : as in `SimplifiedChannelAttention`
    """

    def __init__(self, dim: int, *, block: int | None) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(dim), ChannelNorm(dim)
        self.project_in = Pointwise(dim, 2 * dim)
        self.depthwise = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=2 * dim)
        self.attention = SimplifiedChannelAttention(dim, block=block)
        self.project_out = Pointwise(dim, dim)
        self.expand, self.contract = Pointwise(dim, 2 * dim), Pointwise(dim, dim)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(dim, 1, 1)) for _ in range(2))

    def forward(self, x: Map) -> Map:
        y = simple_gate(self.depthwise(self.project_in(self.norm1(x))))
        x = x + self.beta * self.project_out(self.attention(y))
        return x + self.gamma * self.contract(simple_gate(self.expand(self.norm2(x))))
