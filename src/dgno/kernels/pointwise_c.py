"""The linear map at every pixel in C behind an autograd function; the fast twin of `pointwise.py`, same signature.

The library is built from `pointwise.c` when the package is installed (an optional extension) and is called through
ctypes. It computes in float32 and gives no gradient of a gradient. A row is summed alike wherever it stands.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import Arguments, CompiledKernel, check_plain, fields
from dgno.kernels.packing import pad_outputs
from dgno.kernels.packing_c import pack_c
from dgno.kernels.second_derivatives import once_differentiable

CHUNK = 4096  # rows over which the gradient at the weights is summed by one task


class _Pointwise(Arguments):
    """`struct pointwise` of pointwise.c, field by field."""

    _fields_ = fields(("rows", "inputs", "outputs"), ("x", "packed", "bias", "out"))


class _Outer(Arguments):
    """`struct outer` of pointwise.c, field by field."""

    _fields_ = fields(("rows", "left", "right", "chunk"), ("a", "b", "out"))


@functools.cache
def load() -> CompiledKernel:
    """The compiled map; an OSError says why there is none."""
    return CompiledKernel("pointwise", "a linear map")


def _map(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """rows weight^T + bias; rows (r, i) contiguous, weight (o, i)."""
    lanes, out = load().lanes(), rows.new_empty(rows.shape[0], weight.shape[0])
    packed = pack_c(load(), weight)
    padded = None if bias is None else pad_outputs(bias.detach(), lanes).contiguous()
    arguments = _Pointwise(rows=rows.shape[0], inputs=rows.shape[1], outputs=weight.shape[0])
    arguments.point(x=rows, packed=packed, bias=padded, out=out)
    load().run("pointwise_forward", arguments)
    return out


def _summed_products(a: Tensor, b: Tensor) -> Tensor:
    """a^T b, summed over the rows: (r, m) and (r, n) contiguous -> (m, n). The wider factor goes along the vectors."""
    if b.shape[1] < a.shape[1]:
        return _summed_products(b, a).T
    out = a.new_empty(-(-a.shape[0] // CHUNK), a.shape[1], b.shape[1])
    arguments = _Outer(rows=a.shape[0], left=a.shape[1], right=b.shape[1], chunk=CHUNK)
    arguments.point(a=a, b=b, out=out)
    load().run("pointwise_outer", arguments)
    return out.sum(0)


class _PointwiseMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.has_bias = bias is not None
        return _map(rows.detach().contiguous(), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        at_rows = _map(gradient, weight.detach().T, None) if ctx.needs_input_grad[0] else None
        at_weight = _summed_products(gradient, rows.contiguous()) if ctx.needs_input_grad[1] else None
        return at_rows, at_weight, gradient.sum(0) if ctx.has_bias else None


def pointwise_c(
    x: Float[Tensor, "*batch i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "*batch o"]:
    """`pointwise` of pointwise.py, compiled; float32 on the CPU."""
    if weight.shape[1] != x.shape[-1] or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(f"weights {tuple(weight.shape)} do not fit rows of {x.shape[-1]}")
    check_plain(x=x, weight=weight, **({} if bias is None else {"bias": bias}))
    if x.numel() == 0 or weight.numel() == 0:
        return torch.nn.functional.linear(x, weight, bias)
    return _PointwiseMap.apply(x.reshape(-1, x.shape[-1]), weight, bias).reshape(*x.shape[:-1], -1)
