"""The pointwise linear map: as a convolution it gives what the plain one gives."""

from __future__ import annotations

import pytest
import torch
from kernel_comparison import assert_all_agree, values_and_gradients
from torch import Tensor

from dgno.kernels.pointwise import BATCHES, pointwise, pointwise_onednn

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
