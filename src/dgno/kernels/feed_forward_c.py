"""The gated feed-forward network in C behind an autograd function; the fast twin of `feed_forward.py`, same signature.

The library is built from `feed_forward.c` when the package is installed (an optional extension) and is called through
ctypes. It computes in float32 on channels-last maps and gives no gradient of a gradient. Only the map and the weights
are kept for the gradient: what lies between is computed again, strip by strip.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import Arguments, CompiledKernel, channels_last, check_no_gradient, check_plain, fields
from dgno.kernels.feed_forward import Map
from dgno.kernels.packing import pad_outputs
from dgno.kernels.packing_c import pack_c, pack_each
from dgno.kernels.products import parts_of
from dgno.kernels.second_derivatives import once_differentiable
from dgno.kernels.tiles import TILE, strip_height, tile_width

WIDEST = 128  # channels of which a gradient pays: computing wide hidden maps again takes longer than keeping them
WIDE_TILE, FEW = 128, 64  # columns of a tile where hidden channels are few
CHUNK = 256  # hidden channels at a time
STRIP, TASKS = 32, 16  # rows of a strip of the gradient, and tasks: as many as there are with strips no lower


class _FeedForward(Arguments):
    """`struct feed_forward` of feed_forward.c, field by field."""

    _fields_ = fields(
        ("batch", "height", "width", "channels", "hidden", "tile", "strip", "parts", "chunk", "group", "sum_size"),
        (
            *("x", "norm_weight", "norm_bias", "project_in", "taps", "project_out", "out"),
            *("gout", "project_in_back", "project_out_back", "gx", "sums"),
        ),
    )


@functools.cache
def load() -> CompiledKernel:
    """The compiled network; an OSError says why there is none."""
    return CompiledKernel("feed_forward", "the feed-forward network")


def _padded_halves(weight: Tensor) -> Tensor:
    """Zeros after the last output of each half, up to whole vectors: (2 hidden, i) -> (2 padded, i)."""
    return torch.cat([pad_outputs(half, load().lanes()) for half in weight.chunk(2)])


def _taps(depthwise: Tensor) -> Tensor:
    """The weights of the convolution in raster order: (2 hidden, 1, 3, 3) -> (9, 2 padded)."""
    return _padded_halves(depthwise.flatten(1)).T.contiguous()


def _arguments(x: Tensor, hidden: int, **lengths: int) -> _FeedForward:
    b, c, h, w = x.shape
    tile = tile_width(w, WIDE_TILE if hidden <= FEW else TILE)
    return _FeedForward(batch=b, height=h, width=w, channels=c, hidden=hidden, tile=tile, **lengths)


def _chunks(project_in: Tensor, depthwise: Tensor, project_out: Tensor, chunk: int, parts: int) -> dict[str, Tensor]:
    """The weights packed for the way forward, chunk after chunk of the hidden channels."""
    of_in, of_taps = (weight.unflatten(0, (2, -1)).split(chunk, 1) for weight in (project_in, depthwise))
    return {
        "project_in": pack_each(load(), of_in, parts),
        "taps": torch.cat([_taps(taps.flatten(0, 1)).flatten() for taps in of_taps]),
        "project_out": pack_each(load(), project_out.split(chunk, 1), parts),
    }


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: int, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        x = channels_last(tensors[0])
        norm_weight, norm_bias, project_in, depthwise, project_out = (t.detach() for t in tensors[1:])
        hidden, out = project_out.shape[1], torch.empty_like(x)
        arguments = _arguments(x, hidden, parts=parts, chunk=min(hidden, CHUNK))
        arguments.strip = strip_height(x.shape[2], x.shape[0] * -(-x.shape[3] // arguments.tile))
        held = _chunks(project_in, depthwise, project_out, arguments.chunk, parts)
        weight, bias = norm_weight.contiguous(), norm_bias.contiguous()
        arguments.point(x=x, norm_weight=weight, norm_bias=bias, out=out, **held)
        load().run("feed_forward_forward", arguments)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gout: Tensor) -> tuple[Tensor | None, ...]:
        x, norm_weight, norm_bias, project_in, depthwise, project_out = (t.detach() for t in ctx.saved_tensors)
        x, weight, bias = channels_last(x), norm_weight.contiguous(), norm_bias.contiguous()
        c, hidden = project_out.shape
        packed_in, taps = pack_c(load(), project_in.unflatten(0, (2, -1))), _taps(depthwise)
        in_back, out_back = pack_c(load(), project_in.T), pack_c(load(), project_out.T)
        sizes = [c, c, 2 * hidden * c, taps.numel(), hidden * c]
        arguments = _arguments(x, hidden, sum_size=sum(sizes))
        tasks = _cut(arguments)
        gout, gx, sums = channels_last(gout), torch.empty_like(x), x.new_empty(tasks, sum(sizes))
        arguments.point(x=x, norm_weight=weight, norm_bias=bias, project_in=packed_in, taps=taps, sums=sums)
        arguments.point(gout=gout, project_in_back=in_back, project_out_back=out_back, gx=gx)
        load().run("feed_forward_backward", arguments)
        at_weight, at_bias, at_in, at_taps, at_out = sums.sum(0).split(sizes)
        at_taps = at_taps.reshape(9, 2, -1)[:, :, :hidden].reshape(9, 2 * hidden).T.reshape(depthwise.shape)
        gradients = gx, at_weight, at_bias, at_in.reshape(2 * hidden, c), at_taps, at_out.reshape(hidden, c).T
        return None, *(g if needed else None for g, needed in zip(gradients, ctx.needs_input_grad[1:], strict=True))


def _cut(arguments: _FeedForward) -> int:
    """Cut the gradient into tasks, the same for any number of threads; how many there are.

    A task sums over as many tiles as it takes for all tasks' sums to be no more numbers than the hidden map has.
    """
    b, h, w = arguments.batch, arguments.height, arguments.width
    columns = b * -(-w // arguments.tile)
    arguments.strip = max(min(h, STRIP), -(-h // -(-TASKS // columns)))
    tiles = columns * -(-h // arguments.strip)
    tasks = max(1, min(tiles, b * h * w * 2 * arguments.hidden // arguments.sum_size))
    arguments.group = -(-tiles // tasks)
    return -(-tiles // arguments.group)


def feed_forward_c(
    x: Map,
    norm_weight: Float[Tensor, " c"],
    norm_bias: Float[Tensor, " c"],
    project_in: Float[Tensor, "hidden2 c"],
    depthwise: Float[Tensor, "hidden2 1 3 3"],
    project_out: Float[Tensor, "c hidden2//2"],
    *,
    half: bool = False,
) -> Map:
    """`feed_forward` of feed_forward.py, compiled; float32 on the CPU, `lanes` channels or more.

    half : round the factors of the linear maps to bfloat16, where the processor can; their sums are float32, and there
        is no gradient
    """
    tensors = x, norm_weight, norm_bias, project_in, depthwise, project_out
    parts = parts_of(load(), *project_out.shape, half=half)
    c, hidden, lanes = x.shape[1], project_out.shape[1], load().lanes()
    check_plain(x=x, norm_weight=norm_weight, norm_bias=norm_bias, project_in=project_in, project_out=project_out)
    check_plain(depthwise=depthwise)
    if parts == 1:
        check_no_gradient(*tensors)
    if norm_weight.shape != (c,) or norm_bias.shape != (c,):
        raise ValueError(f"norms of {tuple(norm_weight.shape)} and {tuple(norm_bias.shape)} do not fit {c} channels")
    if project_in.shape != (2 * hidden, c) or depthwise.shape != (2 * hidden, 1, 3, 3) or project_out.shape[0] != c:
        raise ValueError(f"weights {tuple(project_in.shape)} and {tuple(project_out.shape)} do not fit {c} channels")
    if c < lanes:
        raise ValueError(f"the compiled network needs {lanes} channels, got {c}")
    if not x.numel():
        return x.clone()
    return _Network.apply(parts, *tensors)
