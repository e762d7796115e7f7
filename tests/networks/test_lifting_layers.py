"""Laws of single layers of the lifting: the numbers of torch's own, the memory layout that the rest works in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dgno.networks.lifting import ImageConvolution, InstanceNorm


def is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_instance_norm_is_that_of_torch(offset: float) -> None:
    """Values and gradients, of a batch whose mean is far from its spread too; the memory layout stays."""
    torch.manual_seed(0)
    norm = InstanceNorm(12)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    x = (torch.randn(2, 12, 9, 7) + offset).contiguous(memory_format=torch.channels_last).requires_grad_()
    g = torch.randn(2, 12, 9, 7)
    found, wanted = norm(x), F.instance_norm(x.double(), weight=norm.weight.double(), bias=norm.bias.double())
    assert is_channels_last(found)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-4)
    of = (x, norm.weight, norm.bias)
    for one, other in zip(torch.autograd.grad(found, of, g), torch.autograd.grad(wanted, of, g.double()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_instance_norm_keeps_the_type_of_number() -> None:
    """A map in bfloat16 stays one, normalised in float32 in between."""
    norm, x = InstanceNorm(4), torch.randn(1, 4, 16, 16) + 3
    found = norm(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, norm(x.bfloat16().float()).bfloat16())


def test_an_image_is_convolved_in_float32_under_mixed_precision() -> None:
    """On a CPU: the features of an image are the same with and without."""
    convolution, x = ImageConvolution(3, 8, bias=True), torch.rand(1, 3, 24, 16)
    with torch.no_grad():
        wanted = convolution(x)
        with torch.autocast("cpu", torch.bfloat16):
            found, of_half = convolution(x), convolution(x.bfloat16())
    assert found.dtype == of_half.dtype == torch.float32
    assert torch.equal(found, wanted)
    torch.testing.assert_close(of_half, wanted, rtol=0, atol=0.01)
    assert is_channels_last(found)
