"""Dense 3x3 convolutions in C behind an autograd function; the fast twin of `convolution.py`, same signature.

Winograd's F(2x2, 3x3) takes 16 multiplications where the definition has 36, in forward, backward and the gradient at
the weights. From very few inputs or to very few outputs the definition is faster: there it is what runs forward. The
library is built from `convolution.c` when the package is installed (an optional extension) and called through ctypes.
It computes in float32 on channels-last maps and gives no gradient of a gradient.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import (
    Arguments,
    CompiledKernel,
    channels_last,
    check_no_gradient,
    check_plain,
    check_shapes,
    fields,
)
from dgno.kernels.convolution import convolution
from dgno.kernels.packing import BLOCK, pad_outputs
from dgno.kernels.packing_c import pack_c
from dgno.kernels.products import parts_of
from dgno.kernels.second_derivatives import once_differentiable

POINTS = 16  # of a 4x4 window, which gives 2x2 results
FEW = 4  # inputs for which transforms cost more than they save; outputs that do not fill a vector
CHUNK = 16  # blocks of windows over which the gradient at the weights is summed by one task
G = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))  # kernels to points: G g G^T


SIZES = "batch", "height", "width", "inputs", "of_second", "outputs"


class _Convolution(Arguments):
    """`struct convolution` of convolution.c, field by field."""

    _fields_ = fields((*SIZES, "parts", "unshuffled"), ("x", "second", "packed", "bias", "out"))


class _Ways(NamedTuple):
    """What else is asked for, see `convolution_c`."""

    unshuffled: bool
    half: bool


class _Kernels(Arguments):
    """`struct kernels` of convolution.c, field by field."""

    _fields_ = fields(
        ("inputs", "outputs", "input_stride", "output_stride", "row_stride", "column_stride", "flipped", "parts"),
        ("weight", "packed"),
    )


class _Gradient(Arguments):
    """`struct convolution_gradient` of convolution.c, field by field."""

    _fields_ = fields((*SIZES, "chunk"), ("x", "second", "gout", "out"))


class CompiledConvolution(CompiledKernel):
    """The library of the dense convolutions."""

    def __init__(self) -> None:
        super().__init__("convolution", "a convolution")
        self.library.dgno_convolution_blocks.restype = ctypes.c_long

    def gradient_blocks(self, *sizes: int) -> int:
        """Blocks over which the gradient at the weights is summed; batch, height and width of the map."""
        return int(self.library.dgno_convolution_blocks(*map(ctypes.c_long, sizes)))


@functools.cache
def load() -> CompiledConvolution:
    """The compiled convolution; an OSError says why there is none."""
    return CompiledConvolution()


def _points(weight: Tensor, parts: int, *, transposed: bool) -> Tensor:
    """G g G^T, packed for the products; transposed: of the kernels turned round, from outputs to inputs."""
    (outputs, inputs), lanes = weight.shape[:2][:: -1 if transposed else 1], load().lanes()
    (of_output, of_input), (row, column) = weight.stride()[:2][:: -1 if transposed else 1], weight.stride()[2:]
    vectors = -(-outputs // lanes)
    if parts:
        packed = weight.new_zeros(POINTS, parts, vectors, -(-inputs // BLOCK) * BLOCK, lanes, dtype=torch.bfloat16)
    else:
        packed = weight.new_empty(POINTS, vectors, inputs, lanes)
    kernels = _Kernels(inputs=inputs, outputs=outputs, input_stride=of_input, output_stride=of_output)
    kernels.row_stride, kernels.column_stride, kernels.flipped, kernels.parts = row, column, transposed, parts
    kernels.point(weight=weight, packed=packed)
    load().run("convolution_pack", kernels)
    return packed


def _way(inputs: int, outputs: int) -> str:
    """By windows; from the definition where few channels come in, as those of an image, or go out."""
    if inputs <= FEW:
        return "image"
    return "narrow" if outputs <= FEW and inputs % load().lanes() == 0 else "forward"


def _packed(weight: Tensor, way: str, parts: int) -> Tensor:
    """The kernels as they are walked: see `struct convolution`."""
    if way == "forward":
        return _points(weight, parts, transposed=False)
    if way == "narrow":
        return weight.permute(0, 2, 3, 1).contiguous()
    return pack_c(load(), weight.flatten(1) if way == "image" else weight.flatten(2).permute(2, 0, 1), parts)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, second: Tensor | None, ways: _Ways) -> Tensor:
    """The convolution of channels-last maps."""
    (b, _, h, w), outputs, channels = x.shape, weight.shape[0], _channels(x, second)
    wants_windows = second is not None or ways.unshuffled
    way = "forward" if wants_windows else _way(x.shape[1], outputs)
    parts = 0
    if way == "forward":
        way, parts = ("tiled", 1) if ways.half else (way, parts_of(load(), channels["inputs"]))
    packed = _packed(weight, way, parts)
    shape = (b, h // 2, w // 2, 4 * outputs) if ways.unshuffled else (b, h, w, outputs)
    out = x.new_empty(shape).permute(0, 3, 1, 2)
    padded = None if bias is None else pad_outputs(bias.detach(), load().lanes()).contiguous()
    arguments = _Convolution(batch=b, height=h, width=w, outputs=outputs, parts=parts, **channels)
    arguments.unshuffled = ways.unshuffled
    arguments.point(x=x, second=second, packed=packed, bias=padded, out=out)
    load().run(f"convolution_{way}", arguments)
    return out


def _at_maps(gout: Tensor, weight: Tensor) -> Tensor:
    """The gradient at the input: the convolution with the kernels turned round, from outputs to inputs."""
    (b, c, h, w), inputs = gout.shape, weight.shape[1]
    parts = parts_of(load(), c)
    packed, out = _points(weight, parts, transposed=True), gout.new_empty(b, h, w, inputs).permute(0, 3, 1, 2)
    arguments = _Convolution(batch=b, height=h, width=w, inputs=c, outputs=inputs, parts=parts)
    arguments.point(x=gout, packed=packed, out=out)
    load().run("convolution_forward", arguments)
    return out


def _channels(x: Tensor, second: Tensor | None) -> dict[str, int]:
    of_second = 0 if second is None else second.shape[1]
    return {"inputs": x.shape[1] + of_second, "of_second": of_second}


def _at_weight(x: Tensor, second: Tensor | None, gout: Tensor) -> Tensor:
    """The gradient at the kernels: that at G g G^T, summed over windows, and through G."""
    (b, _, h, w), outputs, lanes, channels = x.shape, gout.shape[1], load().lanes(), _channels(x, second)
    chunks = -(-load().gradient_blocks(b, h, w) // CHUNK)
    out = x.new_empty(chunks, POINTS, channels["inputs"], -(-outputs // lanes) * lanes)
    arguments = _Gradient(batch=b, height=h, width=w, outputs=outputs, chunk=CHUNK, **channels)
    arguments.point(x=x, second=second, gout=gout, out=out)
    load().run("convolution_gradient", arguments)
    g = x.new_tensor(G)
    through = (g[:, None, :, None] * g[None, :, None, :]).reshape(POINTS, 9)
    kernels = through.T @ out.sum(0)[..., :outputs].reshape(POINTS, -1)
    return kernels.reshape(3, 3, -1, outputs).permute(3, 2, 0, 1)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, second: Tensor | None, ways: _Ways) -> Tensor:
        ctx.save_for_backward(x, weight, second)
        ctx.has_bias, ctx.unshuffled = bias is not None, ways.unshuffled
        second = None if second is None else channels_last(second)
        return _convolved(channels_last(x), weight.detach(), bias, second, ways)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gout: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, second = ctx.saved_tensors
        x, second = channels_last(x), None if second is None else channels_last(second)
        gout, wanted = channels_last(F.pixel_shuffle(gout, 2) if ctx.unshuffled else gout), ctx.needs_input_grad
        at_maps: Sequence[Tensor | None] = (None, None)
        if wanted[0] or wanted[3]:
            at_both = _at_maps(gout, weight)
            at_maps = (at_both, None) if second is None else at_both.split((x.shape[1], second.shape[1]), 1)
        at_weight = _at_weight(x, second, gout) if wanted[1] else None
        return at_maps[0], at_weight, gout.sum((0, 2, 3)) if ctx.has_bias else None, at_maps[1], None


def convolution_c(
    x: Float[Tensor, "b i h w"],
    weight: Float[Tensor, "o i_and_j 3 3"],
    bias: Float[Tensor, " o"] | None = None,
    second: Float[Tensor, "b j h w"] | None = None,
    *,
    unshuffled: bool = False,
    half: bool = False,
) -> Float[Tensor, "b o h w"] | Float[Tensor, "b 4*o h//2 w//2"]:
    """`convolution` of convolution.py, compiled; float32 on the CPU.

    half : round the factors to bfloat16, unless inputs or outputs are few; where the processor has tiles (AMX), and
        without a gradient
    """
    (b, _, h, w), outputs, of_second = x.shape, weight.shape[0], 0 if second is None else second.shape[1]
    inputs = x.shape[1] + of_second
    tensors = {"x": x, "weight": weight}
    if second is not None:
        tensors["second"] = second
        check_shapes({"second": second}, [(b, of_second, h, w)], f"a map {tuple(x.shape)}")
    check_shapes({"weight": weight}, [(outputs, inputs, 3, 3)], f"maps of {inputs} channels")
    if bias is not None:
        tensors["bias"] = bias
        check_shapes({"bias": bias}, [(outputs,)], f"{outputs} kernels")
    check_plain(**tensors)
    if half:
        check_no_gradient(*tensors.values())
    if unshuffled and (h % 2 or w % 2):
        raise ValueError(f"a map of {h} x {w} px has no whole squares of 2x2")
    if x.numel() == 0 or weight.numel() == 0 or (second is not None and second.numel() == 0):
        return convolution(x, weight, bias, second, unshuffled=unshuffled)
    return _Convolve.apply(x, weight, bias, second, _Ways(unshuffled, half and load().has_tiles()))
