"""The first half of the attentive state-space module (ASSM), with gradients: the reference.

    n = LN(x);  logits = W2 GELU(W1 n + b1) + b2;  soft = softmax(logits - log(-log U));  class = argmax(soft)
    p = W n + b;  y = p * sigmoid(depth-wise 3x3 convolution of p + bias)

(MambaIRv2, Guo et al. 2024, arXiv:2411.15269, section 3.) Every pixel takes the prompt of its class; the gradient at
that row goes to `soft` as if the prompts had been averaged with it (straight-through, Bengio et al. 2013,
arXiv:1308.3432). Without noise the class is the best logit's, and the routing gets no gradient.

The fast twin in C is `attentive_lift_c.py`; `fusing.py` chooses. The second half is in `attentive_core.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from dgno.kernels.attentive_core import Map
from dgno.kernels.depthwise import sigmoid_gate
from dgno.kernels.transforms import is_transformed


class LiftWeights(NamedTuple):
    """Parameters of norm, routing and gate; matrices are (outputs, inputs), n states, hidden = 2 c."""

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


class StraightThrough(torch.autograd.Function):
    """The rows of `prompts` that were chosen; the gradient goes to `soft` as if they had been averaged with it."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor, classes: Tensor, prompts: Tensor) -> Tensor:
        ctx.save_for_backward(classes, prompts)
        return F.embedding(classes, prompts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
        classes, prompts = ctx.saved_tensors
        chosen = torch.zeros_like(prompts).index_add(0, classes.flatten(), gradient.flatten(0, 1))
        return gradient @ prompts.detach().mT, None, chosen


def chosen_rows(
    soft: Float[Tensor, "b l classes"], classes: Int[Tensor, "b l"], prompts: Float[Tensor, "classes n"]
) -> Float[Tensor, "b l n"]:
    """The row of `prompts` of every pixel's class, with the gradient of `StraightThrough` in every mode of torch's."""
    if not is_transformed(soft, prompts):
        return StraightThrough.apply(soft, classes, prompts)
    return F.embedding(classes, prompts) + (soft - soft.detach()) @ prompts.detach()  # adds zeros


def attentive_lift(
    x: Map, weights: LiftWeights, uniform: Float[Tensor, "b l classes"] | None
) -> tuple[Float[Tensor, "b hidden h w"], Int[Tensor, "b l"], Float[Tensor, "b l n"]]:
    """Gated features, class and prompt of every pixel; l = h w pixels in raster order.

    uniform : numbers in [0, 1) for the Gumbel noise; None: without noise. Scratch memory: what stands in it afterwards
        is not to be relied on
    """
    w = weights
    normal = F.layer_norm(x.permute(0, 2, 3, 1), w.norm_weight.shape, w.norm_weight, w.norm_bias)
    hidden = F.gelu(F.linear(normal, w.route_hidden, w.route_hidden_bias))
    logits = F.linear(hidden, w.route_logits, w.route_logits_bias).flatten(1, 2)
    if uniform is None:
        classes = logits.argmax(-1)
        rows = F.embedding(classes, w.prompts)
    else:
        soft = (logits - torch.log(-torch.log(uniform))).softmax(-1)
        classes = soft.argmax(-1)
        rows = StraightThrough.apply(soft, classes, w.prompts)
    p = F.linear(normal, w.project_in, w.project_in_bias).permute(0, 3, 1, 2)
    return sigmoid_gate(p, w.position, w.position_bias), classes, rows
