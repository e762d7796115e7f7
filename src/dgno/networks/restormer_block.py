"""The block of Restormer (Zamir et al. 2022, arXiv:2111.09881): attention between channels, gated feed-forward.

The attention sums over all pixels of the map. With `block` it is computed inside aligned squares, so that influence is
local and a tile of an image gives what the image gives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from dgno.kernels.dg_operator import join, split
from dgno.networks.blocks import ChannelNorm, GatedFeedForward, Map
from dgno.operators.pointwise import Pointwise


class TransposedAttention(nn.Module):
    """Multi-Dconv head transposed attention, Eq. 1 and 2: V softmax(t K Q) over the channels of a head.

    Queries and keys have length 1 over the pixels; t is learnt per head (1/alpha in the paper). In the
    precision of t, whatever that of the products around it.
    heads : divides dim; block : side of the squares in px, dividing the map; None: the whole map
    """

    def __init__(self, dim: int, heads: int, *, block: int | None) -> None:
        super().__init__()
        self.heads, self.block = heads, block
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = Pointwise(dim, 3 * dim, bias=False)
        self.depthwise = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=False)
        self.project_out = Pointwise(dim, dim, bias=False)

    def forward(self, x: Map) -> Map:
        side = (self.block, self.block) if self.block else (x.shape[2], x.shape[3])
        qkv = self.depthwise(self.qkv(x)).to(self.temperature.dtype)
        with torch.autocast(x.device.type, enabled=False):
            q, k, v = (split(t, side, self.heads) for t in qkv.chunk(3, dim=1))
            q, k = (F.normalize(t.flatten(-3, -2), dim=-2) for t in (q, k))  # (b, rows, columns, heads, tokens, d)
            weights = (self.temperature * (q.mT @ k)).softmax(-1)  # (b, rows, columns, heads, d, d)
            y = (v.flatten(-3, -2) @ weights.mT).unflatten(-2, side)
        return self.project_out(join(y))


class RestormerBlock(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); parameters as in `TransposedAttention`."""

    def __init__(self, dim: int, heads: int, *, block: int | None) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(dim), ChannelNorm(dim)
        self.attention = TransposedAttention(dim, heads, block=block)
        self.feed_forward = GatedFeedForward(dim)

    def forward(self, x: Map) -> Map:
        x = x + self.attention(self.norm1(x))
        return self.feed_forward.added(x, self.norm2)
