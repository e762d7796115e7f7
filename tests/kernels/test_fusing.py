"""When parts of a network are computed layer by layer: whenever one call would not give what the layers do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fused_part import LAYERS, Part
from kernel_comparison import assert_agree, assert_all_agree, compiled_versions
from torch import Tensor, nn
from torch.nn.modules import module as every_module
from torch.nn.utils import parametrize, prune
from torch.utils.hooks import RemovableHandle

import dgno.networks.attentive_scan as scans
import dgno.networks.blocks as blocks
import dgno.operators.dg as layers
from dgno.kernels import feed_forward_c
from dgno.operators.pointwise import Pointwise

pytestmark = pytest.mark.skipif(not compiled_versions(feed_forward_c), reason="the kernels were not compiled")
has_half = bool(compiled_versions(feed_forward_c)) and feed_forward_c.load().has_half()
# where calls of compiled parts are looked up
CALLS = [
    *((scans, "attentive_scan_c"), (scans, "attentive_lift_c"), (scans, "attentive_core_c")),
    *((blocks, "feed_forward_c"), (layers, "integrate_layer_c"), (layers, "apply_layer_c")),
]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The calls of compiled parts, by name, each with whether it was in half precision."""
    seen: list[tuple[str, bool]] = []

    def spied(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*arguments: Any, **options: Any) -> Any:
            seen.append((name, options.get("half", False)))
            return run(*arguments, **options)

        return spy

    for module, name in CALLS:
        monkeypatch.setattr(module, name, spied(name, getattr(module, name)))
    return seen


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 16, 8, 16, generator=torch.Generator().manual_seed(1))


@contextmanager
def in_plain_layers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything in plain tensor code, as `backends.py` and `fusing.py` are told by the user."""
    with monkeypatch.context() as patch:
        for name in ("FEED_FORWARD", "ATTENTIVE_SCAN", "OPERATOR_LAYER"):
            patch.setenv(f"DGNO_{name}", "layers")
        yield


def test_one_call_for_each_part(part: Part, x: Tensor, calls: list[tuple[str, bool]]) -> None:
    """What the tests below take away."""
    with torch.no_grad():
        part(x)
    assert [name for name, _ in calls] == ["attentive_scan_c", "feed_forward_c", "integrate_layer_c", "apply_layer_c"]


@pytest.mark.skipif(not has_half, reason="no products of bfloat16 here")
@pytest.mark.parametrize("channels, preset", [(16, "nano-face"), (48, "dgno-face"), (192, "dgno-face")])
def test_inference_in_bfloat16_is_in_one_call(channels: int, preset: str, calls: list[tuple[str, bool]]) -> None:
    """Narrow maps and wide ones; frozen networks too where gradients are not switched off."""
    part, z = Part(channels, preset).eval().requires_grad_(False), torch.randn(1, channels, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        part.block(z)
    assert calls == [("attentive_scan_c", True), ("feed_forward_c", True)]
    calls.clear()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert part(z).dtype == torch.float32
    assert [half for _, half in calls] == [True] * 4


@pytest.mark.parametrize("training", [True, False])
def test_training_in_bfloat16_is_layer_by_layer(
    part: Part, x: Tensor, calls: list[tuple[str, bool]], training: bool
) -> None:
    """Its gradients are those of float32, up to the rounding of products."""

    def gradients() -> list[Tensor]:
        torch.manual_seed(3)
        return list(torch.autograd.grad(part(x).float().square().mean(), wanted))

    wanted = [*part.block.feed_forward.parameters(), *part.layer.parameters(), part.block.scan.project_out.weight]
    part.train(training)
    exact = gradients()
    assert calls
    calls.clear()
    with torch.autocast("cpu", torch.bfloat16):
        half = gradients()
    assert not calls
    assert_all_agree(half, exact, 0.2)
    assert all(g.abs().max() > 0 for g in half)


def test_the_gradient_of_a_norm_alone_is_wanted(calls: list[tuple[str, bool]]) -> None:
    """A frozen network wider than its compiled gradient, whose norm is trained; in mixed precision too."""
    module, norm = blocks.GatedFeedForward(160).requires_grad_(False), blocks.ChannelNorm(160)
    z = torch.randn(1, 160, 4, 4)
    module.added(z, norm).sum().backward()
    assert norm.weight.grad is not None
    exact, norm.weight.grad = norm.weight.grad, None
    with torch.autocast("cpu", torch.bfloat16):
        module.added(z, norm).float().sum().backward()
    assert not calls
    assert_agree(norm.weight.grad, exact, 0.2)


def test_a_variable_overrules_the_width(calls: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide map goes back in one call where that is asked for."""
    module, norm = blocks.GatedFeedForward(160), blocks.ChannelNorm(160)
    monkeypatch.setenv("DGNO_FEED_FORWARD", "c")
    module.added(torch.randn(1, 160, 4, 4), norm).sum().backward()
    assert calls == [("feed_forward_c", False)]
    assert module.project_in.weight.grad is not None


@pytest.mark.parametrize("name", LAYERS)
def test_a_hook_on_any_layer_is_called(part: Part, x: Tensor, name: str) -> None:
    """And no longer once it is removed."""
    seen: list[object] = []
    handle = part.get_submodule(name).register_forward_hook(lambda *_: seen.append(1))
    part(x)
    assert seen == [1]
    handle.remove()
    part(x)
    assert seen == [1]


@pytest.mark.parametrize("name", ["block.norm1", "block.norm2"])
@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook", "full_backward_hook"])
def test_a_hook_on_a_norm_is_called(part: Part, x: Tensor, name: str, kind: str) -> None:
    """Norms are given to the parts that compute them."""
    seen: list[object] = []
    getattr(part.get_submodule(name), f"register_{kind}")(lambda *_: seen.append(1))
    part(x.requires_grad_()).sum().backward()
    assert seen == [1]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # the fluxes take a tuple: torch sees no tensor
@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook", "full_backward_hook"])
def test_a_hook_on_all_modules_sees_all(part: Part, x: Tensor, kind: str, calls: list[tuple[str, bool]]) -> None:
    """All that do something, and the calls are back once it is removed."""
    seen: list[nn.Module] = []
    register: Callable[..., RemovableHandle] = getattr(every_module, f"register_module_{kind}")
    handle = register(lambda module, *_: seen.append(module))
    try:
        part(x.requires_grad_()).sum().backward()
    finally:
        handle.remove()
    assert not calls
    unseen = {part.get_submodule(name) for name in LAYERS} - set(seen)
    if kind != "full_backward_hook":  # nothing goes back to the routing at inference
        assert not unseen
    with torch.no_grad():
        part(x)
    assert calls


def other_forward(part: Part) -> None:
    old = part.block.feed_forward.project_out.forward
    part.block.feed_forward.project_out.forward = lambda z: 2 * old(z)


def with_bias(part: Part) -> None:
    part.block.feed_forward.depthwise = nn.Conv2d(84, 84, 3, padding=1, groups=84)


def other_padding(part: Part) -> None:
    part.block.scan.position = nn.Conv2d(32, 32, 3, padding=1, groups=32, padding_mode="reflect")


def other_gelu(part: Part) -> None:
    part.layer.mlp[1] = nn.GELU("tanh")


def longer_sequence(part: Part) -> None:
    part.layer.mlp.append(nn.GELU())


def parametrised(part: Part) -> None:
    parametrize.register_parametrization(part.block.feed_forward.project_in, "weight", Doubled())
    parametrize.register_parametrization(part.layer.key_norm, "weight", Doubled())
    parametrize.register_parametrization(part.block.scan.scan, "D", Doubled())


def pruned(part: Part) -> None:
    prune.l1_unstructured(part.block.feed_forward.depthwise, "weight", 0.5)
    with torch.no_grad():  # applied before the layer is called the next time
        part.block.feed_forward.depthwise.weight_orig.mul_(2)


def other_norm(part: Part) -> None:
    part.block.norm2 = PositiveNorm(16)


class PositiveNorm(blocks.ChannelNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


CHANGES = [
    *(other_forward, with_bias, other_padding, other_gelu, longer_sequence, parametrised, pruned),
    other_norm,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_layer_does_is_what_counts(
    part: Part, x: Tensor, change: Callable[[Part], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a layer is changed, the network gives what its layers give, and something else than before."""
    with torch.no_grad():
        before = part(x)
        change(part)
        after = part(x)
        with in_plain_layers(monkeypatch):
            assert_agree(after, part(x))
    assert (after - before).abs().max() > 1e-5


@pytest.mark.parametrize("change", [with_bias, other_padding, pruned])
def test_gated_convolutions_are_those_of_the_layer(part: Part, x: Tensor, change: Callable[[Part], None]) -> None:
    """A part has no faster way than calling a convolution that is more than its weights."""
    change(part)
    network, scan = part.block.feed_forward, part.block.scan
    with torch.no_grad():
        fed, hidden = network(x), scan.project_in(x)
        lifted, _, _ = scan.lifted(x, part.block.prompt_basis)
        first, second = network.depthwise(network.project_in(x)).chunk(2, dim=1)
        assert_agree(fed, network.project_out(F.gelu(first) * second))
        assert_agree(lifted, hidden * torch.sigmoid(scan.position(hidden)))


def test_a_replaced_layer_of_the_same_kind_stays_in_one_call(
    part: Part, x: Tensor, calls: list[tuple[str, bool]]
) -> None:
    """What counts is what is there at the time of the call."""
    with torch.no_grad():
        before = part(x)
        calls.clear()
        part.block.feed_forward.project_out = Pointwise(42, 16, bias=False)
        assert (part(x) - before).abs().max() > 0
    assert len(calls) == 4


def test_parts_of_other_dtypes_are_no_part_of_a_call(part: Part, x: Tensor, calls: list[tuple[str, bool]]) -> None:
    """A norm, a basis of prompts: promoted by the layers, or refused by them, but never misread."""
    part.block.norm2.double()
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"(?i)type"):
        part.block.feed_forward.added(x, part.block.norm2)
    assert not calls
