"""The pointwise linear map: as a convolution, and compiled, it gives what the plain one gives."""

from __future__ import annotations

import pytest
import torch
from kernel_comparison import assert_all_agree, compiled_versions, values_and_gradients
from torch import Tensor

from dgno.kernels import pointwise_c as compiled_pointwise
from dgno.kernels.pointwise import BATCHES, pointwise, pointwise_onednn
from dgno.kernels.pointwise_c import CHUNK, pointwise_c

needs_compiler = pytest.mark.skipif(not compiled_versions(compiled_pointwise), reason="the kernels were not compiled")

SHAPES = [(BATCHES, 7), (1, 8, 6, 7), (3, 4, 4, 1), (2, 5, 7), (BATCHES - 1, 7), (1, 7), (2, 0, 7), (7,)]


def inputs(shape: tuple[int, ...]) -> list[Tensor]:
    random = torch.Generator().manual_seed(sum(shape))
    return [torch.randn(s, generator=random) for s in (shape, (5, shape[-1]), (5,))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
def test_the_convolution_is_the_linear_map(shape: tuple[int, ...], with_bias: bool) -> None:
    """O16: values and gradients, whether or not the rows can be dealt into images, and for no rows at all."""
    tensors = inputs(shape) if with_bias else inputs(shape)[:2]
    results = values_and_gradients(pointwise_onednn, tensors)
    assert_all_agree(results, values_and_gradients(pointwise, tensors, torch.float64))
    assert results[0].shape == (*shape[:-1], 5)


def test_memory_layout_does_not_matter() -> None:
    """A map whose channels are not neighbours gives the same as its copy in channels-last memory."""
    x, weight, bias = inputs((2, 8, 8, 7))
    strided = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert not strided.is_contiguous()
    torch.testing.assert_close(pointwise_onednn(strided, weight, bias), pointwise_onednn(x, weight, bias))


# (rows, inputs, outputs): one row, tiles and chunks with rows left over, fewer outputs or inputs than a vector
# (4, 8, 16), whole vectors, several tiles of them, and columns left over behind them
SIZES = [
    *((1, 3, 2), (7, 16, 32), (100, 33, 21), (97, 5, 64), (13, 48, 254), (192, 64, 128), (95, 80, 7)),
    (CHUNK + 131, 17, 18),
]


@needs_compiler
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
def test_the_compiled_map_is_the_linear_map(version: int, sizes: tuple[int, int, int], with_bias: bool) -> None:
    """O16: values and gradients at the rows, the weights and the bias, at odd sizes, for every instruction set."""
    rows, i, o = sizes
    random = torch.Generator().manual_seed(rows * i * o)
    tensors = [torch.randn(s, generator=random) for s in ((rows, i), (o, i), (o,))][: 2 + with_bias]
    assert_all_agree(
        values_and_gradients(pointwise_c, tensors), values_and_gradients(pointwise, tensors, torch.float64)
    )


@needs_compiler
@pytest.mark.parametrize("shape", [(2, 0, 7), (7,), (2, 5, 7)], ids=str)
def test_the_compiled_map_takes_rows_of_any_shape(version: int, shape: tuple[int, ...]) -> None:
    """One row, no row, rows of rows."""
    tensors = inputs(shape)
    assert_all_agree(
        values_and_gradients(pointwise_c, tensors), values_and_gradients(pointwise, tensors, torch.float64)
    )


@needs_compiler
def test_a_row_is_mapped_alike_wherever_it_stands(version: int) -> None:
    """Bit for bit, so that a pixel of a tile is the pixel of the whole image."""
    random = torch.Generator().manual_seed(3)
    x, weight, bias = (torch.randn(s, generator=random) for s in ((203, 19), (37, 19), (37,)))
    whole = pointwise_c(x, weight, bias)
    for first, end in [(0, 1), (5, 18), (96, 97), (101, 203)]:
        assert torch.equal(pointwise_c(x[first:end].clone(), weight, bias), whole[first:end])
