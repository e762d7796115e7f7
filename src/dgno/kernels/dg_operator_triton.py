"""The DG operator's products in Triton; the fast twin of `dg_operator.py`, same signatures.

Maps are read in channels-last memory and in their own dtype; sums, norms and operators are float32. The gradient at q
of q K is gout K^T, and at K the contraction of q with gout: the same programs (`dg_operator_programs.py`) again. There
is no gradient of a gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
from jaxtyping import Float
from torch import Tensor

from dgno.kernels import dg_operator_programs as programs
from dgno.kernels.compiled import channels_last
from dgno.kernels.dg_operator import Map, Operators, Sides
from dgno.kernels.second_derivatives import once_differentiable
from dgno.kernels.triton_runtime import check_served, launch_options, on_device_of

TOKENS = 16  # of a tile
LANES = 64  # channels of a tile, padding included


class Cut(NamedTuple):
    """How a map of elements is dealt to programs."""

    b: int
    rows: int
    columns: int
    ph: int
    pw: int
    heads: int
    d: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return self[1:]

    @property
    def operators(self) -> tuple[int, ...]:
        """The shape of an operator for every element and head."""
        return self.b, self.rows, self.columns, self.heads, self.d, self.d

    @property
    def lanes(self) -> tuple[int, int]:
        """Heads of a tile and channels of a head, powers of two."""
        lanes = triton.next_power_of_2(self.d)
        return min(triton.next_power_of_2(self.heads), max(1, LANES // lanes)), lanes

    def grid(self, parts: int = 1) -> tuple[int, int, int]:
        return self.b * self.rows * self.columns, triton.cdiv(self.heads, self.lanes[0]), parts

    @property
    def blocks(self) -> dict[str, int]:
        """The sizes that kernels are compiled for."""
        heads, lanes = self.lanes
        return {"TOKENS": TOKENS, "HEADS": heads, "D": lanes, **launch_options(TOKENS * heads * lanes)}


class _Integrate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kv: Tensor, key_norm: Tensor, value_norm: Tensor, size: tuple[int, int], sides: bool
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(kv, key_norm, value_norm)
        kv, key_norm, value_norm = channels_last(kv), key_norm.detach().contiguous(), value_norm.detach().contiguous()
        (b, c2, h, w), (_, heads, d), (ph, pw) = kv.shape, key_norm.shape, size
        cut = Cut(b, h // ph, w // pw, ph, pw, heads, d)
        parts = kv.new_empty(5 if sides else 1, *cut.operators, dtype=torch.float32)
        if parts.numel():
            with on_device_of(kv):
                programs.contract[cut.grid(len(parts))](
                    kv, kv[:, c2 // 2 :], key_norm, value_norm, parts, c2, *cut.sizes, NORMALISED=True, **cut.blocks
                )
        ctx.cut = cut
        return (parts[0], parts[1:]) if sides else (parts[0], None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gvolume: Tensor, gsides: Tensor | None) -> tuple[Tensor | None, ...]:
        kv, key_norm, value_norm = ctx.saved_tensors
        kv, key_norm, value_norm = channels_last(kv), key_norm.contiguous(), value_norm.contiguous()
        cut, c2, gkv = ctx.cut, kv.shape[1], torch.empty_like(kv)
        gvolume, gsides = gvolume.contiguous(), None if gsides is None else gsides.contiguous()
        gnorms = kv.new_empty(2, cut.grid()[0], 2, cut.heads, cut.d, dtype=torch.float32)
        if gkv.numel():
            with on_device_of(kv):
                programs.integrate_backward[cut.grid()](
                    kv, kv[:, c2 // 2 :], key_norm, value_norm, gvolume, gsides, gkv, gkv[:, c2 // 2 :],
                    gnorms[0], gnorms[1], c2, *cut.sizes, **cut.blocks,
                )  # fmt: skip
        return gkv, gnorms[0].sum(0).to(key_norm), gnorms[1].sum(0).to(value_norm), None, None


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, operators: Tensor, onto: Tensor | None) -> Tensor:
        ctx.save_for_backward(q, operators)
        q, operators = channels_last(q), operators.detach().contiguous()
        onto = None if onto is None else channels_last(onto)
        ctx.onto_dtype = None if onto is None else onto.dtype
        dtype = q.dtype if onto is None else torch.promote_types(q.dtype, onto.dtype)
        return _applied(q, operators, onto, dtype, is_transposed=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gout: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        q, operators = ctx.saved_tensors
        q, operators = channels_last(q), operators.contiguous()
        gout, cut = channels_last(gout), _cut_of(q, operators)
        goperators = operators.new_empty(operators.shape, dtype=torch.float32)
        if goperators.numel():
            with on_device_of(q):
                programs.contract[cut.grid()](
                    q, gout, None, None, goperators, q.shape[1], *cut.sizes, NORMALISED=False, **cut.blocks
                )
        gonto = gout.to(ctx.onto_dtype) if ctx.needs_input_grad[2] else None
        gq = _applied(gout, operators, None, q.dtype, is_transposed=True)
        return gq, goperators.to(operators), gonto


def _applied(q: Tensor, operators: Tensor, onto: Tensor | None, dtype: torch.dtype, *, is_transposed: bool) -> Tensor:
    cut, out = _cut_of(q, operators), torch.empty_like(q, dtype=dtype)
    if out.numel():
        with on_device_of(q):
            programs.apply[cut.grid()](
                q, operators, onto, out, q.shape[1], *cut.sizes, TRANSPOSED=is_transposed, **cut.blocks
            )
    return out


def _cut_of(q: Tensor, operators: Tensor) -> Cut:
    b, rows, columns, heads, d, _ = operators.shape
    return Cut(b, rows, columns, q.shape[2] // rows, q.shape[3] // columns, heads, d)


def integrate_triton(
    kv: Float[Tensor, "b c2 h w"],
    key_norm: Float[Tensor, "2 heads d"],
    value_norm: Float[Tensor, "2 heads d"],
    size: tuple[int, int],
    sides: bool,
) -> tuple[Operators, Sides | None]:
    """`integrate` of dg_operator.py by Triton; maps of float32, bfloat16 or float16, operators of float32."""
    (_, c2, h, w), (ph, pw) = kv.shape, size
    if key_norm.shape != value_norm.shape or c2 != 2 * key_norm.shape[1] * key_norm.shape[2] or h % ph or w % pw:
        raise ValueError(f"a map {tuple(kv.shape)} cannot be cut into {size} elements of {tuple(key_norm.shape)} norms")
    check_served(kv=kv, key_norm=key_norm, value_norm=value_norm)
    return _Integrate.apply(kv, key_norm, value_norm, size, sides)


def apply_triton(q: Map, operators: Operators, onto: Map | None = None) -> Map:
    """`apply` of dg_operator.py by Triton, in the dtype of the map, or of the sum with `onto`."""
    (b, c, h, w), (ob, rows, columns, heads, d, e) = q.shape, operators.shape
    if b != ob or c != heads * d or d != e or h % rows or w % columns:
        raise ValueError(f"operators {tuple(operators.shape)} do not fit a map {tuple(q.shape)}")
    if onto is not None and onto.shape != q.shape:
        raise ValueError(f"a result of the shape {tuple(q.shape)} does not fit onto a map {tuple(onto.shape)}")
    check_served(q=q, operators=operators, **({} if onto is None else {"onto": onto}))
    return _Apply.apply(q, operators, onto)
