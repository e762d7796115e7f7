"""Maps that the cache does not hold are stored past it (LEAST_STREAM in vectors.h): with the same numbers in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_comparison import attentive_weights, compiled_versions, feed_forward_inputs, layer_inputs, normal_numbers
from torch import Tensor

from dgno.kernels import attentive_scan_c, convolution_c, dg_operator_c, feed_forward_c
from dgno.kernels.dg_layer_c import apply_layer_c, integrate_layer_c

NEEDED = attentive_scan_c, convolution_c, dg_operator_c, feed_forward_c
pytestmark = pytest.mark.skipif(not all(map(compiled_versions, NEEDED)), reason="the kernels were not compiled")

CHANNELS = 16
LARGE, ROWS = (1, CHANNELS, 520, 256), slice(192, 320)  # 8.5 MB; rows that give less


def fed_forward(x: Tensor) -> Tensor:
    return feed_forward_c.feed_forward_c(x, *feed_forward_inputs(1, CHANNELS, 1, 1, 20)[1:])


def scanned(x: Tensor) -> Tensor:
    weights = attentive_weights(CHANNELS, torch.Generator().manual_seed(CHANNELS))
    return attentive_scan_c.attentive_scan_c(x, weights, block=8, prompt_sorted=False)


def operated(x: Tensor) -> Tensor:
    _, weights = layer_inputs(1, CHANNELS, 4, 8, 8)
    volume, _ = integrate_layer_c(x, weights, 8, False)
    return apply_layer_c(x, volume, weights)


def convolved(x: Tensor) -> Tensor:
    """In tiles, where there are any."""
    weight = normal_numbers(torch.Generator().manual_seed(3), CHANNELS, CHANNELS, 3, 3)
    return convolution_c.convolution_c(x, weight, half=True)


@pytest.mark.parametrize("part", [fed_forward, scanned, operated, convolved])
def test_a_large_map_gives_what_its_rows_give(version: int, part: Callable[[Tensor], Tensor]) -> None:
    """Bit for bit, but for the rows beside those that were cut off; on several threads too, as torch has them."""
    x = normal_numbers(torch.Generator().manual_seed(1), *LARGE).contiguous(memory_format=torch.channels_last)
    rows = x[:, :, ROWS].contiguous(memory_format=torch.channels_last)
    assert torch.equal(part(x)[:, :, ROWS][:, :, 8:-8], part(rows)[:, :, 8:-8])
