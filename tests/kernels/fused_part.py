"""A network of all parts that run fused, and the names of its layers."""

from __future__ import annotations

from torch import Tensor, nn

from dgno.networks import NETWORKS
from dgno.networks.mamba_block import MambaBlock
from dgno.networks.presets import make_operator

LAYERS = [
    *("block.scan.routing.hidden", "block.scan.routing.logits", "block.scan.project_in", "block.scan.position"),
    *("block.scan.scan.x_proj", "block.scan.scan.dt_proj", "block.scan.project_out"),
    *("block.feed_forward.project_in", "block.feed_forward.depthwise", "block.feed_forward.project_out"),
    *("layer.qkv", "layer.mlp.0", "layer.mlp.2"),
]


class Part(nn.Module):
    """All fused parts one after the other: attentive scan, feed-forward network, operator layer."""

    def __init__(self, dim: int = 16, preset: str = "nano-face") -> None:
        super().__init__()
        self.block = MambaBlock(dim, block=None, prompt_sorted=True)
        self.layer = make_operator(NETWORKS[preset], dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.block(x))
