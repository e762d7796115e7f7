"""Layers of PyTorch, and the plain ones of ours, as ONNX nodes: feature map in, feature map out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from dgno.errors import NotExportable
from dgno.export.graph import Graph, Map, Value
from dgno.networks.blocks import ChannelNorm, Convolution, Downsample, Upsample
from dgno.networks.lifting import ImageConvolution, InstanceNorm
from dgno.operators.pointwise import Pointwise

Layer = Callable[[Graph, Any, Map], Map]  # Any: a module of the kind that the layer is listed for


def convolution(g: Graph, m: nn.Conv2d, x: Map) -> Map:
    """A convolution of any kernel, stride, padding, dilation and number of groups."""
    assert not isinstance(m.padding, str)
    y = convolve(g, x.value, m.weight, m.bias, stride=m.stride[0], padding=m.padding[0], dilation=m.dilation[0],
                 groups=m.groups)  # fmt: skip
    return Map(y, x.b, m.out_channels, g.over(x.h, m.stride[0]), g.over(x.w, m.stride[1]))


def convolve(
    g: Graph, x: Value, weight: Tensor, bias: Tensor | None, *, stride: int = 1, padding: int = 0, dilation: int = 1,
    groups: int = 1,
) -> Value:  # fmt: skip
    """Convolution of (b, c, h, w) with (o, c / groups, k, k)."""
    inputs = [x, g.weight(weight)] + ([] if bias is None else [g.weight(bias, "bias")])
    sides = {"kernel_shape": list(weight.shape[2:]), "pads": [padding] * 4}
    return g.op("Conv", *inputs, strides=[stride] * 2, dilations=[dilation] * 2, group=groups, **sides)


def transposed_convolution(g: Graph, m: nn.ConvTranspose2d, x: Map) -> Map:
    inputs = [x.value, g.weight(m.weight)] + ([] if m.bias is None else [g.weight(m.bias, "bias")])
    pads, stride = [m.padding[0]] * 4, m.stride[0]
    assert not isinstance(m.padding, str)
    y = g.op(
        "ConvTranspose", *inputs, strides=[stride] * 2, pads=pads, output_padding=list(m.output_padding)[:2],
        kernel_shape=list(m.kernel_size),
    )  # fmt: skip
    return Map(y, x.b, m.out_channels, g.times(x.h, stride), g.times(x.w, stride))


def pointwise(g: Graph, m: nn.Linear, x: Map) -> Map:
    """The same linear map at every pixel, as a 1x1 convolution."""
    return replace(x, value=convolve(g, x.value, m.weight[:, :, None, None], m.bias), c=m.out_features)


def channel_norm(g: Graph, m: ChannelNorm, x: Map) -> Map:
    """Layer norm over the channels of each pixel."""
    pixels = g.last_axis_norm(g.transpose(x.value, 0, 2, 3, 1), m.weight, m.bias)
    return replace(x, value=g.transpose(pixels, 0, 3, 1, 2))


def instance_norm(g: Graph, m: InstanceNorm, x: Map) -> Map:
    y = g.op("InstanceNormalization", x.value, g.weight(m.weight), g.weight(m.bias, "bias"), epsilon=m.eps)
    return replace(x, value=y)


def pixels_to_channels(g: Graph, m: nn.PixelUnshuffle, x: Map) -> Map:
    """(b, c, h, w) -> (b, c r^2, h/r, w/r), the channels of one channel side by side."""
    r = m.downscale_factor
    h, w = g.over(x.h, r), g.over(x.w, r)
    cut = g.transpose(g.reshape(x.value, x.b, x.c, h, r, w, r), 0, 1, 3, 5, 2, 4)
    return Map(g.reshape(cut, x.b, x.c * r * r, h, w), x.b, x.c * r * r, h, w)


def channels_to_pixels(g: Graph, m: nn.PixelShuffle, x: Map) -> Map:
    """The inverse of `pixels_to_channels`."""
    r = m.upscale_factor
    y = g.op("DepthToSpace", x.value, blocksize=r, mode="CRD")
    return Map(y, x.b, x.c // r**2, g.times(x.h, r), g.times(x.w, r))


def sequence(g: Graph, m: nn.Sequential, x: Map) -> Map:
    """One layer after the other."""
    for name, module in m.named_children():
        with g.inside(name):
            x = layer(g, module, x)
    return x


def every_other_pixel(g: Graph, x: Map) -> Map:
    """Nearest down-sampling by 2 of a map whose sides are even."""
    y = x.value
    for axis in (2, 3):
        y = g.slice(y, axis, 0, 2**62, 2)
    return Map(y, x.b, x.c, g.over(x.h, 2), g.over(x.w, 2))


def added(g: Graph, x: Map, y: Map) -> Map:
    return replace(x, value=g.op("Add", x.value, y.value))


def joined(g: Graph, x: Map, y: Map) -> Map:
    """The channels of both."""
    return replace(x, value=g.op("Concat", x.value, y.value, axis=1), c=x.c + y.c)


LAYERS: dict[type[nn.Module], Layer] = {
    nn.Conv2d: convolution,
    Convolution: convolution,
    ImageConvolution: convolution,
    nn.ConvTranspose2d: transposed_convolution,
    Pointwise: pointwise,
    ChannelNorm: channel_norm,
    InstanceNorm: instance_norm,
    nn.GELU: lambda g, m, x: replace(x, value=g.gelu(x.value)),
    nn.ReLU: lambda g, m, x: replace(x, value=g.op("Relu", x.value)),
    nn.Identity: lambda g, m, x: x,
    nn.PixelUnshuffle: pixels_to_channels,
    nn.PixelShuffle: channels_to_pixels,
    nn.Sequential: sequence,
    Downsample: sequence,
    Upsample: sequence,
}


def layer(g: Graph, m: nn.Module, x: Map) -> Map:
    """A layer of a kind that is listed."""
    if type(m) not in LAYERS:
        known = ", ".join(kind.__name__ for kind in LAYERS)
        raise NotExportable(f"a layer of the kind {type(m).__name__} has no ONNX form here", hint=f"known: {known}")
    return LAYERS[type(m)](g, m, x)
