"""Going down a scale in one call gives what its two layers give, and heeds whoever asks for the map in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dgno.kernels import backends, fusing
from dgno.networks.blocks import Convolution, Downsample


@pytest.fixture
def down() -> Downsample:
    torch.manual_seed(0)
    return Downsample(16)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 16, 12, 20, generator=torch.Generator().manual_seed(1))


class Doubled(Convolution):
    def forward(self, x: Tensor, second: Tensor | None = None) -> Tensor:
        return 2 * super().forward(x, second)


def hook(down: Downsample) -> None:
    down[0].register_forward_hook(lambda module, inputs, output: 2 * output)


def derive(down: Downsample) -> None:
    doubled = Doubled(16, 8, bias=False)
    doubled.load_state_dict(down[0].state_dict())
    down[0] = doubled


def replace_second(down: Downsample) -> None:
    down[1] = nn.Sequential(nn.PixelUnshuffle(2), nn.Threshold(-torch.inf, 0.0))
    down[0].weight.data *= 2


def test_it_is_its_layers(down: Downsample, x: Tensor) -> None:
    """Values and gradients."""
    weight = down[0].weight
    found, wanted = down(x), nn.functional.pixel_unshuffle(nn.functional.conv2d(x, weight, padding=1), 2)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    g = torch.randn_like(wanted)
    at_weight = [torch.autograd.grad(result, weight, g)[0] for result in (found, wanted)]
    torch.testing.assert_close(*at_weight, rtol=1e-4, atol=1e-4)


def append(down: Downsample) -> None:
    down.append(nn.Identity())
    down[0].weight.data *= 2


@pytest.mark.parametrize("change", [hook, derive, replace_second, append])
def test_what_is_more_than_its_layers_counts(down: Downsample, x: Tensor, change: Callable[[Downsample], None]) -> None:
    wanted = 2 * down(x)
    change(down)
    torch.testing.assert_close(down(x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not fusing.has_tiles(), reason="no tiles (AMX) here")
def test_in_mixed_precision_sums_are_floats_where_no_gradient_is_wanted(x: Tensor) -> None:
    """A convolution of floats, or of what another layer rounded, in tiles; with a gradient it is torch's."""
    torch.manual_seed(0)
    convolution = Convolution(16, 24)
    with torch.autocast("cpu", torch.bfloat16):
        with_gradient = convolution(x)
        with torch.no_grad():
            found, of_half = convolution(x), convolution(x.bfloat16())
        with backends.without_compiled(), torch.no_grad():
            plain = convolution(x)
    assert with_gradient.dtype == plain.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert torch.equal(found, of_half)
    torch.testing.assert_close(found, plain.float(), rtol=2**-8, atol=1e-3)
    with_gradient.sum().backward()
    assert convolution.weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_in_mixed_precision_weights_of_other_types_are_torchs(down: Downsample, x: Tensor, dtype: torch.dtype) -> None:
    """As in torch's own layers."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, plain = down.to(dtype)(x.to(dtype)), nn.Sequential(*down)(x.to(dtype))
        of_floats = down.bfloat16()(x)
    assert found.dtype == plain.dtype
    assert torch.equal(found, plain)
    assert of_floats.shape == found.shape


def test_shapes_without_numbers(down: Downsample, x: Tensor) -> None:
    """On the meta device, which has no mixed precision."""
    assert down.to("meta")(x.to("meta")).shape == (2, 32, 6, 10)
