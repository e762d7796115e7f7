"""The first half of the attentive scan: the compiled values and gradients are those of the plain version."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kernel_comparison import (
    assert_agree,
    assert_all_agree,
    assert_not_differentiated_twice,
    compiled_versions,
    normal_numbers,
)
from torch import Tensor

from dgno.kernels import attentive_lift_c, fusing, tiles
from dgno.kernels.attentive_lift import LiftWeights, attentive_lift
from dgno.networks import attentive_scan as networks
from dgno.networks.attentive_scan import PROMPT_RANK, STATES, AttentiveScan
from dgno.networks.blocks import ChannelNorm

pytestmark = pytest.mark.skipif(not compiled_versions(attentive_lift_c), reason="the kernels were not compiled")


def lift_inputs(b: int, c: int, h: int, w: int) -> tuple[list[Tensor], Tensor]:
    """Map and weights of the usual sizes, and random numbers; many classes are taken."""
    random = torch.Generator().manual_seed(c * h * w)
    normal = partial(normal_numbers, random)
    tensors = [
        *(normal(b, c, h, w) + 1, 1 + normal(c, scale=0.1), normal(c, scale=0.1)),
        *(normal(c // 3, c, scale=c**-0.5), normal(c // 3), normal(64, c // 3, scale=2 * (c // 3) ** -0.5)),
        *(normal(64, scale=0.1), normal(64, 8), normal(2 * c, c, scale=c**-0.5), normal(2 * c)),
        *(normal(2 * c, 1, 3, 3, scale=0.3), normal(2 * c)),
    ]
    return tensors, torch.empty(b, h * w, 64).uniform_(generator=random)


def with_gradients(
    function: Callable[..., Any], tensors: list[Tensor], uniform: Tensor | None, dtype: torch.dtype = torch.float32
) -> tuple[list[Tensor | None], Tensor]:
    """Features, prompts and the gradients of their random projection at all tensors; and the classes."""
    leaves = [t.detach().to(dtype, copy=True).requires_grad_() for t in tensors]
    numbers = None if uniform is None else uniform.to(dtype, copy=True)
    y, classes, rows = function(leaves[0], LiftWeights(*leaves[1:]), numbers)
    random = torch.Generator().manual_seed(1)
    probes = [torch.randn(t.shape, generator=random).to(dtype) for t in (y, rows)]
    gradients = torch.autograd.grad((y, rows), leaves, probes, allow_unused=True)
    return [y.detach(), rows.detach(), *gradients], classes


def assert_no_near_tie(tensors: list[Tensor], uniform: Tensor) -> None:
    """The best class is the best by far more than rounding, so that both versions must take the same."""
    x, *weights = (t.double() for t in tensors[:7])
    normal = F.layer_norm(x.permute(0, 2, 3, 1), weights[0].shape, *weights[:2])
    logits = F.linear(F.gelu(F.linear(normal, *weights[2:4])), *weights[4:6]).flatten(1, 2)
    best = (logits - torch.log(-torch.log(uniform.double()))).topk(2).values
    assert (best[..., 0] - best[..., 1]).min() > 2e-5


# (b, c, h, w): one pixel, one row, one column; channels beside the vectors (4, 8, 16); higher than a strip; rows of
# fewer pixels than the linear maps wait for
MAPS = [(1, 16, 1, 1), (2, 17, 1, 9), (1, 20, 11, 1), (2, 33, 4, 5), (1, 16, 3, 131), (1, 24, 70, 7), (2, 48, 40, 67)]


@pytest.mark.parametrize("sizes", MAPS, ids=str)
def test_values_and_gradients_are_those_of_the_plain_version(version: int, sizes: tuple[int, int, int, int]) -> None:
    """O16 in float64, at odd sizes, for every instruction set; at inputs where no two classes are nearly as good."""
    tensors, uniform = lift_inputs(*sizes)
    assert_no_near_tie(tensors, uniform)
    exact, classes = with_gradients(attentive_lift, tensors, uniform, torch.float64)
    ours, our_classes = with_gradients(attentive_lift_c.attentive_lift_c, tensors, uniform)
    assert torch.equal(our_classes, classes)
    assert_all_agree(ours, exact)


@pytest.mark.parametrize("sizes", [(1, 16, 3, 131), (2, 17, 40, 67)], ids=str)
def test_maps_wider_than_the_cache_are_cut(
    version: int, sizes: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of 16 px or fewer, each with the pixels beside it, give the same."""
    monkeypatch.setattr(tiles, "CACHE", 0)
    tensors, uniform = lift_inputs(*sizes)
    exact, classes = with_gradients(attentive_lift, tensors, uniform, torch.float64)
    ours, our_classes = with_gradients(attentive_lift_c.attentive_lift_c, tensors, uniform)
    assert torch.equal(our_classes, classes)
    assert_all_agree(ours, exact)


@pytest.mark.parametrize("sizes", [(1, 16, 1, 1), (2, 17, 9, 70)], ids=str)
def test_without_noise_the_class_is_the_best_logits(version: int, sizes: tuple[int, int, int, int]) -> None:
    """As in evaluation mode: the routing has no gradient then, the prompts have."""
    tensors, _ = lift_inputs(*sizes)
    exact, classes = with_gradients(attentive_lift, tensors, None, torch.float64)
    ours, our_classes = with_gradients(attentive_lift_c.attentive_lift_c, tensors, None)
    assert torch.equal(our_classes, classes)
    assert [g is None for g in ours] == [g is None for g in exact] == [i in range(5, 9) for i in range(14)]
    assert_all_agree([g for g in ours if g is not None], [g for g in exact if g is not None])


def test_the_logarithm_is_precise_at_both_ends(version: int) -> None:
    """Without logits the soft-max is 1 / -log U over the sum of all: every U that torch draws near 0 and 1, and 0."""
    tensors, _ = lift_inputs(1, 16, 1, 512)
    tensors[5], tensors[6] = torch.zeros_like(tensors[5]), torch.zeros_like(tensors[6])
    steps = torch.arange(1, 512 * 16 + 1)
    uniform = torch.cat([steps, 2**24 - steps, steps * 2039, 2**24 - steps * 2039]).reshape(1, 512, 64) / 2.0**24
    uniform[0, ::7, 5] = 0
    chances = 1 / -uniform.double().log()
    exact = chances / chances.sum(-1, keepdim=True)
    attentive_lift_c.attentive_lift_c(tensors[0], LiftWeights(*tensors[1:]), uniform)  # overwrites the numbers
    assert (uniform[0, ::7, 5] == 0).all()
    assert ((uniform - exact).abs() <= 1e-6 * exact).all()


def test_a_class_that_drew_zero_is_not_taken(version: int) -> None:
    """Also where its logit is so much the best that the chances of all others vanish beside it."""
    tensors, uniform = lift_inputs(1, 16, 2, 3)
    tensors[6][3] = 300
    uniform[0, :4, 3] = 0
    exact, classes = with_gradients(attentive_lift, tensors, uniform, torch.float64)
    ours, our_classes = with_gradients(attentive_lift_c.attentive_lift_c, tensors, uniform)
    assert torch.equal(our_classes, classes)
    assert (our_classes[0] == 3).tolist() == [False] * 4 + [True] * 2
    assert_all_agree(ours, exact)


def test_threads_change_nothing(set_threads: Callable[[int], None]) -> None:
    """Bit for bit, gradients at the weights as well."""
    tensors, uniform = lift_inputs(2, 20, 70, 72)
    set_threads(1)
    alone, _ = with_gradients(attentive_lift_c.attentive_lift_c, tensors, uniform)
    for count in (2, 3):
        set_threads(count)
        results, _ = with_gradients(attentive_lift_c.attentive_lift_c, tensors, uniform)
        assert all(torch.equal(ours, one) for ours, one in zip(results, alone, strict=True))


def test_images_of_a_batch_are_independent() -> None:
    """Values and the gradient at the map, bit for bit."""
    tensors, uniform = lift_inputs(2, 16, 9, 11)
    leaf = tensors[0].clone().requires_grad_()
    y, classes, rows = attentive_lift_c.attentive_lift_c(leaf, LiftWeights(*tensors[1:]), uniform.clone())
    (gradient,) = torch.autograd.grad((y.square().sum(), rows.square().sum()), leaf)
    for i in range(2):
        one = tensors[0][i : i + 1].clone().requires_grad_()
        alone = attentive_lift_c.attentive_lift_c(one, LiftWeights(*tensors[1:]), uniform[i : i + 1].clone())
        for result, whole in zip(alone, (y, classes, rows), strict=True):
            assert torch.equal(result[0], whole[i])
        (at_one,) = torch.autograd.grad((alone[0].square().sum(), alone[2].square().sum()), one)
        assert torch.equal(at_one[0], gradient[i])


def test_what_is_frozen_gets_no_gradient() -> None:
    """And what is not gets the same as before."""
    tensors, uniform = lift_inputs(1, 16, 3, 4)
    all_of_them, _ = with_gradients(attentive_lift_c.attentive_lift_c, tensors, uniform)
    bias = tensors[9].clone().requires_grad_()
    weights = LiftWeights(*tensors[1:9], bias, *tensors[10:])
    y, _, _ = attentive_lift_c.attentive_lift_c(tensors[0], weights, uniform.clone())
    random = torch.Generator().manual_seed(1)
    torch.autograd.backward((y,), (torch.randn(y.shape, generator=random),))
    assert all(t.grad is None for t in tensors)
    assert_agree(bias.grad, all_of_them[2 + 9])


def test_there_is_no_gradient_of_the_gradient() -> None:
    tensors, uniform = lift_inputs(1, 16, 2, 2)

    def function(x: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        y, _, rows = attentive_lift_c.attentive_lift_c(x, LiftWeights(*weights), uniform.clone())
        return y, rows

    assert_not_differentiated_twice(function, tensors)


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("shape", [(0, 16, 2, 2), (2, 16, 0, 3), (1, 16, 3, 0)], ids=str)
def test_a_map_without_pixels_gives_nothing(shape: tuple[int, int, int, int], noise: bool) -> None:
    """No images, or images of no size: empty results, and empty gradients at the map."""
    (b, c, h, w), (_, *weights) = shape, lift_inputs(1, 16, 1, 1)[0]
    x, uniform = torch.empty(shape).requires_grad_(), torch.empty(b, h * w, 64) if noise else None
    y, classes, rows = attentive_lift_c.attentive_lift_c(x, LiftWeights(*weights), uniform)
    assert (y.shape, classes.shape, rows.shape) == ((b, 2 * c, h, w), (b, h * w), (b, h * w, 8))
    (gradient,) = torch.autograd.grad(y.sum() + rows.sum(), x)
    assert gradient.shape == shape


@pytest.mark.parametrize("seeds", [True, False])
def test_a_module_trains_on_no_images(seeds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes the compiled lift like any other batch."""
    calls, module, x = count_calls(monkeypatch), AttentiveScan(16).train(), torch.empty(0, 16, 4, 4).requires_grad_()
    module.routing.generators = [torch.Generator()] if seeds else None
    out = module.added(x, ChannelNorm(16), torch.randn(PROMPT_RANK, STATES))
    assert len(calls) == 1
    out.sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t, u: (t[0].double(), t[1:], u), "wanted float32"),
        (lambda t, u: (t[0][:, :3], t[1:], u), "for 3 channels"),
        (lambda t, u: (t[0], t[1:], u[:, :1]), "uniform is"),
        (lambda t, u: (t[0], t[1:], u.requires_grad_()), "detach them"),
    ],
)
def test_what_would_be_misread_is_refused(change: Callable[..., Any], message: str) -> None:
    tensors, uniform = lift_inputs(1, 16, 2, 2)
    x, weights, uniform = change(tensors, uniform)
    with pytest.raises(ValueError, match=message):
        attentive_lift_c.attentive_lift_c(x, LiftWeights(*weights), uniform)


def module_step(training: bool, seeds: bool) -> list[Tensor | None]:
    """The loss of a module and its gradients at the map and at all parameters."""
    torch.manual_seed(0)
    module, norm = AttentiveScan(16, block=4).train(training), ChannelNorm(16)
    basis, x = torch.randn(32, 8).requires_grad_(), torch.randn(2, 16, 12, 20).requires_grad_()
    if seeds:
        module.routing.generators = [torch.Generator().manual_seed(i) for i in range(2)]
    torch.manual_seed(3)
    out = module.added(x, norm, basis)
    loss = (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(4))).sum()
    leaves = [x, basis, *norm.parameters(), *module.parameters()]
    return [loss.detach(), *torch.autograd.grad(loss, leaves, allow_unused=True)]


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Grows by one for every call of the compiled lift by a module."""
    calls: list[bool] = []
    monkeypatch.setattr(
        networks, "attentive_lift_c", lambda *inputs: calls.append(True) or attentive_lift_c.attentive_lift_c(*inputs)
    )
    return calls


@pytest.mark.parametrize("training, seeds", [(True, True), (True, False), (False, False)])
def test_the_module_gives_what_its_layers_give(training: bool, seeds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and every gradient, in training with each image's generator or the global one, and in evaluation."""
    calls = count_calls(monkeypatch)
    ours = module_step(training, seeds)
    assert len(calls) == 1
    monkeypatch.setenv("DGNO_ATTENTIVE_SCAN", "layers")
    layers = module_step(training, seeds)
    assert len(calls) == 1
    assert [g is None for g in ours] == [g is None for g in layers]
    assert_all_agree([g for g in ours if g is not None], [g for g in layers if g is not None])


def test_layers_run_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In mixed precision, in float64, and under a hook."""
    calls = count_calls(monkeypatch)
    module, norm, x = AttentiveScan(16).train(), ChannelNorm(16), torch.randn(1, 16, 4, 4)
    basis = torch.randn(PROMPT_RANK, STATES)

    def lifts(x: Tensor) -> bool:
        before = len(calls)
        module.added(x, norm, basis)
        return len(calls) > before

    assert lifts(x)
    assert fusing.choose_attentive_lift(x.device, torch.float64, 16).name == "layers"
    with torch.autocast("cpu", torch.bfloat16):
        assert not lifts(x)
    handle = module.position.register_forward_hook(lambda *_: None)
    assert not lifts(x)
    handle.remove()
    assert lifts(x)
