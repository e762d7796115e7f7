"""Matrices laid out for the products, in C; the fast twin of `packing.py`.

Every library that multiplies has it (`packing.h`): matrices are packed anew in each call, so that they are never those
that the weights were before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import Arguments, CompiledKernel, check_plain, fields
from dgno.kernels.packing import BLOCK


class _Packing(Arguments):
    """`struct packing` of packing.h, field by field."""

    _fields_ = fields(
        ("groups", "outputs", "inputs", "group_stride", "output_stride", "input_stride", "parts"), ("weight", "packed")
    )


def packed_shape(kernel: CompiledKernel, weight: Tensor, parts: int) -> tuple[int, ...]:
    """The shape of what `pack_c` gives."""
    *groups, outputs, inputs = weight.shape
    vectors = -(-outputs // kernel.lanes()) * (groups[0] if groups else 1)
    if parts:
        return parts, vectors, -(-inputs // BLOCK) * BLOCK // 2, kernel.lanes(), 2
    return vectors, inputs, kernel.lanes()


def pack_c(kernel: CompiledKernel, weight: Float[Tensor, "*groups o i"], parts: int = 0) -> Tensor:
    """`pack` of packing.py for the vectors of this kernel; float32 on the CPU with any strides, at most one axis of
    groups."""
    dtype = torch.bfloat16 if parts else torch.float32
    packed = weight.new_empty(packed_shape(kernel, weight, parts), dtype=dtype)
    _pack(kernel, weight, parts, packed)
    return packed


def pack_each(kernel: CompiledKernel, weights: Sequence[Tensor], parts: int = 0) -> Tensor:
    """Matrices packed one after the other, flat."""
    sizes = [torch.Size(packed_shape(kernel, weight, parts)).numel() for weight in weights]
    packed = weights[0].new_empty(sum(sizes), dtype=torch.bfloat16 if parts else torch.float32)
    for weight, room in zip(weights, packed.split(sizes), strict=True):
        _pack(kernel, weight, parts, room)
    return packed


def _pack(kernel: CompiledKernel, weight: Tensor, parts: int, packed: Tensor) -> None:
    check_plain(weight=weight)
    groups = weight if weight.ndim == 3 else weight[None]
    arguments = _Packing(**dict(zip(("groups", "outputs", "inputs"), groups.shape, strict=True)), parts=parts)
    arguments.group_stride, arguments.output_stride, arguments.input_stride = groups.stride()
    arguments.point(weight=weight, packed=packed)
    kernel.run("pack", arguments)
