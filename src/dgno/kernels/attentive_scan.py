"""The attentive state-space module (ASSM) with its norm and its residual, at inference: the reference.

    x + ASSM(LN(x)): route every pixel to a class, gate its features, scan the pixels in the order of their classes, put
    them back (MambaIRv2, Guo et al. 2024, arXiv:2411.15269, section 3; as DGNO uses it)

`networks/attentive_scan.py` is the module with its parameters, the noise of training and the gradients, layer by layer.
The fast twin in C is `attentive_scan_c.py`; `backends.py` chooses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.attentive_core import CoreWeights, Map, attentive_core
from dgno.kernels.depthwise import sigmoid_gate


class AttentiveWeights(NamedTuple):
    """Parameters of one module; matrices are (outputs, inputs), n states, rank r, hidden = 2 c channels."""

    norm_weight: Float[Tensor, " c"]
    norm_bias: Float[Tensor, " c"]
    route_hidden: Float[Tensor, "c//3 c"]
    route_hidden_bias: Float[Tensor, " c//3"]
    route_logits: Float[Tensor, "classes c//3"]
    route_logits_bias: Float[Tensor, " classes"]
    prompts: Float[Tensor, "classes n"]
    project_in: Float[Tensor, "hidden c"]
    project_in_bias: Float[Tensor, " hidden"]
    position: Float[Tensor, "hidden 1 3 3"]
    position_bias: Float[Tensor, " hidden"]
    x_proj: Float[Tensor, "r+2*n hidden"]
    dt_proj: Float[Tensor, "hidden r"]
    dt_bias: Float[Tensor, " hidden"]
    A_log: Float[Tensor, "hidden n"]
    D: Float[Tensor, " hidden"]
    out_norm_weight: Float[Tensor, " hidden"]
    out_norm_bias: Float[Tensor, " hidden"]
    project_out: Float[Tensor, "c hidden"]
    project_out_bias: Float[Tensor, " c"]

    def core(self) -> CoreWeights:
        """Those of the second half."""
        return CoreWeights(*self[-len(CoreWeights._fields) :])


def attentive_scan(x: Map, weights: AttentiveWeights, *, block: int | None, prompt_sorted: bool) -> Map:
    """The map with what the module adds to it.

    block : side in px of the squares inside which pixels are sorted and scanned, dividing the map; None: the whole map
    prompt_sorted : is the prompt put in scan order like the pixels? (The published weights were trained without.)
    """
    w = weights
    normal = F.layer_norm(x.permute(0, 2, 3, 1), w.norm_weight.shape, w.norm_weight, w.norm_bias)
    hidden = F.gelu(F.linear(normal, w.route_hidden, w.route_hidden_bias))
    classes = F.linear(hidden, w.route_logits, w.route_logits_bias).argmax(-1).flatten(1)

    y = F.linear(normal, w.project_in, w.project_in_bias).permute(0, 3, 1, 2)
    y = sigmoid_gate(y, w.position, w.position_bias)
    return attentive_core(x, y, w.prompts[classes], classes, w.core(), block=block, prompt_sorted=prompt_sorted)
