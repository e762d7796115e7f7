"""The programs of `dg_operator_triton.py`, each for one element and a few heads.

Tiles are (tokens, heads, d): as in channels-last memory, the channels of a head side by side, padded to a power of two
with zeros. Products over d run as a loop over the d rows of an operator,

    K[i, :] = sum over the tokens of k_i v          out = sum over i of q_i K[i, :]
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

EPSILON = tl.constexpr(1e-5)  # beside the standard deviation


@triton.jit
@no_type_check
def _element(rows, columns, ph, pw):
    """The first row of pixels of a program's element in a (b h, w) map, and its first column."""
    element = tl.program_id(0)  # (image * rows + row) * columns + column
    return (element // columns).to(tl.int64) * ph, element % columns * pw


@triton.jit
@no_type_check
def _tile(pixel, head, lane, stride, heads, d, is_token):
    """Offsets of (tokens, heads, d) channels, `stride` from pixel to pixel, and which of them exist."""
    at = pixel[:, None, None] * stride + head[None, :, None] * d + lane[None, None, :]
    return at, is_token[:, None, None] & (head < heads)[None, :, None] & (lane < d)[None, None, :]


@triton.jit
@no_type_check
def _part(tile, lane, i):
    """Channel i of every head: (tokens, heads) of (tokens, heads, d)."""
    return tl.sum(tl.where(lane[None, None, :] == i, tile, 0.0), 2)


@triton.jit
@no_type_check
def _centre(x, exists, d):
    return tl.where(exists, x - (tl.sum(x, 2) / d)[:, :, None], 0.0)


@triton.jit
@no_type_check
def _deviation(centred, d):
    return tl.sqrt(tl.sum(centred * centred, 2) / (d - 1))[:, :, None]


@triton.jit
@no_type_check
def _operator_row(operator, head, lane, i, heads, d):
    """Offsets of row i of the operators (heads, d, d) from number `operator` on, and which entries exist."""
    at = ((operator + head[:, None]) * d + i) * d + lane[None, :]
    return at, (head < tl.where(i < d, heads, 0))[:, None] & (lane < d)[None, :]


@triton.jit
@no_type_check
def _operator_column(operator, head, lane, i, heads, d):
    """The same of column i."""
    at = ((operator + head[:, None]) * d + lane[None, :]) * d + i
    return at, (head < tl.where(i < d, heads, 0))[:, None] & (lane < d)[None, :]


@triton.jit
@no_type_check
def _norm_entry(index, head, lane, heads, d):
    """Offsets of weights (heads, d) in norm number `index` of (..., 2, heads, d); biases follow heads * d later."""
    at = (index * 2 * heads + head[:, None]) * d + lane[None, :]
    return at, (head < heads)[:, None] & (lane < d)[None, :]


@triton.jit
@no_type_check
def _norm(norm, head, lane, heads, d):
    """Weight and bias, (heads, d) each."""
    at, exists = _norm_entry(0, head, lane, heads, d)
    weight = tl.load(norm + at, exists, 0.0).to(tl.float32)
    return weight, tl.load(norm + heads * d + at, exists, 0.0).to(tl.float32)


@triton.jit
@no_type_check
def _normalise(x, exists, weight, bias, d):
    """w (x - mean) / (std + 1e-5) + b at every token, 0 where nothing exists."""
    centred = _centre(x, exists, d)
    return tl.where(exists, weight[None] * centred / (_deviation(centred, d) + EPSILON) + bias[None], 0.0)


@triton.jit
@no_type_check
def _normalise_backward(x, exists, weight, g, d):
    """Gradients of `_normalise` at x, and at weight and bias by every token, from g at its result."""
    centred = _centre(x, exists, d)
    s = _deviation(centred, d)
    scale = 1 / (s + EPSILON)
    slope = g * weight[None] * scale
    through_s = tl.where(s > 0, tl.sum(slope * centred, 2)[:, :, None] * scale / (tl.where(s > 0, s, 1) * (d - 1)), 0.0)
    return _centre(slope - centred * through_s, exists, d), g * centred * scale, g


@triton.jit
@no_type_check
def contract(
    x, y, x_norm, y_norm, K, stride, rows, columns, ph, pw, heads, d,
    NORMALISED: tl.constexpr, TOKENS: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """K = x^T y over the tokens of an element, or of one of its sides; if normalised, divided by their number."""
    top, left = _element(rows, columns, ph, pw)
    head, lane = tl.program_id(1) * HEADS + tl.arange(0, HEADS), tl.arange(0, D)
    part = tl.program_id(2)  # 0: the whole element; 1 to 4: its left, right, top and bottom
    height, width = tl.where(part >= 3, 1, ph), tl.where((part == 1) | (part == 2), 1, pw)
    top, left = top + tl.where(part == 4, ph - 1, 0), left + tl.where(part == 2, pw - 1, 0)
    if NORMALISED:
        x_weight, x_bias = _norm(x_norm, head, lane, heads, d)
        y_weight, y_bias = _norm(y_norm, head, lane, heads, d)

    products = ()  # x_i y of every token, for every i
    for _i in tl.static_range(D):
        products += (tl.zeros([TOKENS, HEADS, D], tl.float32),)
    for first in range(0, height * width, TOKENS):
        token = first + tl.arange(0, TOKENS)
        pixel = (top + token // width) * (columns * pw) + left + token % width
        at, exists = _tile(pixel, head, lane, stride, heads, d, token < height * width)
        x_ = tl.load(x + at, exists, 0.0).to(tl.float32)
        y_ = tl.load(y + at, exists, 0.0).to(tl.float32)
        if NORMALISED:
            x_ = _normalise(x_, exists, x_weight, x_bias, d)
            y_ = _normalise(y_, exists, y_weight, y_bias, d)
        more = ()
        for i in tl.static_range(D):
            more += (products[i] + _part(x_, lane, i)[:, :, None] * y_,)
        products = more

    operator = (part * tl.num_programs(0) + tl.program_id(0)).to(tl.int64) * heads
    for i in tl.static_range(D):
        at, exists = _operator_row(operator, head, lane, i, heads, d)
        row = tl.sum(products[i], 0)
        tl.store(K + at, row / (height * width) if NORMALISED else row, exists)


@triton.jit
@no_type_check
def apply(
    q, K, onto, out, stride, rows, columns, ph, pw, heads, d,
    TRANSPOSED: tl.constexpr, TOKENS: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """out = q K, or q K^T, at every token of an element; `onto` is added if given."""
    top, left = _element(rows, columns, ph, pw)
    head, lane = tl.program_id(1) * HEADS + tl.arange(0, HEADS), tl.arange(0, D)
    operator = tl.program_id(0).to(tl.int64) * heads
    for first in range(0, ph * pw, TOKENS):
        token = first + tl.arange(0, TOKENS)
        pixel = (top + token // pw) * (columns * pw) + left + token % pw
        at, exists = _tile(pixel, head, lane, stride, heads, d, token < ph * pw)
        q_ = tl.load(q + at, exists, 0.0).to(tl.float32)
        out_ = tl.zeros([TOKENS, HEADS, D], tl.float32)
        if onto is not None:
            out_ += tl.load(onto + at, exists, 0.0).to(tl.float32)
        for i in tl.static_range(D):
            if TRANSPOSED:
                where, is_entry = _operator_column(operator, head, lane, i, heads, d)
            else:
                where, is_entry = _operator_row(operator, head, lane, i, heads, d)
            K_i = tl.load(K + where, is_entry, 0.0).to(tl.float32)
            out_ += _part(q_, lane, i)[:, :, None] * K_i[None]
        tl.store(out + at, out_, exists)


@triton.jit
@no_type_check
def integrate_backward(
    k, v, k_norm, v_norm, gvolume, gsides, gk, gv, gk_norm, gv_norm, stride, rows, columns, ph, pw, heads, d,
    TOKENS: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """Gradients of `contract`, normalised, at k and v, and at the norms by every element."""
    top, left = _element(rows, columns, ph, pw)
    head, lane = tl.program_id(1) * HEADS + tl.arange(0, HEADS), tl.arange(0, D)
    element, elements = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    k_weight, k_bias = _norm(k_norm, head, lane, heads, d)
    v_weight, v_bias = _norm(v_norm, head, lane, heads, d)
    gk_weight, gk_bias = tl.zeros([TOKENS, HEADS, D], tl.float32), tl.zeros([TOKENS, HEADS, D], tl.float32)
    gv_weight, gv_bias = tl.zeros([TOKENS, HEADS, D], tl.float32), tl.zeros([TOKENS, HEADS, D], tl.float32)
    for first in range(0, ph * pw, TOKENS):
        token = first + tl.arange(0, TOKENS)
        y, x = token // pw, token % pw
        pixel = (top + y) * (columns * pw) + left + x
        at, exists = _tile(pixel, head, lane, stride, heads, d, token < ph * pw)
        k_raw = tl.load(k + at, exists, 0.0).to(tl.float32)
        v_raw = tl.load(v + at, exists, 0.0).to(tl.float32)
        k_ = _normalise(k_raw, exists, k_weight, k_bias, d)
        v_ = _normalise(v_raw, exists, v_weight, v_bias, d)

        gk_, gv_ = tl.zeros([TOKENS, HEADS, D], tl.float32), tl.zeros([TOKENS, HEADS, D], tl.float32)
        for i in tl.static_range(D):
            where, is_entry = _operator_row(element * heads, head, lane, i, heads, d)
            g = (tl.load(gvolume + where, is_entry, 0.0) / (ph * pw))[None]  # at k_i v_j of every token
            if gsides is not None:
                for side in tl.static_range(4):
                    where, is_entry = _operator_row((side * elements + element) * heads, head, lane, i, heads, d)
                    g_side = tl.load(gsides + where, is_entry, 0.0)
                    line, place = (x if side < 2 else y), (0 if side % 2 == 0 else (pw if side < 2 else ph) - 1)
                    touches = tl.where(line == place, 1 / (ph if side < 2 else pw), 0.0)
                    g = g + touches[:, None, None] * g_side[None]
            gk_ = tl.where(lane[None, None, :] == i, tl.sum(g * v_, 2)[:, :, None], gk_)
            gv_ += _part(k_, lane, i)[:, :, None] * g

        gk_raw, by_weight, by_bias = _normalise_backward(k_raw, exists, k_weight, gk_, d)
        gk_weight, gk_bias = gk_weight + by_weight, gk_bias + by_bias
        tl.store(gk + at, gk_raw, exists)
        gv_raw, by_weight, by_bias = _normalise_backward(v_raw, exists, v_weight, gv_, d)
        gv_weight, gv_bias = gv_weight + by_weight, gv_bias + by_bias
        tl.store(gv + at, gv_raw, exists)

    at, exists = _norm_entry(element, head, lane, heads, d)
    tl.store(gk_norm + at, tl.sum(gk_weight, 0), exists)
    tl.store(gk_norm + at + heads * d, tl.sum(gk_bias, 0), exists)
    tl.store(gv_norm + at, tl.sum(gv_weight, 0), exists)
    tl.store(gv_norm + at + heads * d, tl.sum(gv_bias, 0), exists)
