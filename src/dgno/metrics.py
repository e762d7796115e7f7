"""How close a restored image comes to its reference. Tensors (..., h, w), range [0, data_range]."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "*batch h w"]


def psnr(image: Images, reference: Images, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range^2 / mean squared difference); infinite if equal."""
    error = (image.double() - reference.double()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)
