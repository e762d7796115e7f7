"""The DG operator's products in C behind autograd functions; the fast twin of `dg_operator.py`, same signatures.

The library is built from `dg_operator.c` when the package is installed (an optional extension) and is called through
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
from dgno.kernels.dg_operator import Map, Operators, Sides
from dgno.kernels.second_derivatives import once_differentiable


class _DG(Arguments):
    """`struct dg` of dg_operator.c, field by field."""

    _fields_ = fields(
        ("batch", "rows", "columns", "ph", "pw", "heads", "width"),
        (
            *("kv", "key_norm", "value_norm", "volume", "sides", "gvolume", "gsides", "gkv", "gkey_norm"),
            *("gvalue_norm", "q", "operators", "onto", "out", "gout", "gq", "goperators"),
        ),
    )


class CompiledOperator(CompiledKernel):
    """The library of the operator, and of the whole layer around it."""

    def __init__(self) -> None:
        super().__init__("dg_operator", "the DG operator")

    def has_width(self, d: int) -> bool:
        """Is the library compiled for heads of d channels?"""
        return bool(self.library.dgno_dg_has_width(ctypes.c_long(d)))

    def heads_last(self, d: int) -> bool:
        """Do operators of heads of d channels lie as (d, d, heads) in memory, not as (heads, d, d)?"""
        return bool(self.library.dgno_dg_heads_last(ctypes.c_long(d)))


@functools.cache
def load() -> CompiledOperator:
    """The compiled operator; an OSError says why there is none."""
    return CompiledOperator()


def as_in_c(operators: Tensor) -> Tensor:
    """Operators in the C code's order of axes; a copy only if they did not come from there."""
    operators = operators.detach()
    heads_last = load().heads_last(operators.shape[-1])
    return operators.movedim(-3, -1).contiguous() if heads_last else operators.contiguous()


def new_operators(like: Tensor, *shape: int) -> tuple[Tensor, Tensor]:
    """Room for operators of this shape, (..., heads, d, d): in the C code's order of axes, and a view in this one."""
    *grid, heads, d, _ = shape
    if not load().heads_last(d):
        own = like.new_empty(shape)
        return own, own
    own = like.new_empty(*grid, d, d, heads)
    return own, own.movedim(-1, -3)


class _Integrate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kv: Tensor, key_norm: Tensor, value_norm: Tensor, size: tuple[int, int], sides: bool
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(kv, key_norm, value_norm)
        kv, key_norm, value_norm = channels_last(kv), key_norm.detach().contiguous(), value_norm.detach().contiguous()
        (b, _, h, w), (_, heads, d), (ph, pw) = kv.shape, key_norm.shape, size
        shape = (b, h // ph, w // pw, heads, d, d)
        volume, volume_view = new_operators(kv, *shape)
        side, side_view = new_operators(kv, 4, *shape) if sides else (None, None)
        arguments = _DG(batch=b, rows=shape[1], columns=shape[2], ph=ph, pw=pw, heads=heads, width=d)
        arguments.point(kv=kv, key_norm=key_norm, value_norm=value_norm, volume=volume, sides=side)
        load().run("dg_integrate", arguments)
        ctx.size = size
        return volume_view, side_view

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gvolume: Tensor, gsides: Tensor | None) -> tuple[Tensor | None, ...]:
        kv, key_norm, value_norm = ctx.saved_tensors
        kv, key_norm, value_norm = channels_last(kv), key_norm.contiguous(), value_norm.contiguous()
        (b, rows, columns, heads, d, _), (ph, pw) = gvolume.shape, ctx.size
        gvolume, gsides = as_in_c(gvolume), None if gsides is None else as_in_c(gsides)
        gkv = torch.empty_like(kv)
        gkey_norm, gvalue_norm = kv.new_empty(b * rows, 2, heads, d), kv.new_empty(b * rows, 2, heads, d)
        arguments = _DG(batch=b, rows=rows, columns=columns, ph=ph, pw=pw, heads=heads, width=d)
        arguments.point(kv=kv, key_norm=key_norm, value_norm=value_norm)
        arguments.point(gvolume=gvolume, gsides=gsides, gkv=gkv, gkey_norm=gkey_norm, gvalue_norm=gvalue_norm)
        load().run("dg_integrate_backward", arguments)
        return gkv, gkey_norm.sum(0), gvalue_norm.sum(0), None, None


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, operators: Tensor, onto: Tensor | None) -> Tensor:
        ctx.save_for_backward(q, operators)
        q, shape, operators = channels_last(q), operators.shape, as_in_c(operators)
        out = torch.empty_like(q)
        arguments = _apply_arguments(q, operators, shape)
        onto = None if onto is None else channels_last(onto)
        arguments.point(onto=onto, out=out)
        load().run("dg_apply", arguments)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gout: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        q, operators = ctx.saved_tensors
        q, gout, shape, operators = channels_last(q), channels_last(gout), operators.shape, as_in_c(operators)
        gq, (goperators, goperators_view) = torch.empty_like(q), new_operators(q, *shape)
        arguments = _apply_arguments(q, operators, shape)
        arguments.point(gout=gout, gq=gq, goperators=goperators)
        load().run("dg_apply_backward", arguments)
        return gq, goperators_view, gout if ctx.needs_input_grad[2] else None


def _apply_arguments(q: Tensor, operators: Tensor, shape: torch.Size) -> _DG:
    b, rows, columns, heads, d, _ = shape
    ph, pw = q.shape[2] // rows, q.shape[3] // columns
    arguments = _DG(batch=b, rows=rows, columns=columns, ph=ph, pw=pw, heads=heads, width=d)
    arguments.point(q=q, operators=operators)
    return arguments


def integrate_c(
    kv: Float[Tensor, "b c2 h w"],
    key_norm: Float[Tensor, "2 heads d"],
    value_norm: Float[Tensor, "2 heads d"],
    size: tuple[int, int],
    sides: bool,
) -> tuple[Operators, Sides | None]:
    """`integrate` of dg_operator.py, compiled; float32, CPU, for the head widths of `CompiledOperator.has_width`."""
    (_, c2, h, w), (ph, pw) = kv.shape, size
    if key_norm.shape != value_norm.shape or c2 != 2 * key_norm.shape[1] * key_norm.shape[2] or h % ph or w % pw:
        raise ValueError(f"a map {tuple(kv.shape)} cannot be cut into {size} elements of {tuple(key_norm.shape)} norms")
    if not load().has_width(key_norm.shape[2]):
        raise ValueError(f"the compiled operator has no version for heads of {key_norm.shape[2]} channels")
    check_plain(kv=kv, key_norm=key_norm, value_norm=value_norm)
    return _Integrate.apply(kv, key_norm, value_norm, size, sides)


def apply_c(q: Map, operators: Operators, onto: Map | None = None) -> Map:
    """`apply` of dg_operator.py, compiled; float32 on the CPU, for the head widths of `CompiledOperator.has_width`."""
    (b, c, h, w), (ob, rows, columns, heads, d, e) = q.shape, operators.shape
    if b != ob or c != heads * d or d != e or h % rows or w % columns:
        raise ValueError(f"operators {tuple(operators.shape)} do not fit a map {tuple(q.shape)}")
    if not load().has_width(d):
        raise ValueError(f"the compiled operator has no version for heads of {d} channels")
    if onto is not None and onto.shape != q.shape:
        raise ValueError(f"a result of the shape {tuple(q.shape)} does not fit onto a map {tuple(onto.shape)}")
    check_plain(q=q, operators=operators, **({} if onto is None else {"onto": onto}))
    return _Apply.apply(q, operators, onto)
