"""The operator layer in C, in two passes over the map; the fast twin of `dg_layer.py`, same signatures.

Part of the library of `dg_operator_c.py`. It computes in float32 on channels-last maps and has no gradient: networks in
training go through the layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dgno.kernels.compiled import Arguments, channels_last, check_no_gradient, check_plain, check_shapes, fields
from dgno.kernels.dg_layer import LayerWeights
from dgno.kernels.dg_operator import Map, Operators, Sides
from dgno.kernels.dg_operator_c import as_in_c, load, new_operators
from dgno.kernels.packing import pad_outputs
from dgno.kernels.packing_c import pack_c
from dgno.kernels.products import parts_of

TILE_FLOATS = 3072  # of one row of a tile of z: with keys and values a tile fits the second cache level
LARGEST_SIDE = 16  # px of an element; tiles of larger ones would leave it


class _Layer(Arguments):
    """`struct dg_layer` of dg_operator.c, field by field."""

    _fields_ = fields(
        ("batch", "rows", "columns", "side", "heads", "width", "tile", "parts"),
        (
            *("z", "key_norm", "value_norm", "project_kv", "kv_bias", "project_q", "q_bias", "mlp_in", "mlp_in_bias"),
            *("mlp_out", "mlp_out_bias", "volume", "sides", "operators", "out"),
        ),
    )


def integrate_layer_c(
    z: Map, weights: LayerWeights, side: int, sides: bool, *, half: bool = False
) -> tuple[Operators, Sides | None]:
    """`integrate_layer` of dg_layer.py, compiled; float32 on the CPU, without gradient.

    half : round the factors of the linear maps to bfloat16, where the processor can; the integrals stay in float32
    """
    arguments = _checked(z, weights, side)
    parts = parts_of(load(), z.shape[1], half=half)
    arguments.parts = parts
    (_, heads, d), lanes, z = weights.key_norm.shape, load().lanes(), channels_last(z)
    shape = (arguments.batch, arguments.rows, arguments.columns, heads, d, d)
    volume, volume_view = new_operators(z, *shape)
    side_operators, side_view = new_operators(z, 4, *shape) if sides else (None, None)
    c = z.shape[1]
    held = {
        "key_norm": weights.key_norm.detach().contiguous(),
        "value_norm": weights.value_norm.detach().contiguous(),
        "project_kv": pack_c(load(), weights.qkv[c:], parts),
        "kv_bias": pad_outputs(weights.qkv_bias[c:].detach(), lanes).contiguous(),
    }
    arguments.point(z=z, volume=volume, sides=side_operators, **held)
    load().run("dg_layer_integrate", arguments)
    return volume_view, side_view


def apply_layer_c(z: Map, operators: Operators, weights: LayerWeights, *, half: bool = False) -> Map:
    """`apply_layer` of dg_layer.py, compiled; float32 on the CPU, without gradient; half as above."""
    parts = parts_of(load(), z.shape[1], half=half)
    b, rows, columns, heads, d, _ = operators.shape
    if z.shape[0] != b or z.shape[1] != heads * d or not rows or z.shape[2] % rows:
        raise ValueError(f"operators {tuple(operators.shape)} do not fit a map {tuple(z.shape)}")
    side = z.shape[2] // rows
    if operators.shape != (b, rows, columns, *weights.key_norm.shape[1:], d) or z.shape[3] != columns * side:
        raise ValueError(f"operators {tuple(operators.shape)} do not fit a map {tuple(z.shape)}")
    check_plain(operators=operators)
    check_no_gradient(operators)
    arguments, lanes, z, c = _checked(z, weights, side), load().lanes(), channels_last(z), z.shape[1]
    out = torch.empty_like(z)
    held = {
        "operators": as_in_c(operators),
        "project_q": pack_c(load(), weights.qkv[:c], parts),
        "q_bias": pad_outputs(weights.qkv_bias[:c].detach(), lanes).contiguous(),
        "mlp_in": pack_c(load(), weights.mlp_in, parts),
        "mlp_in_bias": pad_outputs(weights.mlp_in_bias.detach(), lanes).contiguous(),
        "mlp_out": pack_c(load(), weights.mlp_out, parts),
        "mlp_out_bias": pad_outputs(weights.mlp_out_bias.detach(), lanes).contiguous(),
    }
    arguments.parts = parts
    arguments.point(z=z, out=out, **held)
    load().run("dg_layer_apply", arguments)
    return out


def _checked(z: Tensor, weights: LayerWeights, side: int) -> _Layer:
    """The sizes for the C code, which believes them."""
    check_plain(z=z, **weights._asdict())
    check_no_gradient(z, *weights)
    (b, c, h, w), (_, heads, d) = z.shape, weights.key_norm.shape
    wanted = ((3 * c, c), (3 * c,), (2, heads, d), (2, heads, d), (c, c), (c,), (c, c), (c,))
    check_shapes(weights._asdict(), wanted, f"{c} channels")
    if c != heads * d or c < load().lanes() or not load().has_width(d):
        raise ValueError(f"the compiled layer has no version for {c} channels in {heads} heads of {d}")
    if not 0 < side <= LARGEST_SIDE or h % side or w % side:
        raise ValueError(f"a map of {h} x {w} px cannot be cut into elements of {side} px, at most {LARGEST_SIDE}")
    tile = max(1, min(w // side, TILE_FLOATS // (c * side)))
    return _Layer(batch=b, rows=h // side, columns=w // side, side=side, heads=heads, width=d, tile=tile)
