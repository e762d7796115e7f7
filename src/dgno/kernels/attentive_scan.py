"""The attentive state-space module (ASSM) with its norm and its residual, at inference: the reference.

    x + ASSM(LN(x)): route every pixel to a class, gate its features, scan the pixels in the order of their classes, put
    them back (MambaIRv2, Guo et al. 2024, arXiv:2411.15269, section 3; as DGNO uses it)

`networks/attentive_scan.py` is the module with its parameters, the noise of training and the gradients, layer by layer.
The fast twin in C is `attentive_scan_c.py`; `backends.py` chooses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from dgno.kernels.depthwise import sigmoid_gate
from dgno.kernels.reorder import inverse_permutation
from dgno.kernels.selective_scan import selective_scan_chunked

CLASSES = 64  # prompts to choose from

Map = Float[Tensor, "b c h w"]


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


class ScanOrder(NamedTuple):
    """How the b h w pixels of a batch are arranged into sequences, as permutations of its rows."""

    sequences: int  # how many, all of the same length
    sorted: Tensor  # scan position -> pixel
    unsorted: Tensor  # pixel -> scan position
    raster: Tensor | None  # the same arrangement into sequences without the sort; None if that is the identity


def scan_order(classes: Int[Tensor, "b l"], height: int, width: int, block: int | None) -> ScanOrder:
    """Sequences of the aligned `block` x `block` squares (or of whole images), each sorted by class, in raster order
    inside a class."""
    b = classes.shape[0]
    images = torch.arange(b, device=classes.device)[:, None]
    if block is None:
        sequence, count = images, 1
    else:
        rows = torch.arange(height, device=classes.device) // block
        columns = torch.arange(width, device=classes.device) // block
        count = (height // block) * (width // block)
        sequence = images * count + (rows[:, None] * (width // block) + columns).flatten()
    order = torch.argsort((sequence * CLASSES + classes).flatten(), stable=True)
    raster = None if block is None else torch.argsort(sequence.flatten(), stable=True)
    return ScanOrder(b * count, order, inverse_permutation(order), raster)


def attentive_scan(x: Map, weights: AttentiveWeights, *, block: int | None, prompt_sorted: bool) -> Map:
    """The map with what the module adds to it.

    block : side in px of the squares inside which pixels are sorted and scanned, dividing the map; None: the whole map
    prompt_sorted : is the prompt put in scan order like the pixels? (The published weights were trained without.)
    """
    w, (b, _, height, width) = weights, x.shape
    normal = F.layer_norm(x.permute(0, 2, 3, 1), w.norm_weight.shape, w.norm_weight, w.norm_bias)
    hidden = F.gelu(F.linear(normal, w.route_hidden, w.route_hidden_bias))
    classes = F.linear(hidden, w.route_logits, w.route_logits_bias).argmax(-1).flatten(1)
    order = scan_order(classes, height, width, block)

    y = F.linear(normal, w.project_in, w.project_in_bias).permute(0, 3, 1, 2)
    y = sigmoid_gate(y, w.position, w.position_bias).permute(0, 2, 3, 1).flatten(0, 2)
    y = _scan(y[order.sorted], w, _prompts(classes.flatten(), order, w, prompt_sorted), order.sequences)
    y = F.layer_norm(y, w.out_norm_weight.shape, w.out_norm_weight, w.out_norm_bias)
    y = F.linear(y, w.project_out, w.project_out_bias)[order.unsorted]
    return x + y.reshape(b, height, width, -1).permute(0, 3, 1, 2)


def _prompts(
    classes: Int[Tensor, " pixels"], order: ScanOrder, w: AttentiveWeights, prompt_sorted: bool
) -> Float[Tensor, "pixels n"]:
    """The prompt of every scan position."""
    rows = w.prompts[classes]
    arrangement = order.sorted if prompt_sorted else order.raster
    return rows if arrangement is None else rows[arrangement]


def _scan(
    u: Float[Tensor, "pixels hidden"], w: AttentiveWeights, prompts: Float[Tensor, "pixels n"], sequences: int
) -> Float[Tensor, "pixels hidden"]:
    """The selective scan with the parameters that depend on its input."""
    states, rank = w.A_log.shape[1], w.dt_proj.shape[1]
    dt, B, C = F.linear(u, w.x_proj).split([rank, states, states], dim=-1)
    delta = F.softplus(F.linear(dt, w.dt_proj, w.dt_bias))
    u, delta, B, C = (t.unflatten(0, (sequences, -1)) for t in (u, delta, B, C + prompts))
    return selective_scan_chunked(u, delta, -torch.exp(w.A_log), B, C, w.D).flatten(0, 1)
