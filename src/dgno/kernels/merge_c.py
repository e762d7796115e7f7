"""The merge of two scales in C, without gradients; the fast twin of `merge.py`.

It is in the library of `pointwise.c`, whose product it is: of rows that are put together in the cache.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import Arguments, channels_last, check_no_gradient, check_plain, fields
from dgno.kernels.packing_c import pack_c
from dgno.kernels.pointwise_c import load
from dgno.kernels.products import parts_of


class _Merge(Arguments):
    """`struct merge` of pointwise.c, field by field."""

    _fields_ = fields(("batch", "height", "width", "channels", "is_half", "parts"), ("coarse", "fine", "packed", "out"))


def merge_c(
    coarse: Float[Tensor, "b c4 h w"],
    fine: Float[Tensor, "b c h2 w2"],
    weight: Float[Tensor, "c c2"],
    *,
    half: bool = False,
) -> Float[Tensor, "b c h2 w2"]:
    """`merge` of merge.py, compiled; float32 on the CPU, without gradient.

    coarse : may be bfloat16, as mixed precision leaves it
    half : round the factors to bfloat16, where the processor can
    """
    b, c4, h, w = coarse.shape
    c = c4 // 4
    if fine.shape != (b, c, 2 * h, 2 * w) or c4 % 4 or weight.shape != (c, 2 * c):
        came = f"{tuple(fine.shape)} and weights {tuple(weight.shape)}"
        raise ValueError(f"{came} do not fit coarser features {tuple(coarse.shape)}")
    check_plain(fine=fine, weight=weight)
    if coarse.dtype != torch.bfloat16:
        check_plain(coarse=coarse)
    check_no_gradient(coarse, fine, weight)
    coarse, fine = channels_last(coarse), channels_last(fine)
    parts = parts_of(load(), weight.shape[1], half=half)
    out = torch.empty_like(fine)
    if not out.numel():
        return out
    packed = pack_c(load(), weight, parts)
    is_half = coarse.dtype == torch.bfloat16
    arguments = _Merge(batch=b, height=h, width=w, channels=c, is_half=is_half, parts=parts)
    arguments.point(coarse=coarse, fine=fine, packed=packed, out=out)
    load().run("merge", arguments)
    return out
