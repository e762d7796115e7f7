"""The lifting: from an image to features at four scales (DGNO paper, section 3; Mamba-type encoder).

Scale s has 2^s times the width and 1/2^s of the resolution. At half and quarter resolution, shallow features of the
down-sampled image itself are merged in.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgno.networks.attentive_scan import PROMPT_RANK, STATES, AttentiveScan
from dgno.networks.blocks import (
    ChannelNorm,
    Downsample,
    GatedFeedForward,
    Map,
    channels_last,
    every_other_pixel,
)
from dgno.operators.pointwise import Pointwise

Scales = tuple[
    Map,
    Float[Tensor, "b 2*c h//2 w//2"],
    Float[Tensor, "b 4*c h//4 w//4"],
    Float[Tensor, "b 8*c h//8 w//8"],
]
Norm = Callable[[int], nn.Module]


class EncoderBlock(nn.Module):
    """One encoder module, residual twice: x + scan(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, dim: int, *, block: int | None, prompt_sorted: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(dim), ChannelNorm(dim)
        self.scan = AttentiveScan(dim, block=block, prompt_sorted=prompt_sorted)
        self.prompt_basis = nn.Parameter(torch.empty(PROMPT_RANK, STATES).uniform_(-1 / STATES, 1 / STATES))
        self.feed_forward = GatedFeedForward(dim)

    def forward(self, x: Map) -> Map:
        x = x + self.scan(self.norm1(x), self.prompt_basis)
        return x + self.feed_forward(self.norm2(x))


class ImageConvolution(nn.Conv2d):
    """A 3x3 convolution of an image, computed in plain layout.

    There its rounding is the same in images of all sizes; channels-last it is not, and near-ties of the routing after
    it would fall differently in a tile than in the whole. The published numbers were made in plain layout too.
    """

    def __init__(self, channels: int, dim: int, *, bias: bool) -> None:
        super().__init__(channels, dim, 3, padding=1, bias=bias)

    def forward(self, x: Float[Tensor, "b channels h w"]) -> Map:
        return channels_last(super().forward(x.contiguous()))


class ShallowFeatures(nn.Sequential):
    """Features of a down-sampled image (the SCM of MIMO-UNet, Cho et al. 2021): four convolutions and a norm."""

    def __init__(self, channels: int, dim: int, *, activation: Callable[[], nn.Module], norm: Norm) -> None:
        super().__init__(
            ImageConvolution(channels, dim // 4, bias=True),
            activation(),
            Pointwise(dim // 4, dim // 2),
            activation(),
            nn.Conv2d(dim // 2, dim // 2, 3, padding=1),
            activation(),
            Pointwise(dim // 2, dim),
            norm(dim),
        )


class FeatureMerge(nn.Module):
    """Deep and shallow features of one scale merged (the FAM of MIMO-UNet): concatenation and a 3x3 convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.merge = nn.Conv2d(2 * dim, dim, 3, padding=1)

    def forward(self, deep: Map, shallow: Map) -> Map:
        return self.merge(torch.cat([deep, shallow], 1))


def instance_norm(dim: int) -> nn.Module:
    """Statistics of the image itself, also at inference."""
    return nn.InstanceNorm2d(dim, affine=True)


class MambaLifting(nn.Module):
    """The encoder: image -> features of width c at H, 2c at H/2, 4c at H/4 and 8c at H/8.

    blocks : encoder modules at each scale
    scan_block : side in full-scale pixels of the squares inside which pixels are sorted and scanned; None: whole image
    """

    def __init__(
        self,
        channels: int,
        width: int,
        blocks: tuple[int, int, int, int],
        *,
        scan_block: int | None,
        prompt_sorted: bool,
        activation: Callable[[], nn.Module] = nn.GELU,
        norm: Norm = instance_norm,
    ) -> None:
        super().__init__()

        def level(scale: int) -> nn.Sequential:
            block = scan_block and scan_block // 2**scale
            dim = width * 2**scale
            parts = (EncoderBlock(dim, block=block, prompt_sorted=prompt_sorted) for _ in range(blocks[scale]))
            return nn.Sequential(*parts)

        self.embed = ImageConvolution(channels, width, bias=False)
        self.level1, self.level2, self.level3, self.latent = (level(scale) for scale in range(4))
        self.down1, self.down2, self.down3 = (Downsample(width * 2**scale) for scale in range(3))
        self.shallow2 = ShallowFeatures(channels, 2 * width, activation=activation, norm=norm)
        self.shallow3 = ShallowFeatures(channels, 4 * width, activation=activation, norm=norm)
        self.merge2, self.merge3 = FeatureMerge(2 * width), FeatureMerge(4 * width)

    def forward(self, x: Float[Tensor, "b channels h w"]) -> Scales:
        x2 = every_other_pixel(x)
        x4 = every_other_pixel(x2)
        e1 = self.level1(self.embed(x))
        e2 = self.level2(self.merge2(self.down1(e1), self.shallow2(x2)))
        e3 = self.level3(self.merge3(self.down2(e2), self.shallow3(x4)))
        return e1, e2, e3, self.latent(self.down3(e3))
