"""The gated feed-forward network with its norm and its residual: the reference for the version in one pass.

    x + W_out (GELU(a) * b),      a, b the halves of the depth-wise 3x3 convolution of W_in LN(x)

Restormer, Zamir et al. 2022, arXiv:2111.09881, Eq. 3. The fast twin in C is `feed_forward_c.py`; `fusing.py` chooses.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.depthwise import gelu_gate

Map = Float[Tensor, "b c h w"]


def feed_forward(
    x: Map,
    norm_weight: Float[Tensor, " c"],
    norm_bias: Float[Tensor, " c"],
    project_in: Float[Tensor, "hidden2 c"],
    depthwise: Float[Tensor, "hidden2 1 3 3"],
    project_out: Float[Tensor, "c hidden2//2"],
) -> Map:
    """The map with what the network adds to it.

    x : (b, c, h, w); the norm is over its channels, with biased variance and eps 1e-5 inside the root
    project_in, depthwise : to and over twice the hidden channels; project_out : back from them; no biases
    """
    normalised = F.layer_norm(x.permute(0, 2, 3, 1), norm_weight.shape, norm_weight, norm_bias)
    hidden = gelu_gate(F.linear(normalised, project_in).permute(0, 3, 1, 2), depthwise)
    return x + F.linear(hidden.permute(0, 2, 3, 1), project_out).permute(0, 3, 1, 2)
