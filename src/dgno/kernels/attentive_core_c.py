"""The second half of the attentive scan in C behind an autograd function; the fast twin of `attentive_core.py`, same
signature.

It is part of the library of `attentive_scan_c.py`. The forward pass keeps y, dt, B, C and the normalised results of the
scan, and its states before every 32nd token; everything else is computed again in the cache. Float32 on channels-last
maps, 8 states, no gradient of a gradient. Sums over pixels do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dgno.kernels.attentive_core import CLASSES, CoreWeights, Map
from dgno.kernels.attentive_scan_c import STATES, Core, check_block, check_core_weights, load, packed_core
from dgno.kernels.compiled import channels_last, check_plain, check_shapes, fields
from dgno.kernels.packing_c import pack_c
from dgno.kernels.second_derivatives import once_differentiable

BEYOND = 12  # rows after the last one that a product may read, as in products.h
SUMMED = 8  # pixels a channel over which a task sums, at least: fewer, and the sums outweigh the maps


class _CoreGradient(Core):
    """`struct core_gradient` of attentive_scan.c: these fields after those of `struct core`."""

    _fields_ = fields(("group",), ("g", "from_result", "from_parameters", "from_delta", "gy", "gprompts", "sums"))


class _AttentiveCore(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        classes: Tensor,
        prompts: Tensor,
        origin: Tensor,
        block: int | None,
        prompt_sorted: bool,
        *weights: Tensor,
    ) -> Tensor:
        own_y, x, y, prompts = y, channels_last(x), channels_last(y), prompts.detach().contiguous()
        own = CoreWeights(*(weight.detach() for weight in weights))
        folded, classes = _without_norm(own), classes.to(torch.uint8).contiguous()
        held = packed_core(folded)
        arguments = Core(prompt_sorted=prompt_sorted, prompts_of_pixels=True)
        arguments.size(x, own.dt_proj.shape[1], block)
        out, order = torch.empty_like(x), x.new_empty(classes.numel(), dtype=torch.int32)
        kept = _kept(arguments, held["A"]) if any(ctx.needs_input_grad[1:]) else {}
        arguments.point(x=x, y=y, classes=classes, prompts=prompts, order=order, out=out, **held, **kept)
        load().run("attentive_core", arguments)
        ctx.save_for_backward(own_y, origin, order, *kept.values(), *weights)
        ctx.packed, ctx.folded, ctx.kept = held, folded, list(kept)
        ctx.block, ctx.prompt_sorted = block, prompt_sorted
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        if not any(ctx.needs_input_grad[1:]):
            return g, *[None] * (len(ctx.needs_input_grad) - 1)
        y, _, order, *saved = ctx.saved_tensors
        kept, own = dict(zip(ctx.kept, saved, strict=False)), CoreWeights(*saved[len(ctx.kept) :])
        g, y, packed = channels_last(g), channels_last(y), ctx.packed | _transposed(ctx.folded)
        arguments = _CoreGradient(prompt_sorted=ctx.prompt_sorted)
        arguments.size(g, own.dt_proj.shape[1], ctx.block)
        length = arguments.block_height * arguments.block_width
        arguments.group = max(1, SUMMED * g.shape[1] // length)
        tasks = -(-order.numel() // (length * arguments.group))
        sums = g.new_empty(tasks, _sum_rows(own), ctx.packed["A"].shape[1])
        gy, gprompts = torch.empty_like(y), g.new_empty(g.shape[0], y[0, 0].numel(), STATES)
        arguments.point(y=y, order=order, g=g, gy=gy, gprompts=gprompts, sums=sums, **packed, **kept)
        load().run("attentive_core_gradient", arguments)
        at_weights = _at_weights(sums.sum(0), own)
        wanted = ctx.needs_input_grad
        every = (g, gy, None, gprompts, None, None, None, *at_weights)
        return tuple(each if is_wanted else None for each, is_wanted in zip(every, wanted, strict=True))


def _kept(arguments: Core, A: Float[Tensor, "n padded"]) -> dict[str, Tensor]:
    """Memory for what the forward pass keeps, by its name in `struct core`."""
    pixels = arguments.batch * arguments.height * arguments.width
    length = arguments.block_height * arguments.block_width
    segments = pixels // length * -(-length // load().library.dgno_attentive_core_segment())
    return {
        "starts": A.new_empty(segments, *A.shape),
        "normal": A.new_empty(pixels, A.shape[1]),
        "scales": A.new_empty(pixels),
        "parameters": A.new_empty(pixels + BEYOND, arguments.rank + 2 * STATES),
    }


def _transposed(weights: CoreWeights) -> dict[str, Tensor]:
    """The matrices for the way back from weights without norm, by their names in `struct core_gradient`."""
    rank, project_out = weights.dt_proj.shape[1], weights.project_out
    return {
        "from_result": pack_c(load(), (project_out - project_out.mean(1, keepdim=True)).T),
        "from_parameters": pack_c(load(), weights.x_proj.roll(-rank, 0).T),  # from B, C, dt
        "from_delta": pack_c(load(), weights.dt_proj.T),
    }


def _sum_rows(weights: CoreWeights) -> int:
    """Rows of the sums of a task: `sum_rows` of attentive_core_gradient_body.h."""
    return STATES + 3 + weights.project_out.shape[0] + 2 * STATES + 2 * weights.dt_proj.shape[1]


def _at_weights(sums: Float[Tensor, "rows padded"], weights: CoreWeights) -> CoreWeights:
    """The gradients at the weights from the rows that were summed."""
    rank, (c, hidden) = weights.dt_proj.shape[1], weights.project_out.shape
    parts = sums[:, :hidden].split([STATES, 1, 1, 1, c, 2 * STATES, rank, rank])
    A, D, dt_bias, result_bias, project_normal, BC, dt, dt_proj = parts  # project_normal: without the norm's weight
    result_bias, project_out = result_bias[0, :c], weights.project_out.detach()
    return CoreWeights(
        x_proj=torch.cat([dt, BC]),
        dt_proj=dt_proj.T,
        dt_bias=dt_bias[0],
        A_log=A.T * -torch.exp(weights.A_log.detach()),
        D=D[0],
        out_norm_weight=(project_normal * project_out).sum(0),
        out_norm_bias=result_bias @ project_out,
        project_out=project_normal * weights.out_norm_weight + torch.outer(result_bias, weights.out_norm_bias),
        project_out_bias=result_bias,
    )


def _without_norm(weights: CoreWeights) -> CoreWeights:
    """The same map with the norm's weight and bias inside the projection."""
    w = weights
    return w._replace(
        out_norm_weight=torch.ones_like(w.out_norm_weight),
        out_norm_bias=torch.zeros_like(w.out_norm_bias),
        project_out=w.project_out * w.out_norm_weight,
        project_out_bias=torch.addmv(w.project_out_bias, w.project_out, w.out_norm_bias),
    )


def attentive_core_c(
    x: Map,
    y: Float[Tensor, "b hidden h w"],
    classes: Int[Tensor, "b l"],
    prompts: Float[Tensor, "b l n"],
    weights: CoreWeights,
    *,
    block: int | None,
    prompt_sorted: bool,
) -> Map:
    """`attentive_core` of attentive_core.py, compiled; float32 on the CPU, 8 states, classes from 0 to 63."""
    _check(x, y, classes, prompts, weights, block)
    if not x.numel():
        return x
    origin = prompts[:0].clone()  # kept for where the prompts came from, without their memory: sums of them are kept
    return _AttentiveCore.apply(x, y, classes, prompts, origin, block, prompt_sorted, *weights)


def _check(x: Tensor, y: Tensor, classes: Tensor, prompts: Tensor, weights: CoreWeights, block: int | None) -> None:
    """Refuse what the C code would misread."""
    (b, c, h, w), lanes = x.shape, load().lanes()
    check_plain(x=x, y=y, prompts=prompts, **weights._asdict())
    of_pixels = {"y": y, "classes": classes, "prompts": prompts}
    check_shapes(of_pixels, ((b, 2 * c, h, w), (b, h * w), (b, h * w, STATES)), f"a map of {tuple(x.shape)}")
    _check_classes(classes)
    check_core_weights(weights, c)
    if c < lanes:
        raise ValueError(f"the compiled core needs {lanes} channels, got {c}")
    check_block(block, h, w)


def _check_classes(classes: Tensor) -> None:
    """Refuse what is no class: a byte would hide it, and the C code counts the pixels of every class."""
    if not classes.is_cpu or classes.is_floating_point():
        raise ValueError(f"classes are {classes.dtype} on {classes.device.type}, wanted integers on the CPU")
    if classes.numel():
        least, greatest = (int(bound) for bound in classes.aminmax())
        if least < 0 or greatest >= CLASSES:
            raise ValueError(f"classes from {least} to {greatest}, wanted 0 to {CLASSES - 1}")
