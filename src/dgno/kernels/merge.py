"""Coarser features at twice the resolution, merged with finer ones: the reference for the version in one pass.

    W [shuffle(coarse), fine]        shuffle: 4 channels of a pixel become one channel of 2x2 pixels

Neither the larger map nor the two side by side need to be stored. The fast twin in C is `merge_c.py`; `fusing.py`
chooses.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def merge(
    coarse: Float[Tensor, "b c4 h w"], fine: Float[Tensor, "b c h2 w2"], weight: Float[Tensor, "c c2"]
) -> Float[Tensor, "b c h2 w2"]:
    """The merged map, of the shape of `fine`.

    coarse : 4 times the channels of `fine`, at half its resolution; ordered as by torch's PixelShuffle
    """
    both = torch.cat([F.pixel_shuffle(coarse, 2), fine], 1)
    return F.linear(both.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)
