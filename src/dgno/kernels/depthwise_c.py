"""Gated depth-wise convolutions in C behind an autograd function; the fast twin of `depthwise.py`, same signatures.

The library is built from `depthwise.c` when the package is installed (an optional extension) and is called through
ctypes. It computes in float32 on channels-last maps and gives no gradient of a gradient.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import Arguments, CompiledKernel, channels_last, check_plain, fields
from dgno.kernels.second_derivatives import once_differentiable


class _Gate(Arguments):
    """`struct gate` of depthwise.c, field by field."""

    _fields_ = fields(
        ("batch", "height", "width", "channels", "strip_rows", "strips"),
        ("x", "weight", "bias", "out", "gout", "gx", "gweight", "gbias"),
    )


class CompiledGate(CompiledKernel):
    """The library of the gated convolutions; a result must have a vector of channels at least."""

    def __init__(self) -> None:
        super().__init__("depthwise", "the gradient of a gated convolution")

    def strip_rows(self, width: int) -> int:
        """Rows of a task of the gradient, for maps so wide."""
        return int(self.library.dgno_gate_strip_rows(ctypes.c_long(width), self.version))


@functools.cache
def load() -> CompiledGate:
    """The compiled gates; an OSError says why there are none."""
    return CompiledGate()


class _GatedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        x, taps, bias = _in_c(x, weight, bias)
        b, c, h, w = x.shape
        out = x.new_empty(b, h, w, c // 2 if bias is None else c).permute(0, 3, 1, 2)
        gate = _Gate(batch=b, height=h, width=w, channels=c)
        gate.point(x=x, weight=taps, bias=bias, out=out)
        load().run("gate_forward", gate)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gout: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x, taps, bias = _in_c(*ctx.saved_tensors)
        b, c, h, w = x.shape
        rows = load().strip_rows(w)
        strips = -(-h // rows)
        gout, gx = channels_last(gout), torch.empty_like(x)
        gweight = x.new_empty(b * strips, 9, c)
        gbias = None if bias is None else x.new_empty(b * strips, c)
        gate = _Gate(batch=b, height=h, width=w, channels=c, strip_rows=rows, strips=strips)
        gate.point(x=x, weight=taps, bias=bias, gout=gout, gx=gx, gweight=gweight, gbias=gbias)
        load().run("gate_backward", gate)
        return gx, gweight.sum(0).T.reshape(c, 1, 3, 3), None if gbias is None else gbias.sum(0)


def _in_c(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Map, taps and bias as the C code reads them."""
    taps = weight.detach().flatten(1).T.contiguous()
    return channels_last(x), taps, None if bias is None else bias.detach().contiguous()


def _check(channels: int, **tensors: Tensor) -> None:
    if channels < load().lanes():
        raise ValueError(f"the compiled gate needs {load().lanes()} channels, got {channels}")
    check_plain(**tensors)


def gelu_gate_c(x: Float[Tensor, "b c2 h w"], weight: Float[Tensor, "c2 1 3 3"]) -> Float[Tensor, "b c2//2 h w"]:
    """`gelu_gate` of depthwise.py, compiled; float32 on the CPU, c at least `CompiledGate.lanes`."""
    if weight.shape != (x.shape[1], 1, 3, 3) or x.shape[1] % 2:
        raise ValueError(f"weights {tuple(weight.shape)} do not fit a map {tuple(x.shape)}")
    _check(x.shape[1] // 2, x=x, weight=weight)
    return _GatedConvolution.apply(x, weight, None)


def sigmoid_gate_c(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "c 1 3 3"], bias: Float[Tensor, " c"]
) -> Float[Tensor, "b c h w"]:
    """`sigmoid_gate` of depthwise.py, compiled; float32 on the CPU, c at least `CompiledGate.lanes`."""
    if weight.shape != (x.shape[1], 1, 3, 3) or bias.shape != x.shape[1:2]:
        raise ValueError(f"weights {tuple(weight.shape)} and {tuple(bias.shape)} do not fit a map {tuple(x.shape)}")
    _check(x.shape[1], x=x, weight=weight, bias=bias)
    return _GatedConvolution.apply(x, weight, bias)
