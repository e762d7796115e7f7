"""The DG operator layer as ONNX nodes: `operators/dg.py` says what it computes.

Operators are (b, rows, columns, heads, d, d) here as there. Tokens are the last axis of keys, values and queries, so
that all sums and products run along memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from dgno.errors import NotExportable
from dgno.export.graph import Graph, Map, Size, Value
from dgno.export.layers import convolve, sequence
from dgno.operators.assembly import COLUMNS, ROWS, PaperAssembly, ReleasedAssembly
from dgno.operators.boundary import Boundary, Dirichlet, Neumann, Periodic
from dgno.operators.dg import DGOperator
from dgno.operators.fluxes import AverageJump, Central, Jump, Upwind, mean_entry
from dgno.operators.galerkin import HeadNorm, face_traces


class Traces(NamedTuple):
    """The operators of every element as its four faces see them."""

    left: Value
    right: Value
    top: Value
    bottom: Value


def dg_operator(g: Graph, m: DGOperator, z: Map) -> Map:
    """z -> mlp(q K + z) + z."""
    dim, heads = z.c, m.key_norm.weight.shape[0]
    d = dim // heads
    size: tuple[Size, Size] = (m.element_size, m.element_size) if m.element_size else (z.h, z.w)
    rows: Size = g.over(z.h, m.element_size) if m.element_size else 1
    columns: Size = g.over(z.w, m.element_size) if m.element_size else 1
    tokens = g.times(*size)

    def elements(x: Value) -> Value:  # (b, heads d, h, w) -> (b, rows, columns, heads, d, ph, pw)
        parts = g.reshape(x, z.b, dim, rows, size[0], columns, size[1])
        return g.reshape(g.transpose(parts, 0, 2, 4, 1, 3, 5), z.b, rows, columns, heads, d, *size)

    def flat(x: Value) -> Value:
        return g.reshape(x, z.b, rows, columns, heads, d, tokens)

    qkv = convolve(g, z.value, m.qkv.weight[:, :, None, None], m.qkv.bias)
    q, k, v = g.split(qkv, 1, dim, dim, dim)
    k = elements(normalised(g, k, m.key_norm, z))
    v = elements(normalised(g, v, m.value_norm, z))
    volume = contracted(g, flat(k), flat(v), tokens)
    K = volume
    if m.assembly is not None:
        if m.integral is face_traces:
            traces = Traces(*(side(g, k, v, axis, first) for axis in (6, 5) for first in (True, False)))
        else:
            traces = Traces(volume, volume, volume, volume)
        with g.inside("fluxes"):
            K = g.op("Add", volume, assembled(g, m.assembly, traces))
    qK = g.op("MatMul", g.transpose(K, 0, 1, 2, 3, 5, 4), flat(elements(q)))  # (q K)^T
    parts = g.reshape(qK, z.b, rows, columns, dim, *size)
    applied = g.reshape(g.transpose(parts, 0, 3, 1, 4, 2, 5), z.b, dim, z.h, z.w)
    y = sequence(g, m.mlp, replace(z, value=g.op("Add", applied, z.value)))
    return replace(z, value=g.op("Add", y.value, z.value))


def normalised(g: Graph, x: Value, norm: HeadNorm, z: Map) -> Value:
    """w (t - mean) / (std + 1e-5) + b over the channels of one head; std is unbiased. (b, c, h, w) -> the same."""
    heads, _, d = norm.weight.shape
    t = g.reshape(x, z.b, heads, d, g.times(z.h, z.w))
    centred = g.op("Sub", t, g.op("ReduceMean", t, g.integers(2), keepdims=1))
    squares = g.op("ReduceSum", g.op("Mul", centred, centred), g.integers(2), keepdims=1)
    variance = g.op("Mul", squares, g.number(1 / (d - 1)))
    std = g.op("Sqrt", g.op("Max", variance, g.number(1e-30)))
    scaled = g.op("Div", centred, g.op("Add", std, g.number(1e-5)))
    weight, bias = (g.weight(p[:, 0, :, None]) for p in (norm.weight, norm.bias))  # (heads, d, 1)
    return g.reshape(g.op("Add", g.op("Mul", scaled, weight), bias), z.b, z.c, z.h, z.w)


def contracted(g: Graph, k: Value, v: Value, tokens: Size) -> Value:
    """k^T v over the tokens, divided by their number; (..., d, tokens) each."""
    count = g.op("Cast", g.scalar(tokens), to=1)  # float
    return g.op("Div", g.op("MatMul", k, g.transpose(v, 0, 1, 2, 3, 5, 4)), count)


def side(g: Graph, k: Value, v: Value, axis: int, is_first: bool) -> Value:
    """The operator that one side of every element has: from its outermost column (axis 6) or row (axis 5)."""
    start, end = (0, 1) if is_first else (-1, 2**62)
    k, v = (g.op("Squeeze", g.slice(x, axis, start, end), g.integers(axis)) for x in (k, v))
    count = g.op("Cast", g.op("Gather", g.op("Shape", k), g.scalar(5)), to=1)
    return g.op("Div", g.op("MatMul", k, g.transpose(v, 0, 1, 2, 3, 5, 4)), count)


def flux(g: Graph, m: nn.Module, own: Value, neighbour: Value) -> Value:
    """The numerical flux of two sides of a face."""
    if isinstance(m, Central | AverageJump):
        average = g.op("Mul", g.op("Add", own, neighbour), g.number(0.5))
        return average if isinstance(m, Central) else g.op("Add", average, _jump(g, m.tau, own, neighbour))
    if isinstance(m, Jump):
        return _jump(g, m.tau, own, neighbour)
    if isinstance(m, Upwind):
        kind = "ReduceMean" if m.statistic is mean_entry else "ReduceL2"
        statistic = [g.op(kind, x, g.integers(-2, -1), keepdims=1) for x in (own, neighbour)]
        a = g.op("Sigmoid", g.op("Sub", *statistic))
        return g.op("Add", neighbour, g.op("Mul", a, g.op("Sub", own, neighbour)))
    raise NotExportable(f"a flux of the kind {type(m).__name__} has no ONNX form here")


def _jump(g: Graph, tau: Tensor, own: Value, neighbour: Value) -> Value:
    return g.op("Mul", g.weight(-tau, "tau"), g.op("Sub", own, neighbour))


def assembled(g: Graph, m: PaperAssembly | ReleasedAssembly, traces: Traces) -> Value:
    """Sum of the fluxes over the faces of every element."""
    if isinstance(m, PaperAssembly):
        return _paper(g, m, traces)
    along_rows = _released(g, m, COLUMNS, traces.left, traces.right)
    return g.op("Add", along_rows, _released(g, m, ROWS, traces.top, traces.bottom))


def _paper(g: Graph, m: PaperAssembly, traces: Traces) -> Value:
    """Every element sums F(own, neighbour) over its four faces."""
    left, right, top, bottom = traces
    neighbours = (
        _before(g, m.boundary, right, left, COLUMNS),
        _after(g, m.boundary, left, right, COLUMNS),
        _before(g, m.boundary, bottom, top, ROWS),
        _after(g, m.boundary, top, bottom, ROWS),
    )
    return g.op("Sum", *(flux(g, m.flux, own, nb) for own, nb in zip(traces, neighbours, strict=True)))


def _before(g: Graph, boundary: Boundary, theirs: Value, own: Value, axis: int) -> Value:
    """`theirs` of the previous element along the axis; for the first one the boundary's."""
    wall = _outside(g, boundary, g.slice(own, axis, 0, 1), g.slice(theirs, axis, -1, 2**62))
    return g.op("Concat", wall, g.slice(theirs, axis, 0, -1), axis=axis)


def _after(g: Graph, boundary: Boundary, theirs: Value, own: Value, axis: int) -> Value:
    """`theirs` of the next element along the axis; for the last one the boundary's."""
    wall = _outside(g, boundary, g.slice(own, axis, -1, 2**62), g.slice(theirs, axis, 0, 1))
    return g.op("Concat", g.slice(theirs, axis, 1, 2**62), wall, axis=axis)


def _outside(g: Graph, boundary: Boundary, own: Value, opposite: Value) -> Value:
    """The operator beyond a wall, convention `paper`."""
    if isinstance(boundary, Dirichlet):
        return own
    return opposite if isinstance(boundary, Periodic) else _zeros(g, own)


def _zeros(g: Graph, like: Value) -> Value:
    return g.op("ConstantOfShape", g.op("Shape", like))


def _released(g: Graph, m: ReleasedAssembly, axis: int, leading: Value, trailing: Value) -> Value:
    """Conservative: +f to the element before each interface, -f to the one after."""
    f = flux(g, m.flux, g.slice(leading, axis, 1, 2**62), g.slice(trailing, axis, 0, -1))
    first, last = g.slice(trailing, axis, 0, 1), g.slice(leading, axis, -1, 2**62)
    if isinstance(m.boundary, Neumann):
        at_first, at_last = _zeros(g, first), _zeros(g, last)
    elif isinstance(m.boundary, Dirichlet):
        at_first = g.op("Neg", flux(g, m.flux, _zeros(g, first), first))
        at_last = flux(g, m.flux, _zeros(g, last), last)
    else:
        at_first = at_last = flux(g, m.flux, first, last)
    added, taken = g.op("Concat", f, at_last, axis=axis), g.op("Concat", at_first, f, axis=axis)
    return g.op("Sub", added, taken)
