"""The lifting: from an image to features at four scales (DGNO paper, section 3).

Scale s has 2^s times the width and 1/2^s of the resolution. At half and quarter resolution, shallow features of the
down-sampled image itself are merged in. The blocks of the scales make the kind (Table 6): `MambaBlock` as published,
`NAFBlock` or `RestormerBlock`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgno.kernels import backends
from dgno.networks.blocks import Convolution, Downsample, Map, channels_last, every_other_pixel
from dgno.operators.pointwise import Pointwise

Scales = tuple[
    Map,
    Float[Tensor, "b 2*c h//2 w//2"],
    Float[Tensor, "b 4*c h//4 w//4"],
    Float[Tensor, "b 8*c h//8 w//8"],
]
Norm = Callable[[int], nn.Module]


class ImageConvolution(nn.Conv2d):
    """A 3x3 convolution of an image.

    The compiled one rounds alike in images of all sizes; without it, torch's in plain layout does nearly always. In
    channels-last torch does not, and near-ties of the routing after it would fall differently in a tile than in the
    whole. It stays in float32 under mixed precision on a CPU, where so few channels take several times as long in
    bfloat16.
    """

    def __init__(self, channels: int, dim: int, *, bias: bool) -> None:
        super().__init__(channels, dim, 3, padding=1, bias=bias)

    def forward(self, x: Float[Tensor, "b channels h w"]) -> Map:
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return channels_last(backends.convolution(x.contiguous().float(), self.weight, self.bias))
        return channels_last(backends.convolution(x.contiguous(), self.weight, self.bias))


class ShallowFeatures(nn.Sequential):
    """Features of a down-sampled image (the SCM of MIMO-UNet, Cho et al. 2021): four convolutions and a norm."""

    def __init__(self, channels: int, dim: int, *, activation: Callable[[], nn.Module], norm: Norm) -> None:
        super().__init__(
            ImageConvolution(channels, dim // 4, bias=True),
            activation(),
            Pointwise(dim // 4, dim // 2),
            activation(),
            Convolution(dim // 2, dim // 2),
            activation(),
            Pointwise(dim // 2, dim),
            norm(dim),
        )


class FeatureMerge(nn.Module):
    """Deep and shallow features of one scale merged (the FAM of MIMO-UNet): concatenation and a 3x3 convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.merge = Convolution(2 * dim, dim)

    def forward(self, deep: Map, shallow: Map) -> Map:
        return self.merge(deep, shallow)


class InstanceNorm(nn.InstanceNorm2d):
    """Statistics of the image itself, also at inference; channels-last memory and type of number stay as they are."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, affine=True)

    def forward(self, x: Map) -> Map:
        z = x.float()
        centred = z - z.mean((2, 3), keepdim=True)
        variance = centred.square().mean((2, 3), keepdim=True)
        scale = self.weight[:, None, None] * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None, None], centred, scale).to(x.dtype)


class Lifting(nn.Module):
    """The encoder: image -> features of width c at H, 2c at H/2, 4c at H/4 and 8c at H/8.

    make_block : makes one block of scale 0, 1, 2 or 3; blocks : how many at each
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        make_block: Callable[[int], nn.Module],
        blocks: tuple[int, int, int, int],
        activation: Callable[[], nn.Module] = nn.GELU,
        norm: Norm = InstanceNorm,
    ) -> None:
        super().__init__()

        def level(scale: int) -> nn.Sequential:
            return nn.Sequential(*(make_block(scale) for _ in range(blocks[scale])))

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
