"""A dense 3x3 convolution with a border of zeros: the reference.

The fast twin in C with the same signature is `convolution_c.py`; `backends.py` chooses.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def convolution(
    x: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i 3 3"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "b o h w"]:
    """The map of the same size; as everywhere in networks, the kernels are not turned round."""
    return F.conv2d(x, weight, bias, padding=1)
