"""The DG operator's two products over tokens, in plain tensor code: the reference for every faster version.

An element is a block of ph x pw pixels; its tokens run in raster order; head h owns the channels [h d, (h + 1) d).
The fast twin in C with the same signatures is `dg_operator_c.py`; `backends.py` chooses.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Map = Float[Tensor, "b c h w"]
Tokens = Float[Tensor, "b rows columns heads ph pw d"]
Operators = Float[Tensor, "b rows columns heads d d"]
Sides = Float[Tensor, "4 b rows columns heads d d"]


def split(x: Map, size: tuple[int, int], heads: int) -> Tokens:
    """Cut a map into elements of `size` (height, width; px), both dividing the plane, and its channels into heads."""
    (b, c, h, w), (ph, pw) = x.shape, size
    x = x.reshape(b, heads, c // heads, h // ph, ph, w // pw, pw)
    return x.permute(0, 3, 5, 1, 4, 6, 2)


def join(tokens: Tokens) -> Map:
    """The inverse of `split`."""
    b, rows, columns, heads, ph, pw, d = tokens.shape
    return tokens.permute(0, 3, 6, 1, 4, 2, 5).reshape(b, heads * d, rows * ph, columns * pw)


def normalise(t: Tokens, norm: Float[Tensor, "2 heads d"]) -> Tokens:
    """w (t - mean) / (std + 1e-5) + b over the channels of one head at one token; std is unbiased (d - 1)."""
    weight, bias = norm[:, :, None, None]
    centred = t - t.mean(-1, keepdim=True)
    variance = centred.square().sum(-1, keepdim=True) / (t.shape[-1] - 1)
    std = variance.clamp_min(1e-30).sqrt()  # torch.std is ten times slower on such short rows
    return weight * centred / (std + 1e-5) + bias


def contract(k: Float[Tensor, "*grid ph pw d"], v: Float[Tensor, "*grid ph pw d"]) -> Float[Tensor, "*grid d d"]:
    """k^T v over the tokens, divided by their number."""
    k, v = k.flatten(-3, -2), v.flatten(-3, -2)
    return k.mT @ v / k.shape[-2]


def integrate(
    kv: Float[Tensor, "b c2 h w"],
    key_norm: Float[Tensor, "2 heads d"],
    value_norm: Float[Tensor, "2 heads d"],
    size: tuple[int, int],
    sides: bool,
) -> tuple[Operators, Sides | None]:
    """Kernel integrals of the normalised keys and values: over every element, and if asked over its four sides.

    kv : keys in the first half of the channels, values in the second
    key_norm, value_norm : weight and bias of the normalisation, per head and channel
    Returns k^T v / (ph pw) (DGNO paper, Eq. 11), and for the sides left, right, top, bottom k_s^T v_s / p over the p
    tokens of the outermost column or row (Eq. 14).
    """
    heads = key_norm.shape[1]
    k, v = (split(t, size, heads) for t in kv.chunk(2, dim=1))
    k, v = normalise(k, key_norm), normalise(v, value_norm)
    if not sides:
        return contract(k, v), None
    left, right = (..., slice(None), slice(0, 1), slice(None)), (..., slice(None), slice(-1, None), slice(None))
    top, bottom = (..., slice(0, 1), slice(None), slice(None)), (..., slice(-1, None), slice(None), slice(None))
    return contract(k, v), torch.stack([contract(k[side], v[side]) for side in (left, right, top, bottom)])


def apply(q: Map, operators: Operators, onto: Map | None = None) -> Map:
    """q K at every token, K the operator of its element and head (DGNO paper, Eq. 16); `onto` is added if given."""
    rows, columns, heads = operators.shape[1:4]
    tokens = split(q, (q.shape[2] // rows, q.shape[3] // columns), heads)
    out = join((tokens.flatten(-3, -2) @ operators).unflatten(-2, tokens.shape[4:6]))
    return out if onto is None else out + onto
