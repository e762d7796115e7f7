"""The whole operator layer at inference, around the sum of the fluxes: the reference for fused versions.

    K = kernel integrals of (k, v) = W_kv z,      then      mlp(q K + z) + z   with   q = W_q z

DGNO paper, Eq. 11-16. `operators/dg.py` is the layer with its parameters and gradients. The fast twin in C is
`dg_layer_c.py`; `fusing.py` chooses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dgno.kernels import dg_operator
from dgno.kernels.dg_operator import Map, Operators, Sides


class LayerWeights(NamedTuple):
    """Parameters of one layer; matrices are (outputs, inputs)."""

    qkv: Float[Tensor, "3*c c"]
    qkv_bias: Float[Tensor, " 3*c"]
    key_norm: Float[Tensor, "2 heads d"]
    value_norm: Float[Tensor, "2 heads d"]
    mlp_in: Float[Tensor, "c c"]
    mlp_in_bias: Float[Tensor, " c"]
    mlp_out: Float[Tensor, "c c"]
    mlp_out_bias: Float[Tensor, " c"]


def integrate_layer(z: Map, weights: LayerWeights, side: int, sides: bool) -> tuple[Operators, Sides | None]:
    """`dg_operator.integrate` of the keys and values of z; elements of `side` x `side` pixels."""
    kv = _linear(z, weights.qkv[z.shape[1] :], weights.qkv_bias[z.shape[1] :])
    return dg_operator.integrate(kv, weights.key_norm, weights.value_norm, (side, side), sides)


def apply_layer(z: Map, operators: Operators, weights: LayerWeights) -> Map:
    """mlp(q K + z) + z, K the operator of a token's element and head."""
    q = _linear(z, weights.qkv[: z.shape[1]], weights.qkv_bias[: z.shape[1]])
    hidden = F.gelu(_linear(dg_operator.apply(q, operators) + z, weights.mlp_in, weights.mlp_in_bias))
    return _linear(hidden, weights.mlp_out, weights.mlp_out_bias) + z


def _linear(z: Map, weight: Float[Tensor, "o c"], bias: Float[Tensor, " o"]) -> Float[Tensor, "b o h w"]:
    return F.linear(z.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)
