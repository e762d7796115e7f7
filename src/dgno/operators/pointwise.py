"""The pointwise linear operator W z: the same linear map at every pixel, and at every row."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from dgno.kernels import backends


class RowLinear(nn.Linear):
    """A linear layer over the last axis."""

    def forward(self, rows: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        return backends.pointwise(rows, self.weight, self.bias)


class Pointwise(nn.Linear):
    """A linear layer over the channels of each pixel, in other words a 1x1 convolution."""

    def forward(self, z: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        pixels = z.permute(0, 2, 3, 1)  # (b, h, w, i): no copy in channels-last memory
        return backends.pointwise(pixels, self.weight, self.bias).permute(0, 3, 1, 2)
