"""The blocks of the liftings, and the gated feed-forward network, as ONNX nodes."""

from __future__ import annotations

from dataclasses import replace

from dgno.export.graph import Graph, Map, Size, Value
from dgno.export.layers import added, channel_norm, convolution, convolve, pointwise
from dgno.export.scan import attentive_scan
from dgno.networks.blocks import GatedFeedForward
from dgno.networks.mamba_block import MambaBlock
from dgno.networks.naf_block import NAFBlock, SimplifiedChannelAttention
from dgno.networks.restormer_block import RestormerBlock, TransposedAttention


def feed_forward(g: Graph, m: GatedFeedForward, x: Map) -> Map:
    """project(GELU(first half) * second half)."""
    y = pointwise(g, m.project_in, x)
    y = convolution(g, m.depthwise, y)
    first, second = g.split(y.value, 1, y.c // 2, y.c // 2)
    return pointwise(g, m.project_out, replace(y, value=g.op("Mul", g.gelu(first), second), c=y.c // 2))


def mamba_block(g: Graph, m: MambaBlock, x: Map) -> Map:
    """x + scan(norm(x)), then x + feed_forward(norm(x))."""
    with g.inside("scan"):
        x = added(g, x, attentive_scan(g, m.scan, channel_norm(g, m.norm1, x), m.prompt_basis))
    with g.inside("feed_forward"):
        return added(g, x, feed_forward(g, m.feed_forward, channel_norm(g, m.norm2, x)))


def naf_block(g: Graph, m: NAFBlock, x: Map) -> Map:
    """x + beta * attention(gate(depthwise(norm(x)))), then x + gamma * gate(norm(x)), 1x1 convolutions between."""
    y = convolution(g, m.depthwise, pointwise(g, m.project_in, channel_norm(g, m.norm1, x)))
    y = pointwise(g, m.project_out, channel_attention(g, m.attention, simple_gate(g, y)))
    x = added(g, x, replace(y, value=g.op("Mul", y.value, g.weight(m.beta, "beta"))))
    y = simple_gate(g, pointwise(g, m.expand, channel_norm(g, m.norm2, x)))
    y = pointwise(g, m.contract, y)
    return added(g, x, replace(y, value=g.op("Mul", y.value, g.weight(m.gamma, "gamma"))))


def simple_gate(g: Graph, x: Map) -> Map:
    """First half * second half of the channels."""
    first, second = g.split(x.value, 1, x.c // 2, x.c // 2)
    return replace(x, value=g.op("Mul", first, second), c=x.c // 2)


def channel_attention(g: Graph, m: SimplifiedChannelAttention, x: Map) -> Map:
    """x * W mean(x), the mean over the map or over squares of it."""
    if m.block is None:
        pooled = replace(x, value=g.op("GlobalAveragePool", x.value), h=1, w=1)
        return replace(x, value=g.op("Mul", x.value, pointwise(g, m.weigh, pooled).value))
    rows, columns = g.over(x.h, m.block), g.over(x.w, m.block)
    mean = g.op("AveragePool", x.value, kernel_shape=[m.block] * 2, strides=[m.block] * 2)
    weights = pointwise(g, m.weigh, replace(x, value=mean, h=rows, w=columns))
    squares = g.reshape(x.value, x.b, x.c, rows, m.block, columns, m.block)
    weighed = g.op("Mul", squares, g.unsqueeze(weights.value, 3, 5))
    return replace(x, value=g.reshape(weighed, x.b, x.c, x.h, x.w))


def restormer_block(g: Graph, m: RestormerBlock, x: Map) -> Map:
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""
    with g.inside("attention"):
        x = added(g, x, transposed_attention(g, m.attention, channel_norm(g, m.norm1, x)))
    with g.inside("feed_forward"):
        return added(g, x, feed_forward(g, m.feed_forward, channel_norm(g, m.norm2, x)))


def transposed_attention(g: Graph, m: TransposedAttention, x: Map) -> Map:
    """V softmax(t K Q) over the channels of a head; queries and keys have length 1 over the pixels."""
    qkv = convolve(g, pointwise(g, m.qkv, x).value, m.depthwise.weight, m.depthwise.bias, padding=1, groups=3 * x.c)
    q, k, v = (heads(g, part, x, m) for part in g.split(qkv, 1, x.c, x.c, x.c))  # (..., heads, d, tokens)
    q, k = unit_length(g, q), unit_length(g, k)
    products = g.op("MatMul", q, g.transpose(k, 0, 1, 2, 3, 5, 4))  # (..., heads, d, d)
    weights = g.op("Softmax", g.op("Mul", products, g.weight(m.temperature, "temperature")), axis=-1)
    y = g.op("MatMul", weights, v)
    rows, columns, height, width = _squares(g, x, m.block)
    parts = g.reshape(y, x.b, rows, columns, x.c, height, width)
    y = g.reshape(g.transpose(parts, 0, 3, 1, 4, 2, 5), x.b, x.c, x.h, x.w)
    return pointwise(g, m.project_out, replace(x, value=y))


def heads(g: Graph, value: Value, x: Map, m: TransposedAttention) -> Value:
    """(b, c, h, w) -> (b, rows, columns, heads, d, tokens)."""
    rows, columns, height, width = _squares(g, x, m.block)
    parts = g.transpose(g.reshape(value, x.b, x.c, rows, height, columns, width), 0, 2, 4, 1, 3, 5)
    return g.reshape(parts, x.b, rows, columns, m.heads, x.c // m.heads, g.times(height, width))


def unit_length(g: Graph, x: Value) -> Value:
    """x / max(|x|, 1e-12) over the last axis."""
    length = g.op("ReduceL2", x, g.integers(-1), keepdims=1)
    return g.op("Div", x, g.op("Max", length, g.number(1e-12)))


def _squares(g: Graph, x: Map, block: int | None) -> tuple[Size, Size, Size, Size]:
    """How many rows and columns of squares there are, and their height and width."""
    return (1, 1, x.h, x.w) if block is None else (g.over(x.h, block), g.over(x.w, block), block, block)
