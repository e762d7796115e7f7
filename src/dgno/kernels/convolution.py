"""A dense 3x3 convolution with a border of zeros: the reference.

The fast twin in C with the same signature is `convolution_c.py`; `backends.py` chooses.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def convolution(
    x: Float[Tensor, "b i h w"],
    weight: Float[Tensor, "o i_and_j 3 3"],
    bias: Float[Tensor, " o"] | None = None,
    second: Float[Tensor, "b j h w"] | None = None,
    *,
    unshuffled: bool = False,
) -> Float[Tensor, "b o h w"] | Float[Tensor, "b 4*o h//2 w//2"]:
    """The map of the same size; as everywhere in networks, the kernels are not turned round.

    second : a map whose channels follow those of x, as if both were one
    unshuffled : the 2x2 pixels of sides that are even become channels
    """
    if second is not None:
        if torch.is_autocast_enabled(x.device.type):  # rounded first, half as many bytes are joined
            x, second = (z.to(torch.get_autocast_dtype(x.device.type)) for z in (x, second))
        x = torch.cat([x, second], 1)
    result = F.conv2d(x, weight, bias, padding=1)
    return F.pixel_unshuffle(result, 2) if unshuffled else result
