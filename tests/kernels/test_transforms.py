"""Forward mode and the transforms of torch.func: what autograd gives, through the references."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
import torch
from kernel_comparison import assert_agree, assert_all_agree, compiled_versions
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp, vmap

from dgno.kernels import backends, feed_forward_c
from dgno.kernels.transforms import is_transformed
from dgno.networks import NETWORKS, build
from dgno.networks.mamba_block import MambaBlock
from dgno.networks.presets import make_operator

# torch's own, when the first tangent is made
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
needs_compiler = pytest.mark.skipif(not compiled_versions(feed_forward_c), reason="the kernels were not compiled")


def parts_and_map() -> tuple[nn.Module, Tensor]:
    """All fused parts of a network, frozen, and a small map."""
    torch.manual_seed(0)
    parts = nn.Sequential(MambaBlock(16, block=4, prompt_sorted=True), make_operator(NETWORKS["nano-face"], 16))
    return parts.eval().requires_grad_(False), torch.randn(1, 16, 8, 8)


def gradient(network: nn.Module, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(network(leaf).square().sum(), leaf)[0]


@needs_compiler
def test_frozen_parts_have_a_derivative_along_a_direction() -> None:
    """Forward mode gives the product of gradient and direction; afterwards whole parts are compiled again."""
    network, x = parts_and_map()
    direction = torch.randn_like(x)
    exact = (gradient(network, x) * direction).sum()
    with forward_ad.dual_level():
        dual = network(forward_ad.make_dual(x, direction))
        y, tangent = forward_ad.unpack_dual(dual)
        assert tangent is not None
        along = (2 * y * tangent).sum()
    assert_agree(along, exact, 1e-4)
    y, tangent = jvp(network, (x,), (direction,))
    assert_agree((2 * y * tangent).sum(), exact, 1e-4)
    assert_agree(network(x), y)


@needs_compiler
def test_a_direction_of_one_weight_is_enough() -> None:
    """No tangent is at the map."""
    network, x = parts_and_map()
    weights = {name: p.detach() for name, p in network.named_parameters()}
    for name in ("0.norm2.weight", "0.scan.project_out.bias", "1.mlp.0.weight"):

        def computed(weight: Tensor, name: str = name) -> Tensor:
            return functional_call(network, {name: weight}, (x,))

        _, tangent = jvp(computed, (weights[name],), (weights[name],))
        assert tangent.abs().max() > 0


@needs_compiler
def test_torch_func_gives_the_gradient() -> None:
    """At the image."""
    network, x = parts_and_map()
    assert_agree(grad(lambda z: network(z).square().sum())(x), gradient(network, x), 1e-4)


@needs_compiler
def test_torch_func_trains() -> None:
    """At all parameters, with the noise of the routing."""
    network, x = parts_and_map()
    network.train().requires_grad_(True)
    weights = {name: p.detach() for name, p in network.named_parameters()}
    torch.manual_seed(3)
    ours = grad(lambda w: functional_call(network, w, (x,)).square().mean())(weights)
    torch.manual_seed(3)
    used = torch.autograd.grad(
        network(x).square().mean(), [*network.parameters()], allow_unused=True, materialize_grads=True
    )
    assert_all_agree([ours[name] for name, _ in network.named_parameters()], used, 1e-3)


@needs_compiler
def test_second_derivatives_are_refused_or_right() -> None:
    """By plain tensor code they are those of torch.func, noise of the routing and all; otherwise an error says where
    there are some, though features go past every compiled part."""
    parts, x = parts_and_map()
    network, direction = nn.Sequential(*parts, nn.ReLU()).train(), torch.randn_like(x)

    def summed(z: Tensor) -> Tensor:
        torch.manual_seed(3)
        return network(z).sum() + z.square().sum()

    _, exact = jvp(grad(summed), (x,), (direction,))
    with backends.without_compiled():
        _, second = torch.autograd.functional.hvp(summed, x, direction)
    assert (second - 2 * direction).abs().max() > 1e-3
    assert_agree(second, exact, 1e-4)
    with pytest.raises(RuntimeError, match="differentiated twice"):
        torch.autograd.functional.hvp(summed, x, direction)


def test_images_may_be_mapped_over() -> None:
    """A whole network, which puts the channels of a pixel side by side: torch.func has no such order."""
    network, images = build(NETWORKS["nano-face"]).eval(), torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert_agree(vmap(lambda image: network(image[None])[0])(images), network(images))


@pytest.mark.parametrize("is_bare", [True, False])
def test_linear_maps_are_plain_where_they_are_differentiated(is_bare: bool) -> None:
    """With and without a request for plain tensor code; of any number of rows."""
    weight, direction = torch.rand(8, 16), torch.rand(8, 16)
    for rows in (torch.rand(32, 16), torch.rand(5, 16)):
        with contextlib.nullcontext() if is_bare else backends.without_compiled():
            _, tangent = jvp(partial(backends.pointwise, rows), (weight,), (direction,))
        assert_agree(tangent, rows @ direction.T)


def test_what_is_transformed() -> None:
    """A tensor with a tangent while its level is open, or inside torch.func; no other, then or later."""
    x = torch.rand(3)
    assert not is_transformed(x)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, x)
        assert is_transformed(x, dual)
        assert not is_transformed(x)
    assert not is_transformed(dual)
    seen: list[bool] = []
    jvp(lambda z: seen.append(is_transformed(x)) or z, (x,), (x,))  # nothing that is made here is plain
    assert seen == [True]
    inside: list[bool] = []
    vmap(lambda z: inside.append(is_transformed(x, z)) or z)(x)
    assert inside == [True]
    assert not is_transformed(x)
