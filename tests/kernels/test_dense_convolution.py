"""The dense 3x3 convolution: compiled, it gives what the plain one gives."""

from __future__ import annotations

import functools

import pytest
import torch
from kernel_comparison import assert_agree, assert_all_agree, compiled_versions, values_and_gradients
from torch import Tensor

from dgno.kernels import convolution_c as compiled_convolution
from dgno.kernels.convolution import convolution
from dgno.kernels.convolution_c import CHUNK, FEW, convolution_c

needs_compiler = pytest.mark.skipif(not compiled_versions(compiled_convolution), reason="the kernels were not compiled")

# (batch, inputs, outputs, height, width): one pixel, one row, odd sides, fewer channels than a vector (4, 8, 16), whole
# vectors and channels left over behind them, several blocks of windows, blocks that are not full or go on in the next
# image
SIZES = [
    *((1, 1, 1, 1, 1), (2, 3, 5, 1, 7), (1, 3, 2, 6, 1), (2, 16, 8, 9, 7), (1, 33, 40, 17, 35), (1, 48, 24, 12, 64)),
    *((3, 7, 96, 5, 33), (9, 4, 20, 7, 5)),
    *((2, 16, 1, 5, 40), (1, 48, 3, 7, 17), (2, 32, 4, 1, 16), (1, 16, 3, 6, 1)),  # few outputs
    *((2, 1, 48, 5, 13), (1, 3, 16, 9, 26), (3, 4, 20, 1, 6), (2, 2, 130, 7, 1), (1, 1, 1, 3, 4)),  # few inputs
]


def inputs(b: int, i: int, o: int, h: int, w: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(b * i * o * h * w)
    return [torch.randn(shape, generator=random) for shape in ((b, i, h, w), (o, i, 3, 3), (o,))]


@needs_compiler
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
def test_the_compiled_convolution_is_the_convolution(version: int, sizes: tuple[int, ...], with_bias: bool) -> None:
    """O16: values and gradients at the map, the kernels and the bias, for every instruction set."""
    tensors = inputs(*sizes)[: 2 + with_bias]
    wanted = values_and_gradients(convolution, tensors, torch.float64)
    assert_all_agree(values_and_gradients(convolution_c, tensors), wanted)


@needs_compiler
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("of_second", [1, 16, 21])
def test_two_maps_are_taken_for_one(version: int, sizes: tuple[int, ...], of_second: int) -> None:
    """Values and gradients at both maps, wherever in a vector the channels of the second begin and end."""
    b, i, o, h, w = sizes
    x, _, bias = inputs(*sizes)
    second, weight = inputs(b, of_second, o, h, w)[0], inputs(b, i + of_second, o, h, w)[1]
    tensors = [x, weight, bias, second]
    wanted = values_and_gradients(convolution, tensors, torch.float64)
    assert_all_agree(values_and_gradients(convolution_c, tensors), wanted)


@needs_compiler
@pytest.mark.parametrize("sizes", [(1, 5, 7, 6, 8), (2, 16, 24, 10, 12), (1, 33, 40, 18, 36), (1, 3, 2, 2, 2)], ids=str)
def test_squares_of_pixels_become_channels(version: int, sizes: tuple[int, ...]) -> None:
    """Values and gradients, wherever in a vector the outputs end; also of few inputs or outputs."""
    tensors, unshuffled = inputs(*sizes), {"unshuffled": True}
    wanted = values_and_gradients(functools.partial(convolution, **unshuffled), tensors, torch.float64)
    assert_all_agree(values_and_gradients(functools.partial(convolution_c, **unshuffled), tensors), wanted)
    with pytest.raises(ValueError, match="2x2"):
        convolution_c(tensors[0][..., 1:], *tensors[1:], **unshuffled)


@needs_compiler
@pytest.mark.parametrize("sizes", [size for size in SIZES if size[1] > FEW and size[2] > FEW], ids=str)
@pytest.mark.parametrize("of_second", [0, 21])
@pytest.mark.parametrize("unshuffled", [False, True])
def test_bfloat16_rounds_the_map_and_the_kernels(sizes: tuple[int, ...], of_second: int, unshuffled: bool) -> None:
    """By the definition, in tiles (AMX), against float64 with the same factors rounded: all sums are float32."""
    if not compiled_convolution.load().has_tiles():
        pytest.skip("no tiles (AMX) here")
    b, i, o, h, w = sizes
    h, w = (h + h % 2, w + w % 2) if unshuffled else (h, w)
    x, _, bias = inputs(b, i, o, h, w)
    second, weight = inputs(b, of_second, o, h, w)[0], inputs(b, i + of_second, o, h, w)[1]
    rounded = [t.bfloat16().double() for t in (x, weight, second)]
    others = (second,) if of_second else ()
    exact = convolution(rounded[0], rounded[1], bias.double(), *rounded[2:][: len(others)], unshuffled=unshuffled)
    ours = convolution_c(x, weight, bias, *others, unshuffled=unshuffled, half=True)
    assert_agree(ours, exact, 2e-6)
    plain = convolution_c(x, weight, bias, *others, unshuffled=unshuffled)
    assert not torch.equal(ours, plain)
    with pytest.raises(RuntimeError, match="no gradient"):
        convolution_c(x.requires_grad_(), weight, bias, *others, unshuffled=unshuffled, half=True)


@needs_compiler
def test_the_gradient_of_the_kernels_is_summed_over_chunks(version: int) -> None:
    """A map of more blocks of windows than one task sums."""
    tensors = inputs(2, 2, 3, 8 * CHUNK + 3, 80)
    assert compiled_convolution.load().gradient_blocks(2, 8 * CHUNK + 3, 80) > CHUNK
    wanted = values_and_gradients(convolution, tensors, torch.float64)
    assert_all_agree(values_and_gradients(convolution_c, tensors), wanted)


@needs_compiler
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels-last"])
def test_memory_layout_does_not_matter(version: int, layout: torch.memory_format) -> None:
    """Of the map or of the kernels: bit for bit. The result is channels-last."""
    x, weight, bias = inputs(2, 18, 20, 10, 12)
    result = convolution_c(x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout), bias)
    assert torch.equal(result, convolution_c(x, weight, bias))
    assert result.is_contiguous(memory_format=torch.channels_last)


@needs_compiler
@pytest.mark.parametrize("channels", [(5, 4), (16, 3), (3, 40)], ids=["windows", "few outputs", "few inputs"])
@pytest.mark.parametrize("y, x", [(0, 0), (6, 9), (7, 10), (13, 33), (16, 34)])
def test_a_pixel_reaches_its_neighbours_and_no_others(version: int, y: int, x: int, channels: tuple[int, int]) -> None:
    """Windows of 4x4 pixels are transformed as one, yet what is not a number stays within one pixel."""
    image, weight, bias = inputs(1, *channels, 17, 35)
    image[:, :, y, x] = torch.nan
    reached = convolution_c(image, weight, bias).isnan().all(1)[0]
    wanted = torch.zeros(17, 35, dtype=torch.bool)
    wanted[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    assert torch.equal(reached, wanted)


@needs_compiler
@pytest.mark.parametrize("channels", [(19, 21), (16, 3), (3, 40)], ids=["windows", "few outputs", "few inputs"])
def test_a_pixel_is_computed_alike_in_a_tile(version: int, channels: tuple[int, int]) -> None:
    """Bit for bit, in tiles that begin at an even pixel; only pixels that see the tile's border differ."""
    image, weight, bias = inputs(1, *channels, 40, 72)
    whole = convolution_c(image, weight, bias)
    tile = convolution_c(image[:, :, 4:30, 34:], weight, bias)
    assert torch.equal(tile[:, :, 1:-1, 1:], whole[:, :, 5:29, 35:])
