"""The attentive scan in C, in two passes over the map; the fast twin of `attentive_scan.py`, same signature.

The library is built from `attentive_scan.c` when the package is installed (an optional extension) and is called through
ctypes. It computes in float32 on channels-last maps and has no gradient; `attentive_lift_c.py` has one for the lift.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from dgno.kernels.attentive_core import CLASSES, CoreWeights, Map
from dgno.kernels.attentive_lift import LiftWeights
from dgno.kernels.attentive_scan import AttentiveWeights
from dgno.kernels.compiled import (
    Arguments,
    CompiledKernel,
    channels_last,
    check_no_gradient,
    check_plain,
    check_shapes,
    fields,
)
from dgno.kernels.packing import pad_outputs
from dgno.kernels.packing_c import pack_c
from dgno.kernels.products import parts_of
from dgno.kernels.tiles import strip_height, tile_width

STATES = 8  # that the library is compiled for


class _Lift(Arguments):
    """`struct lift` of attentive_scan.c, field by field."""

    _fields_ = fields(
        ("batch", "height", "width", "channels", "routing", "tile", "strip", "parts"),
        (
            *("x", "norm_weight", "norm_bias", "route_hidden", "route_hidden_bias", "route_logits"),
            *("route_logits_bias", "project_in", "project_in_bias", "position", "position_bias", "y", "classes"),
            "uniform",
        ),
    )


class Core(Arguments):
    """`struct core` of attentive_scan.c, field by field."""

    _fields_ = fields(
        (
            *(
                "batch",
                "height",
                "width",
                "channels",
                "rank",
                "block_height",
                "block_width",
                "prompt_sorted",
                "parts",
            ),
            "prompts_of_pixels",
        ),
        (
            *("x", "y", "classes", "prompts", "x_proj", "dt_proj", "dt_bias", "A", "D", "norm_weight", "norm_bias"),
            *("project_out", "project_out_bias", "order", "out", "starts", "normal", "scales", "parameters"),
        ),
    )

    def size(self, x: Tensor, rank: int, block: int | None) -> None:
        """The lengths for a map (b, c, h, w) and the blocks of it that are scanned."""
        self.batch, self.channels, self.height, self.width = x.shape
        self.block_height, self.block_width = (block, block) if block else x.shape[2:]
        self.rank = rank


@functools.cache
def load() -> CompiledKernel:
    """The compiled scan; an OSError says why there is none."""
    return CompiledKernel("attentive_scan", "the attentive scan")


def attentive_scan_c(
    x: Map, weights: AttentiveWeights, *, block: int | None, prompt_sorted: bool, half: bool = False
) -> Map:
    """`attentive_scan` of attentive_scan.py, compiled; float32 on the CPU, without gradient, 8 states.

    half : round the factors of the first and the last linear map and the features that are scanned to bfloat16, where
        the processor can; the routing, the scan and its parameters stay in float32
    """
    _check(x, weights, block)
    parts = parts_of(load(), *weights.lift.project_in.shape, half=half)
    x = channels_last(x)
    if not x.numel():
        return x
    y, classes = lift(x, weights.lift, parts)
    prompts = weights.lift.prompts
    return _core(x, y, classes, prompts, weights.core, block=block, prompt_sorted=prompt_sorted, parts=parts)


def lift(
    x: Tensor,
    weights: LiftWeights,
    parts: int = 0,
    *,
    uniform: Tensor | None = None,
    tile: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Gated features (b, h, w, 2 c) and classes (b, h, w) of all pixels; x channels-last, nothing is checked.

    parts : of the linear map to the features, see `packing.pack`; of one, the features are bfloat16
    uniform : random numbers (b, h w, classes) for the noise of training, which become the soft-max of the noisy logits
    tile : columns of a task; None: the usual
    """
    (b, c, h, w), lanes = x.shape, load().lanes()
    dtype = torch.bfloat16 if parts == 1 else torch.float32
    y, classes = x.new_empty(b, h, w, 2 * c, dtype=dtype), x.new_empty(b, h, w, dtype=torch.uint8)
    held = {
        "norm_weight": weights.norm_weight.detach().contiguous(),
        "norm_bias": weights.norm_bias.detach().contiguous(),
        "route_hidden": pack_c(load(), weights.route_hidden),
        "route_hidden_bias": _padded(weights.route_hidden_bias, lanes),
        "route_logits": pack_c(load(), weights.route_logits),
        "route_logits_bias": weights.route_logits_bias.detach().contiguous(),
        "project_in": pack_c(load(), weights.project_in, parts),
        "project_in_bias": _padded(weights.project_in_bias, lanes),
        "position": weights.position.detach().flatten(1).T.contiguous(),
        "position_bias": weights.position_bias.detach().contiguous(),
    }
    tile = tile or tile_width(w)
    arguments = _Lift(batch=b, height=h, width=w, channels=c, routing=weights.route_hidden.shape[0], tile=tile)
    arguments.parts = parts
    arguments.strip = strip_height(h, b * -(-w // tile))
    arguments.point(x=x, y=y, classes=classes, uniform=uniform, **held)
    load().run("attentive_lift", arguments)
    return y, classes


def _core(
    x: Tensor,
    y: Tensor,
    classes: Tensor,
    prompts: Tensor,
    weights: CoreWeights,
    *,
    block: int | None,
    prompt_sorted: bool,
    parts: int,
) -> Tensor:
    """x with what the scanned features y (b, h, w, 2 c) add to it; `prompts` has one row for each class."""
    out, order = torch.empty_like(x), x.new_empty(classes.numel(), dtype=torch.int32)
    held = {"prompts": prompts.detach().contiguous(), **packed_core(weights, parts)}
    arguments = Core(prompt_sorted=prompt_sorted, parts=parts)
    arguments.size(x, weights.dt_proj.shape[1], block)
    arguments.point(x=x, y=y, classes=classes, order=order, out=out, **held)
    load().run("attentive_core", arguments)
    return out


def packed_core(weights: CoreWeights, parts: int = 0) -> dict[str, Tensor]:
    """The weights of the core as C takes them."""
    lanes = load().lanes()
    return {
        "x_proj": pack_c(load(), weights.x_proj),
        "dt_proj": pack_c(load(), weights.dt_proj),
        "dt_bias": _padded(weights.dt_bias, lanes),
        "A": pad_outputs(-torch.exp(weights.A_log.detach()), lanes).T.contiguous(),
        "D": _padded(weights.D, lanes),
        "norm_weight": weights.out_norm_weight.detach().contiguous(),
        "norm_bias": weights.out_norm_bias.detach().contiguous(),
        "project_out": pack_c(load(), weights.project_out, parts),
        "project_out_bias": _padded(weights.project_out_bias, lanes),
    }


def _padded(vector: Tensor, lanes: int) -> Tensor:
    return pad_outputs(vector.detach(), lanes).contiguous()


def _check(x: Tensor, weights: AttentiveWeights, block: int | None) -> None:
    """Refuse what the C code would misread."""
    (_, c, h, w), lanes = x.shape, load().lanes()
    check_plain(x=x, **weights.lift._asdict(), **weights.core._asdict())
    check_no_gradient(x, *weights.lift, *weights.core)
    check_lift_weights(weights.lift, c)
    check_core_weights(weights.core, c)
    if c < lanes:
        raise ValueError(f"the compiled module needs {lanes} channels, got {c}")
    check_block(block, h, w)


def check_block(block: int | None, h: int, w: int) -> None:
    """Refuse blocks into which a map of h x w px cannot be cut; None is the whole map."""
    if block is not None and (block < 1 or h % block or w % block):
        raise ValueError(f"blocks of {block} px do not fit a map of {h} x {w} px")


def check_lift_weights(weights: LiftWeights, c: int) -> None:
    """Refuse parameters that do not fit a map of c channels."""
    routing = weights.route_hidden.shape[0]
    wanted: tuple[tuple[int, ...], ...] = (
        *((c,), (c,), (routing, c), (routing,), (CLASSES, routing), (CLASSES,), (CLASSES, STATES)),
        *((2 * c, c), (2 * c,), (2 * c, 1, 3, 3), (2 * c,)),
    )
    check_shapes(weights._asdict(), wanted, f"{c} channels")


def check_core_weights(weights: CoreWeights, c: int) -> None:
    """Refuse parameters that do not fit a map of c channels."""
    rank = weights.dt_proj.shape[1]
    wanted: tuple[tuple[int, ...], ...] = (
        *((rank + 2 * STATES, 2 * c), (2 * c, rank), (2 * c,), (2 * c, STATES), (2 * c,)),
        *((2 * c,), (2 * c,), (c, 2 * c), (c,)),
    )
    check_shapes(weights._asdict(), wanted, f"{c} channels")
