"""Parts shared by the networks. Feature maps are (b, c, h, w) tensors in channels-last memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dgno.kernels import backends, fusing
from dgno.kernels.feed_forward_c import feed_forward_c
from dgno.kernels.transforms import is_transformed
from dgno.operators.pointwise import Pointwise

Map = Float[Tensor, "b c h w"]
DEPTHWISE = (nn.Conv2d,)  # what the gated convolutions compute in its place


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, with weight and bias; biased variance, eps 1e-5 inside the root."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Map) -> Map:
        pixels = x.permute(0, 2, 3, 1)  # (b, h, w, c): no copy in channels-last memory
        return F.layer_norm(pixels, self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


def gelu_gated(x: Float[Tensor, "b c2 h w"], convolution: nn.Module) -> Float[Tensor, "b c2//2 h w"]:
    """GELU(a) * b of the halves of the convolved map: in one call where the convolution is the plain one."""
    is_plain = fusing.is_plain(convolution, DEPTHWISE)
    if is_plain and isinstance(convolution, nn.Conv2d) and convolution.bias is None:
        return backends.gelu_gate(x, convolution.weight)
    first, second = convolution(x).chunk(2, dim=1)
    return F.gelu(first) * second


class GatedFeedForward(nn.Module):
    """Gated depth-wise feed-forward network (Restormer, Zamir et al. 2022): project(GELU(a) * b)."""

    def __init__(self, dim: int, expansion: float = 2.66) -> None:
        super().__init__()
        hidden = int(expansion * dim)
        self.project_in = Pointwise(dim, 2 * hidden, bias=False)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = Pointwise(hidden, dim, bias=False)

    def forward(self, x: Map) -> Map:
        return self.project_out(gelu_gated(self.project_in(x), self.depthwise))

    def added(self, x: Map, norm: ChannelNorm) -> Map:
        """x + forward(norm(x)), in one pass over the map where nothing asks for its layers."""
        z = fusing.fusible(x)
        choice = fusing.choose_feed_forward(z.device, z.dtype, z.shape[1])
        if fusing.wants_layers(choice, FEED_FORWARD, (self, norm), (z,)):
            return x + self(norm(x))
        weights = self.project_in.weight, self.depthwise.weight, self.project_out.weight
        return feed_forward_c(z, norm.weight, norm.bias, *weights, half=fusing.fuses_in_half(z.device))


FEED_FORWARD = fusing.Written(frozenset({GatedFeedForward, ChannelNorm, Pointwise, nn.Conv2d}), parameters=5)


class Convolution(nn.Conv2d):
    """A dense 3x3 convolution of a feature map, or of two as if they were one, with a border of zeros."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(
        self, x: Float[Tensor, "b inputs h w"], second: Float[Tensor, "b more h w"] | None = None
    ) -> Float[Tensor, "b outputs h w"]:
        return backends.convolution(x, self.weight, self.bias, second)


class Downsample(nn.Sequential):
    """(b, c, h, w) -> (b, 2c, h/2, w/2): 3x3 convolution to c/2, then 2x2 pixels become channels."""

    def __init__(self, dim: int) -> None:
        super().__init__(Convolution(dim, dim // 2, bias=False), nn.PixelUnshuffle(2))

    def forward(self, x: Map) -> Float[Tensor, "b 2*c h//2 w//2"]:
        """Both in one call, where nothing asks for the map in between."""
        convolution = self[0]
        kinds = ((Convolution,), (nn.PixelUnshuffle,))
        if len(self) != len(kinds) or not all(map(fusing.is_plain, self, kinds)) or x.ndim != 4:
            return super().forward(x)
        assert isinstance(convolution, Convolution)
        return backends.convolution(x, convolution.weight, convolution.bias, unshuffled=True)


class Upsample(nn.Sequential):
    """(b, c, h, w) -> (b, c/2, 2h, 2w): 3x3 convolution to 2c, then channels become 2x2 pixels."""

    def __init__(self, dim: int) -> None:
        super().__init__(Convolution(dim, 2 * dim, bias=False), nn.PixelShuffle(2))


def pad_to_multiple(x: Map, multiple: int) -> Float[Tensor, "b c padded_h padded_w"]:
    """Extend `x` at the bottom and the right to a multiple of `multiple` pixels: by reflection, by the last pixel where
    the plane is too small to reflect."""
    h, w = x.shape[2:]
    below, right = -h % multiple, -w % multiple
    x = F.pad(x, (0, 0, 0, below), mode="reflect" if below < h else "replicate")
    return F.pad(x, (0, right, 0, 0), mode="reflect" if right < w else "replicate")


def channels_last(x: Map) -> Map:
    """The same map with the channels of a pixel side by side in memory; inside torch.func, whose vmap knows no such
    order, as it is."""
    return x if is_transformed(x) else x.contiguous(memory_format=torch.channels_last)


def every_other_pixel(x: Map) -> Float[Tensor, "b c (h+1)//2 (w+1)//2"]:
    """Nearest down-sampling by 2: every second pixel, from the first."""
    return x[:, :, ::2, ::2]
