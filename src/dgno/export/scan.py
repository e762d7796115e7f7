"""The attentive scan as ONNX nodes: `networks/attentive_scan.py` says what it computes.

The scan is ONNX's own Scan operator. All sequences take a step at once, so many short ones (squares of the map) are
fast; the one long sequence of a whole image is cut into lines that take their steps side by side, twice: first to find
the state that enters each line. With one sequence of 65,536 tokens that took half the time, with 64 of 1,024 twice.

Sorting is by keys that no two pixels of a sequence share, class * length + position, since the order in which TopK
gives equal ones is not told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dgno.export.graph import Graph, Map, Size, Value
from dgno.export.layers import convolve, pointwise
from dgno.networks.attentive_scan import AttentiveScan, Routing, SelectiveScan


@dataclass(frozen=True)
class Squares:
    """How a map is cut into sequences: aligned squares of the same size, each in raster order.

    sequences : in all images; each has `lines` lines of `steps` tokens, in the order of the scan
    """

    rows: Size
    columns: Size
    height: Size
    width: Size
    sequences: Size
    lines: Size
    steps: Size


def cut(g: Graph, x: Map, block: int | None) -> Squares:
    """Squares of `block` px, or whole images."""
    if block is None:
        return Squares(1, 1, x.h, x.w, x.b, x.h, x.w)
    rows, columns = g.over(x.h, block), g.over(x.w, block)
    return Squares(rows, columns, block, block, g.times(x.b, rows, columns), 1, block * block)


def to_tokens(g: Graph, x: Map, s: Squares) -> Value:
    """(b, c, h, w) -> (sequences, lines steps, c)."""
    parts = g.reshape(x.value, x.b, x.c, s.rows, s.height, s.columns, s.width)
    return g.reshape(g.transpose(parts, 0, 2, 4, 3, 5, 1), s.sequences, g.times(s.lines, s.steps), x.c)


def to_map(g: Graph, tokens: Value, like: Map, s: Squares) -> Map:
    """The inverse of `to_tokens`."""
    parts = g.reshape(tokens, like.b, s.rows, s.columns, s.height, s.width, like.c)
    return replace(like, value=g.reshape(g.transpose(parts, 0, 5, 1, 3, 2, 4), like.b, like.c, like.h, like.w))


def attentive_scan(g: Graph, m: AttentiveScan, x: Map, prompt_basis: Tensor) -> Map:
    """Route, gate, sort, scan, un-sort; x has been normalised."""
    squares = cut(g, x, m.block)
    lines, steps = g.times(squares.sequences, squares.lines), squares.steps
    prompts = g.weight(m.prompt_codes @ prompt_basis, "prompts")
    with g.inside("routing"):
        classes = route(g, m.routing, to_tokens(g, x, squares))  # (sequences, lines steps)
    with g.inside("order"):
        sorted_classes, here, back = order(g, classes, squares)

    def stepwise(tokens: Value) -> Value:  # (sequences, lines steps) -> (steps, sequences lines)
        return g.transpose(g.reshape(tokens, lines, steps), 1, 0)

    y = pointwise(g, m.project_in, x)
    with g.inside("position"):
        assert m.position.bias is not None
        gate = convolve(g, y.value, m.position.weight, m.position.bias, padding=1, groups=y.c)
        y = replace(y, value=g.op("Mul", y.value, g.op("Sigmoid", gate)))
    rows = g.reshape(to_tokens(g, y, squares), g.times(lines, steps), y.c)
    u = g.op("Gather", rows, stepwise(here), axis=0)  # (steps, sequences lines, hidden)
    chosen = sorted_classes if m.prompt_sorted else classes
    prompt = g.op("Gather", prompts, stepwise(chosen), axis=0)  # (steps, sequences lines, n)
    with g.inside("scan"):
        y_scanned = selective_scan(g, m.scan, u, prompt, squares)

    y_scanned = g.last_axis_norm(y_scanned, m.norm.weight, m.norm.bias)
    y_scanned = g.linear(y_scanned, m.project_out.weight, m.project_out.bias)
    rows = g.reshape(y_scanned, g.times(lines, steps), x.c)
    return to_map(g, g.op("Gather", rows, back, axis=0), x, squares)


def route(g: Graph, m: Routing, tokens: Value) -> Value:
    """The class of every token: the best one."""
    hidden = g.gelu(g.linear(tokens, m.hidden.weight, m.hidden.bias))
    logits = g.op("LogSoftmax", g.linear(hidden, m.logits.weight, m.logits.bias), axis=-1)
    return g.op("ArgMax", logits, axis=-1, keepdims=0)


def order(g: Graph, classes: Value, s: Squares) -> tuple[Value, Value, Value]:
    """All (sequences, lines steps): the classes in order; which row of all tokens stands where; and the way back, the
    row of (steps, sequences lines) in which every token was scanned."""
    length = g.times(s.lines, s.steps)
    count, steps, positions = g.scalar(length), g.scalar(s.steps), g.counted(length)
    keys = g.op("Add", g.op("Mul", classes, count), positions)
    keys, _ = g.ops("TopK", keys, g.as_value(length), results=2, axis=1, largest=0, sorted=1)
    sorted_positions = g.op("Mod", keys, count)
    sequence = g.unsqueeze(g.counted(s.sequences), 1)
    here = g.op("Add", sorted_positions, g.op("Mul", sequence, count))

    line, step = g.op("Div", positions, steps), g.op("Mod", positions, steps)
    row_of_step = g.op("Mul", step, g.scalar(g.times(s.sequences, s.lines)))
    scanned = g.op("Add", g.op("Add", row_of_step, line), g.op("Mul", sequence, g.scalar(s.lines)))
    back = g.op("ScatterElements", scanned, sorted_positions, scanned, axis=1)
    return g.op("Div", keys, count), here, back


def selective_scan(g: Graph, m: SelectiveScan, u: Value, prompt: Value, s: Squares) -> Value:
    """The scan with its input-dependent parameters; u (steps, sequences lines, d), prompt (..., n)."""
    x_dbl = g.op("MatMul", u, g.weight(m.x_proj.weight.T))
    dt, B, C = g.split(x_dbl, 2, m.rank, m.states, m.states)
    delta = g.op("Softplus", g.linear(dt, m.dt_proj.weight, m.dt_proj.bias))
    inputs = [
        g.unsqueeze(delta, 2),  # (steps, sequences lines, 1, d)
        g.unsqueeze(g.op("Mul", delta, u), 2),
        g.unsqueeze(B, 3),  # (steps, sequences lines, n, 1)
    ]
    C = g.unsqueeze(g.op("Add", C, prompt), 2)  # (steps, sequences lines, 1, n)
    A = g.weight(-torch.exp(m.A_log).T, "A")  # (n, d)
    state: tuple[Size, ...] = (m.states, m.D.shape[0])

    def next_state(body: Graph, h: Value, delta_t: Value, du_t: Value, B_t: Value) -> Value:
        """exp(delta A) h + delta u B"""
        decayed = body.op("Mul", body.op("Exp", body.op("Mul", delta_t, A)), h)
        return body.op("Add", decayed, body.op("Mul", du_t, B_t))

    def step(body: Graph, h: Value, delta_t: Value, du_t: Value, B_t: Value, C_t: Value) -> list[Value]:
        h = next_state(body, h, delta_t, du_t, B_t)
        return [h, body.op("MatMul", C_t, h)]

    def silent_step(body: Graph, *values: Value) -> list[Value]:
        return [next_state(body, *values)]

    entering = zeros(g, g.times(s.sequences, s.lines), *state)
    if s.lines != 1:
        with g.inside("first"):
            body = g.body(["h", "delta", "delta_u", "B"], silent_step)
            left = g.op("Scan", entering, *inputs, body=body, num_scan_inputs=3)
            entering = handed_on(g, left, g.op("ReduceSum", delta, g.integers(0), keepdims=0), A, s, state)
    body = g.body(["h", "delta", "delta_u", "B", "C"], step)
    _, y = g.ops("Scan", entering, *inputs, C, results=2, body=body, num_scan_inputs=4)
    return g.op("Add", g.op("Squeeze", y, g.integers(2)), g.op("Mul", u, g.weight(m.D, "D")))


def handed_on(g: Graph, left: Value, delta: Value, A: Value, s: Squares, state: tuple[Size, ...]) -> Value:
    """The state that enters every line, from what each line leaves when it starts at zero and its sum of delta."""

    def by_lines(x: Value) -> Value:  # (sequences lines, n, d) -> (lines, sequences, n, d)
        return g.transpose(g.reshape(x, s.sequences, s.lines, *state), 1, 0, 2, 3)

    def line(body: Graph, h: Value, decay_t: Value, left_t: Value) -> list[Value]:
        return [body.op("Add", body.op("Mul", decay_t, h), left_t), body.op("Identity", h)]

    decay = g.op("Exp", g.op("Mul", g.unsqueeze(delta, 1), A))
    body = g.body(["h", "decay", "left"], line)
    start = zeros(g, s.sequences, *state)
    _, entering = g.ops("Scan", start, by_lines(decay), by_lines(left), results=2, body=body, num_scan_inputs=2)
    return g.reshape(g.transpose(entering, 1, 0, 2, 3), g.times(s.sequences, s.lines), *state)


def zeros(g: Graph, *sizes: Size) -> Value:
    return g.op("ConstantOfShape", g.op("Concat", *map(g.as_value, sizes), axis=0))
