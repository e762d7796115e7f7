"""The gated feed-forward network in C, in one pass over the map; the fast twin of `feed_forward.py`, same signature.

The library is built from `feed_forward.c` when the package is installed (an optional extension) and is called through
ctypes. It computes in float32 on channels-last maps and has no gradient: networks in training go through the layers.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import Arguments, CompiledKernel, channels_last, check_no_gradient, check_plain, fields
from dgno.kernels.feed_forward import Map
from dgno.kernels.packing import HALF_INPUTS, pack, pad_outputs
from dgno.kernels.tiles import strip_height, tile_width


class _FeedForward(Arguments):
    """`struct feed_forward` of feed_forward.c, field by field."""

    _fields_ = fields(
        ("batch", "height", "width", "channels", "hidden", "tile", "strip", "half"),
        ("x", "norm_weight", "norm_bias", "project_in", "taps", "project_out", "out"),
    )


@functools.cache
def load() -> CompiledKernel:
    """The compiled network; an OSError says why there is none."""
    return CompiledKernel("feed_forward", "the feed-forward network")


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
    """`feed_forward` of feed_forward.py, compiled; float32 on the CPU, without gradient, `lanes` channels or more.

    half : round the factors of the linear maps to bfloat16, where the processor can; their sums are float32
    """
    half = half and load().has_half() and max(project_out.shape) <= HALF_INPUTS
    (b, c, h, w), (_, hidden), lanes = x.shape, project_out.shape, load().lanes()
    check_plain(x=x, norm_weight=norm_weight, norm_bias=norm_bias, project_in=project_in, project_out=project_out)
    check_plain(depthwise=depthwise)
    check_no_gradient(x, norm_weight, norm_bias, project_in, depthwise, project_out)
    if norm_weight.shape != (c,) or norm_bias.shape != (c,):
        raise ValueError(f"norms of {tuple(norm_weight.shape)} and {tuple(norm_bias.shape)} do not fit {c} channels")
    if project_in.shape != (2 * hidden, c) or depthwise.shape != (2 * hidden, 1, 3, 3) or project_out.shape[0] != c:
        raise ValueError(f"weights {tuple(project_in.shape)} and {tuple(project_out.shape)} do not fit {c} channels")
    x, out = channels_last(x), torch.empty(b, c, h, w, memory_format=torch.channels_last)
    if c < lanes:
        raise ValueError(f"the compiled network needs {lanes} channels, got {c}")
    if not x.numel():
        return out
    halves = [pad_outputs(half, lanes) for half in project_in.detach().chunk(2)]
    taps = [pad_outputs(half, lanes) for half in depthwise.detach().flatten(1).chunk(2)]
    packed_in, packed_out = pack(torch.cat(halves), lanes, half=half), pack(project_out, lanes, half=half)
    packed_taps = torch.cat(taps).T.contiguous()
    tile = tile_width(w)
    arguments = _FeedForward(batch=b, height=h, width=w, channels=c, hidden=hidden, tile=tile, half=half)
    arguments.strip = strip_height(h, b * -(-w // tile))
    weight, bias = norm_weight.detach().contiguous(), norm_bias.detach().contiguous()
    arguments.point(x=x, norm_weight=weight, norm_bias=bias, project_in=packed_in, taps=packed_taps)
    arguments.point(project_out=packed_out, out=out)
    load().run("feed_forward_forward", arguments)
    return out
