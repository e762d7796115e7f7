"""The gradient of the feed-forward network in one call: what the plain one gives, wherever and however it runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_comparison import (
    assert_agree,
    assert_all_agree,
    assert_not_differentiated_twice,
    compiled_versions,
    feed_forward_inputs,
    values_and_gradients,
)
from torch import Tensor

from dgno.kernels import feed_forward_c
from dgno.kernels.feed_forward import feed_forward
from dgno.kernels.fusing import choose_feed_forward
from dgno.networks.blocks import ChannelNorm, GatedFeedForward

pytestmark = pytest.mark.skipif(not compiled_versions(feed_forward_c), reason="the kernels were not compiled")

# (b, c, h, w, hidden): one pixel, one row, one column; channels and hidden ones beside the vectors (4, 8, 16); widths
# and heights of more than a tile or a strip, the last ones narrower; tiles of several images whose sums one task makes
MAPS = [
    (1, 16, 1, 1, 42),
    (2, 17, 1, 9, 5),
    (1, 20, 11, 1, 53),
    (3, 33, 4, 5, 1),
    (1, 16, 3, 131, 42),
    (2, 24, 2, 67, 70),
    (1, 48, 40, 7, 127),
    (2, 17, 5, 9, 515),
    (2, 16, 70, 10, 42),
    (1, 17, 37, 60, 20),
]


@pytest.mark.parametrize("sizes", MAPS, ids=str)
def test_values_and_gradients_are_the_plain_ones(version: int, sizes: tuple[int, ...]) -> None:
    """O16: at the map and at every weight, at odd sizes, for every instruction set."""
    tensors = feed_forward_inputs(*sizes)
    exact = values_and_gradients(feed_forward, tensors, torch.float64)
    assert_all_agree(values_and_gradients(feed_forward_c.feed_forward_c, tensors), exact)


def test_the_gelu_is_differentiated_far_from_0() -> None:
    """Where it is flat, where it is straight, and where the polynomial of its distribution function is cut off."""
    tensors = feed_forward_inputs(1, 16, 12, 12, 20)
    tensors[3] *= 6
    exact = values_and_gradients(feed_forward, tensors, torch.float64)
    assert_all_agree(values_and_gradients(feed_forward_c.feed_forward_c, tensors), exact)


@pytest.mark.parametrize("sizes", [(2, 16, 70, 131, 42), (1, 20, 40, 7, 70), (5, 16, 6, 6, 127)], ids=str)
def test_threads_change_nothing(sizes: tuple[int, ...], set_threads: Callable[[int], None]) -> None:
    """Bit for bit, also the sums at the weights."""
    tensors = feed_forward_inputs(*sizes)
    set_threads(1)
    alone = values_and_gradients(feed_forward_c.feed_forward_c, tensors)
    for count in (2, 3, 7):
        set_threads(count)
        again = values_and_gradients(feed_forward_c.feed_forward_c, tensors)
        assert all(torch.equal(one, other) for one, other in zip(again, alone, strict=True))


def test_images_of_a_batch_are_independent(version: int) -> None:
    """Bit for bit at the maps; the gradients at the weights are the sum of those of the images."""
    x, *weights = feed_forward_inputs(3, 17, 40, 9, 42)
    weights = [t.requires_grad_() for t in weights]
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))

    def gradients(some: slice) -> tuple[Tensor, ...]:
        z = x[some].clone().requires_grad_()
        return torch.autograd.grad(feed_forward_c.feed_forward_c(z, *weights), [z, *weights], g[some])

    together, apart = gradients(slice(None)), [gradients(slice(i, i + 1)) for i in range(3)]
    assert torch.equal(together[0], torch.cat([one[0] for one in apart]))
    for one, *others in list(zip(together, *apart, strict=True))[1:]:
        assert_agree(one, torch.stack(others).sum(0), 2e-6)


def test_a_pixel_is_computed_alike_in_every_map() -> None:
    """Bit for bit: a crop's gradient is that of the whole map, but for two pixels at its sides."""
    x, *weights = feed_forward_inputs(1, 16, 48, 200, 42)
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))

    def gradient(rows: slice, columns: slice) -> Tensor:
        z = x[:, :, rows, columns].clone().requires_grad_()
        return torch.autograd.grad(feed_forward_c.feed_forward_c(z, *weights), z, g[:, :, rows, columns].clone())[0]

    whole, crop = gradient(slice(0, 48), slice(0, 200)), gradient(slice(5, 45), slice(60, 151))
    assert torch.equal(crop[:, :, 2:-2, 2:-2], whole[:, :, 7:43, 62:149])


def test_only_what_came_is_kept() -> None:
    """The forward pass saves the map and the weights for the gradient, and nothing that lies between."""
    tensors, saved = feed_forward_inputs(1, 16, 32, 32, 42), 0

    def count(t: Tensor) -> Tensor:
        nonlocal saved
        saved += t.numel()
        return t

    with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        feed_forward_c.feed_forward_c(*(t.requires_grad_() for t in tensors))
    assert saved == sum(t.numel() for t in tensors)


def test_there_is_no_gradient_of_the_gradient() -> None:
    assert_not_differentiated_twice(feed_forward_c.feed_forward_c, feed_forward_inputs(1, 16, 4, 4, 5))


@pytest.mark.skipif(
    not compiled_versions(feed_forward_c) or not feed_forward_c.load().has_half(), reason="no products of bfloat16 here"
)
def test_half_precision_refuses_to_lose_a_gradient() -> None:
    tensors = [t.requires_grad_() for t in feed_forward_inputs(1, 16, 4, 4, 5)]
    with pytest.raises(RuntimeError, match="gradient"):
        feed_forward_c.feed_forward_c(*tensors, half=True)
    with torch.no_grad():
        assert not feed_forward_c.feed_forward_c(*tensors, half=True).requires_grad


def module_and_norm(c: int) -> tuple[GatedFeedForward, ChannelNorm, Tensor]:
    torch.manual_seed(c)
    return GatedFeedForward(c).train(), ChannelNorm(c), torch.randn(2, c, 12, 20)


def is_one_call(out: Tensor) -> bool:
    """Was the map computed in one call, with a gradient?"""
    return out.grad_fn is not None and "Network" in out.grad_fn.name()


def test_training_in_one_call_is_training_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module gives the same and gets the same gradients both ways."""
    module, norm, x = module_and_norm(20)
    parameters, g = [*module.parameters(), *norm.parameters()], torch.randn(x.shape)

    def both() -> tuple[Tensor, list[Tensor]]:
        z = x.clone().requires_grad_()
        out = module.added(z, norm)
        return out, [out.detach(), *torch.autograd.grad(out, [z, *parameters], g)]

    fused, results = both()
    monkeypatch.setenv("DGNO_FEED_FORWARD", "layers")
    layers, expected = both()
    assert is_one_call(fused)
    assert not is_one_call(layers)
    assert_all_agree(results, expected)


def test_frozen_parameters_get_no_gradient() -> None:
    module, norm, x = module_and_norm(16)
    module.project_in.weight.requires_grad_(False)
    norm.bias.requires_grad_(False)
    out = module.added(x, norm)
    assert is_one_call(out)
    out.square().sum().backward()
    assert module.project_in.weight.grad is None
    assert norm.bias.grad is None
    assert all(p.grad is not None for p in (module.project_out.weight, module.depthwise.weight, norm.weight))


def test_where_training_goes_through_the_layers() -> None:
    """For wide maps, where it is faster, and the choice says so; in mixed precision; under a hook."""
    module, norm, x = module_and_norm(feed_forward_c.WIDEST + 1)
    assert not is_one_call(module.added(x, norm))
    narrow, wide = (choose_feed_forward(x.device, x.dtype, c).reason for c in (feed_forward_c.WIDEST, x.shape[1]))
    assert "gradient" in wide
    assert "gradient" not in narrow
    module, norm, x = module_and_norm(16)
    assert is_one_call(module.added(x, norm))
    with torch.autocast("cpu", torch.bfloat16):
        out = module.added(x, norm)
    assert not is_one_call(out)
    out.float().sum().backward()
    seen: list[object] = []
    module.project_in.register_full_backward_hook(lambda _, at_input, at_output: seen.append(at_output))
    module.added(x, norm).sum().backward()
    assert len(seen) == 1
