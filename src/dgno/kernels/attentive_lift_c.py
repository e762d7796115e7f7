"""The first half of the attentive scan in C behind an autograd function; the fast twin of `attentive_lift.py`, same
signature.

Forward it is the lift of `attentive_scan.c`, back it is `attentive_lift_gradient.c`, libraries that are built when the
package is installed (optional extensions) and called through ctypes. They compute in float32 on channels-last maps and
give no gradient of a gradient. The map, the classes and the soft-max are kept for the gradient, nothing else that grows
with the map; the soft-max stands where the random numbers were.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from dgno.kernels import attentive_scan_c
from dgno.kernels.attentive_core import CLASSES, Map
from dgno.kernels.attentive_lift import LiftWeights
from dgno.kernels.compiled import Arguments, CompiledKernel, channels_last, check_plain, fields
from dgno.kernels.packing import pad_outputs
from dgno.kernels.packing_c import pack_c
from dgno.kernels.second_derivatives import once_differentiable
from dgno.kernels.tiles import widest_tile

STRIP = 16  # rows of a tile at least: lower ones repeat too much above and below
WIDEST = 128  # channels: beyond, the products that are computed again cost what the maps that are not written save
TILES = 16  # at least, for the threads, if strips are not lower for it; never as many as there are threads
FEWEST_TASKS = 8  # where sums of the gradients at the weights outweigh the map


class _Gradient(Arguments):
    """`struct lift_gradient` of attentive_lift_gradient.c, field by field."""

    _fields_ = fields(
        ("batch", "height", "width", "channels", "routing", "tile", "strip", "tasks", "apart"),
        (
            *("x", "norm_weight", "norm_bias", "forth", "forth_bias", "back", "logits_back", "prompts", "position"),
            *("position_bias", "classes", "soft", "gy", "grows", "gx", "gnorm_weight", "gnorm_bias", "gweight"),
            *("gbias", "glogits", "glogits_bias", "gprompts", "gposition", "gposition_bias"),
        ),
    )


@functools.cache
def load() -> CompiledKernel:
    """The compiled gradient; an OSError says why there is none."""
    return CompiledKernel("attentive_lift_gradient", "the gradient of the attentive scan's first half")


def attentive_lift_c(
    x: Map, weights: LiftWeights, uniform: Float[Tensor, "b l classes"] | None
) -> tuple[Float[Tensor, "b hidden h w"], Int[Tensor, "b l"], Float[Tensor, "b l n"]]:
    """`attentive_lift` of attentive_lift.py, compiled; float32 on the CPU, 8 states, channels as many as
    `load().lanes()`. Overwrites `uniform`, which is kept for the gradient."""
    _check(x, weights, uniform)
    if not x.numel():
        return _nothing(x, weights.prompts)
    y, classes, rows = _AttentiveLift.apply(x, uniform, *weights)
    return y, classes, rows


def _nothing(x: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The results for a map without pixels. They lead back to it and to the prompts; other weights have no part."""
    classes = x.new_empty(x.shape[0], x.shape[2] * x.shape[3], dtype=torch.int64)
    return torch.cat([x, x], 1), classes, F.embedding(classes, prompts)


class _AttentiveLift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, uniform: Tensor | None, *parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights, tile = LiftWeights(*parameters), _tile(x.shape[3], x.shape[1])
        y, classes = attentive_scan_c.lift(channels_last(x), weights, uniform=uniform, tile=tile)
        ctx.save_for_backward(x, classes, uniform, *parameters)
        numbers = classes.flatten(1).long()
        ctx.mark_non_differentiable(numbers)
        return y.permute(0, 3, 1, 2), numbers, F.embedding(numbers, weights.prompts.detach())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor, _: Tensor, grows: Tensor) -> tuple[Tensor | None, ...]:
        x, classes, soft, *parameters = ctx.saved_tensors
        x, gy, wanted = channels_last(x), channels_last(gy), ctx.needs_input_grad
        gradients = _gradients(x, LiftWeights(*parameters), classes, soft, gy, grows.contiguous())
        return tuple(g if is_wanted else None for g, is_wanted in zip(gradients, wanted, strict=True))


def _gradients(
    x: Tensor, weights: LiftWeights, classes: Tensor, soft: Tensor | None, gy: Tensor, grows: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients at the map, at the random numbers (none) and at every weight."""
    hidden, routing = weights.project_in.shape[0], weights.route_hidden.shape[0]
    gx, g = _run(x, weights, classes=classes, soft=soft, gy=gy, grows=grows)
    first = -(-hidden // load().lanes()) * load().lanes()  # column of the routing, after whole vectors
    at_maps, at_biases = g["gweight"].T, g["gbias"]
    if soft is None:  # the classes are a maximum, which has no gradient
        at_routing: tuple[Tensor | None, ...] = (None, None, None, None)
        g["gprompts"].index_add_(0, classes.flatten().long(), grows.flatten(0, 1))
    else:
        at_hidden = at_maps[first : first + routing], at_biases[first : first + routing]
        at_routing = (*at_hidden, g["glogits"].T, g["glogits_bias"])
    at_position = g["gposition"][:, :hidden].T.reshape(weights.position.shape), g["gposition_bias"][:hidden]
    at_norm = g["gnorm_weight"], g["gnorm_bias"]
    return (gx, None, *at_norm, *at_routing, g["gprompts"], at_maps[:hidden], at_biases[:hidden], *at_position)


def _run(
    x: Tensor, weights: LiftWeights, *, classes: Tensor, soft: Tensor | None, gy: Tensor, grows: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The gradient at the map, and those at the weights as the C code names and lays them out."""
    (b, c, h, w), lanes, routing = x.shape, load().lanes(), weights.route_hidden.shape[0]
    held = _packed(weights, lanes)
    padded, wide = held["position_bias"].numel(), held["forth_bias"].numel()
    shapes = {
        **{"gnorm_weight": (c,), "gnorm_bias": (c,), "gweight": (c, wide), "gbias": (wide,)},
        **{"glogits": (routing, CLASSES), "glogits_bias": (CLASSES,), "gprompts": weights.prompts.shape},
        **{"gposition": (9, padded), "gposition_bias": (padded,)},
    }
    sizes = [math.prod(shape) for shape in shapes.values()]
    arguments = _Gradient(batch=b, height=h, width=w, channels=c, routing=routing, apart=sum(sizes))
    across, arguments.tile = -(-w // _tile(w, c)), _tile(w, c)
    arguments.strip = max(min(h, STRIP), -(-h // -(-TILES // (b * across))))
    tiles = b * across * -(-h // arguments.strip)
    arguments.tasks = min(tiles, max(FEWEST_TASKS, x.numel() // sum(sizes)))
    gx, sums = torch.empty_like(x), x.new_zeros(arguments.tasks, sum(sizes))
    arguments.point(**dict(zip(shapes, sums[0].split(sizes), strict=True)))
    arguments.point(x=x, classes=classes, soft=soft, gy=gy, grows=grows, gx=gx, **held)
    load().run("attentive_lift_gradient", arguments)
    parts = zip(shapes.items(), sums.sum(0).split(sizes), strict=True)
    return gx, {name: part.view(shape) for (name, shape), part in parts}


def _tile(width: int, channels: int) -> int:
    """Columns of a tile."""
    return widest_tile(width, 25 * channels + 2 * CLASSES)


def _packed(weights: LiftWeights, lanes: int) -> dict[str, Tensor]:
    """The parameters as the C code reads them. Two maps leave the normalised pixel: they are stacked into one."""
    matrices = [pad_outputs(t.detach(), lanes) for t in (weights.project_in, weights.route_hidden)]
    biases = [pad_outputs(t.detach(), lanes) for t in (weights.project_in_bias, weights.route_hidden_bias)]
    forth = torch.cat(matrices)
    return {
        "norm_weight": weights.norm_weight.detach().contiguous(),
        "norm_bias": weights.norm_bias.detach().contiguous(),
        "forth": pack_c(load(), forth),
        "forth_bias": torch.cat(biases),
        "back": pack_c(load(), forth.T),
        "logits_back": pack_c(load(), weights.route_logits.T),
        "prompts": pack_c(load(), weights.prompts),
        "position": pad_outputs(weights.position.detach().flatten(1), lanes).T.contiguous(),
        "position_bias": pad_outputs(weights.position_bias.detach(), lanes).contiguous(),
    }


def _check(x: Tensor, weights: LiftWeights, uniform: Tensor | None) -> None:
    """Refuse what the C code would misread."""
    (b, c, h, w), lanes = x.shape, load().lanes()
    check_plain(x=x, **weights._asdict(), **({} if uniform is None else {"uniform": uniform}))
    attentive_scan_c.check_lift_weights(weights, c)
    if uniform is not None and (uniform.shape != (b, h * w, CLASSES) or not uniform.is_contiguous()):
        raise ValueError(f"uniform is {tuple(uniform.shape)}, wanted {(b, h * w, CLASSES)}, contiguous")
    if uniform is not None and uniform.requires_grad:
        raise ValueError("random numbers are overwritten, they have no gradient: detach them")
    if c < lanes:
        raise ValueError(f"the compiled module needs {lanes} channels, got {c}")
