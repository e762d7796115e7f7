"""A network asked in all orientations: the mean of its answers to the eight flips and quarter turns of an image.

What a network makes of an image depends a little on how it lies: scans walk it row by row. The mean over the group does
not, and errs less, as errors of single answers differ (the self-ensemble of Lim et al. 2017, arXiv:1707.02921, section
3.3).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgno.networks.blocks import pad_to_multiple

Images = Float[Tensor, "b c h w"]
ORIENTATIONS = tuple((turns, is_mirrored) for is_mirrored in (False, True) for turns in range(4))


def turned(x: Images, turns: int, is_mirrored: bool) -> Float[Tensor, "b c h2 w2"]:
    """The image after quarter turns, then mirrored left to right."""
    y = torch.rot90(x, turns, (2, 3))
    return y.flip(3) if is_mirrored else y


def turned_back(y: Images, turns: int, is_mirrored: bool) -> Float[Tensor, "b c h2 w2"]:
    """The inverse of `turned`."""
    return torch.rot90(y.flip(3) if is_mirrored else y, -turns, (2, 3))


class AllOrientations(nn.Module):
    """Restores as `network` does, in 8 times the time; a flipped or turned image gives the flipped or turned result.

    That holds to rounding, where the sides are multiples of `multiple`. Others are extended to it at the bottom and the
    right before they are turned, so that blocks of a tile lie as those of the whole do in every orientation.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.channels, self.multiple = network.channels, network.multiple
        self.is_local, self.halo = network.is_local, network.halo

    @property
    def bytes_per_pixel(self) -> int:
        """Of memory, above the network at rest: the network's own, and the image in four more copies."""
        return int(self.network.bytes_per_pixel) + 16 * int(self.channels)  # type: ignore[arg-type]

    def forward(self, x: Images) -> Images:
        """The restored images, of the size of `x`."""
        padded = pad_to_multiple(x, int(self.multiple))  # type: ignore[arg-type]
        total = torch.zeros_like(padded)
        for how in ORIENTATIONS:
            total += turned_back(self.network(turned(padded, *how)), *how)
        return (total / len(ORIENTATIONS))[:, :, : x.shape[2], : x.shape[3]]
