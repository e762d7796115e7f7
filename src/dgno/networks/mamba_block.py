"""The block of the published lifting: an attentive scan and a gated feed-forward network."""

from __future__ import annotations

import torch
from torch import nn

from dgno.networks.attentive_scan import PROMPT_RANK, STATES, AttentiveScan
from dgno.networks.blocks import ChannelNorm, GatedFeedForward, Map


class MambaBlock(nn.Module):
    """One encoder module, residual twice: x + scan(norm(x)), then x + feed_forward(norm(x)).

    block : side in px of the squares inside which pixels are sorted and scanned; None: the whole map
    """

    def __init__(self, dim: int, *, block: int | None, prompt_sorted: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(dim), ChannelNorm(dim)
        self.scan = AttentiveScan(dim, block=block, prompt_sorted=prompt_sorted)
        self.prompt_basis = nn.Parameter(torch.empty(PROMPT_RANK, STATES).uniform_(-1 / STATES, 1 / STATES))
        self.feed_forward = GatedFeedForward(dim)

    def forward(self, x: Map) -> Map:
        x = self.scan.added(x, self.norm1, self.prompt_basis)
        return self.feed_forward.added(x, self.norm2)
