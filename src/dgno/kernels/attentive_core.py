"""The second half of the attentive scan: the reference, differentiable.

    x + P LN(scan(u)),   u the pixels of y in the order of their classes; results go back to the pixels

where scan is the selective scan (`selective_scan.py`) with B, C and delta = softplus(W dt + b) from (dt, B, C) = V u,
the prompts of the pixels added to C, and P the projection. What comes before, y, the classes and the prompts, is in
`attentive_lift.py`. The fast twin in C is `attentive_core_c.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from dgno.kernels.reorder import inverse_permutation
from dgno.kernels.selective_scan import selective_scan_chunked

CLASSES = 64  # prompts to choose from

Map = Float[Tensor, "b c h w"]


class CoreWeights(NamedTuple):
    """Parameters of the scan and of what follows; matrices are (outputs, inputs), n states, rank r, hidden = 2 c."""

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


def attentive_core(
    x: Map,
    y: Float[Tensor, "b hidden h w"],
    classes: Int[Tensor, "b l"],
    prompts: Float[Tensor, "b l n"],
    weights: CoreWeights,
    *,
    block: int | None,
    prompt_sorted: bool,
) -> Map:
    """x with what the scanned features y add to it.

    classes, prompts : of all pixels, l = h w, in raster order; classes from 0 to 63
    block : side in px of the squares inside which pixels are sorted and scanned, dividing the map; None: the whole map
    prompt_sorted : is the prompt put in scan order like the pixels? (The published weights were trained without.)
    """
    w, (b, _, height, width) = weights, x.shape
    order = scan_order(classes, height, width, block)
    arrangement = order.sorted if prompt_sorted else order.raster
    rows = prompts.flatten(0, 1)
    rows = rows if arrangement is None else rows[arrangement]

    y = _scan(y.permute(0, 2, 3, 1).flatten(0, 2)[order.sorted], w, rows, order.sequences)
    y = F.layer_norm(y, w.out_norm_weight.shape, w.out_norm_weight, w.out_norm_bias)
    y = F.linear(y, w.project_out, w.project_out_bias)[order.unsorted]
    return x + y.reshape(b, height, width, -1).permute(0, 3, 1, 2)


def _scan(
    u: Float[Tensor, "pixels hidden"], w: CoreWeights, prompts: Float[Tensor, "pixels n"], sequences: int
) -> Float[Tensor, "pixels hidden"]:
    """The selective scan with the parameters that depend on its input."""
    states, rank = w.A_log.shape[1], w.dt_proj.shape[1]
    dt, B, C = F.linear(u, w.x_proj).split([rank, states, states], dim=-1)
    delta = F.softplus(F.linear(dt, w.dt_proj, w.dt_bias))
    u, delta, B, C = (t.unflatten(0, (sequences, -1)) for t in (u, delta, B, C + prompts))
    return selective_scan_chunked(u, delta, -torch.exp(w.A_log), B, C, w.D).flatten(0, 1)
