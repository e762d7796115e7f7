"""The second half of the attentive scan with its gradients: the compiled version gives what the plain one gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from kernel_comparison import (
    assert_all_agree,
    assert_not_differentiated_twice,
    compiled_versions,
    core_weights,
    normal_numbers,
    values_and_gradients,
)
from torch import Tensor

from dgno.kernels import attentive_core_c, attentive_scan_c, backends
from dgno.kernels.attentive_core import CoreWeights, attentive_core
from dgno.networks.mamba_block import MambaBlock

pytestmark = pytest.mark.skipif(not compiled_versions(attentive_scan_c), reason="the kernels were not compiled")


def inputs(b: int, c: int, h: int, w: int) -> tuple[Tensor, list[Tensor]]:
    """Classes of all pixels, a few of them taken often; and x, y, prompts and the weights, of the usual sizes."""
    random = torch.Generator().manual_seed(c * h * w)
    normal = partial(normal_numbers, random)
    classes = (normal(b, h * w) * 6 + 32).long().clamp(0, 63)
    weights = core_weights(c, random)
    return classes, [normal(b, c, h, w), normal(b, 2 * c, h, w), normal(b, h * w, 8), *weights]


def core(
    compute: Callable[..., Tensor], classes: Tensor, block: int | None, prompt_sorted: bool
) -> Callable[..., Tensor]:
    """The function of all that has a gradient."""

    def function(x: Tensor, y: Tensor, prompts: Tensor, *weights: Tensor) -> Tensor:
        return compute(x, y, classes, prompts, CoreWeights(*weights), block=block, prompt_sorted=prompt_sorted)

    return function


# (b, c, h, w, block): one pixel; fewer tokens than a segment (32) or a chunk (96), or no multiple of them; one row, one
# column; channels beside whole vectors; several sequences a task, and a last task with fewer of them
MAPS = [
    (1, 16, 1, 1, None),
    (2, 17, 9, 70, None),
    (3, 20, 1, 13, None),
    (1, 33, 107, 1, None),
    (1, 20, 16, 24, 8),
    (2, 17, 9, 12, 3),
    (2, 48, 12, 12, 12),
]


@pytest.mark.parametrize("prompt_sorted", [False, True])
@pytest.mark.parametrize("sizes", MAPS, ids=str)
def test_the_compiled_core_is_the_plain_one(
    version: int, sizes: tuple[int, int, int, int, int | None], prompt_sorted: bool
) -> None:
    """O16: values, and gradients at the map, the features, the prompts and every weight, against float64."""
    *shape, block = sizes
    classes, tensors = inputs(*shape)
    exact = values_and_gradients(core(attentive_core, classes, block, prompt_sorted), tensors, torch.float64)
    ours = values_and_gradients(core(attentive_core_c.attentive_core_c, classes, block, prompt_sorted), tensors)
    assert_all_agree(ours, exact)


def compiled_gradients(
    classes: Tensor, tensors: list[Tensor], block: int | None, prompt_sorted: bool = True
) -> list[Tensor]:
    """Values and gradients of the compiled core."""
    return values_and_gradients(core(attentive_core_c.attentive_core_c, classes, block, prompt_sorted), tensors)


@pytest.mark.parametrize("block", [None, 4, 24])
def test_threads_change_nothing(block: int | None, set_threads: Callable[[int], None]) -> None:
    """Bit for bit, values and all gradients: with more sequences than threads and with fewer."""
    classes, tensors = inputs(1, 20, 24, 48)
    set_threads(1)
    alone = compiled_gradients(classes, tensors, block)
    for count in (2, 3):
        set_threads(count)
        for one, other in zip(compiled_gradients(classes, tensors, block), alone, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("block, prompt_sorted", [(None, False), (6, True)])
def test_images_are_independent(block: int | None, prompt_sorted: bool) -> None:
    """Bit for bit: an image alone gives what it gives among others; weights get the sum over the images."""
    classes, (x, y, prompts, *weights) = inputs(3, 17, 12, 18)

    def of_images(some: slice) -> list[Tensor]:
        tensors = [x[some], y[some], prompts[some], *weights]
        leaves = [t.clone().requires_grad_() for t in tensors]
        function = core(attentive_core_c.attentive_core_c, classes[some], block, prompt_sorted)
        out = function(*leaves)
        return [out.detach(), *torch.autograd.grad((out * x[some].sin()).sum(), leaves)]

    together, alone = of_images(slice(None)), [of_images(slice(i, i + 1)) for i in range(3)]
    for whole, *parts in zip(together[:4], *(one[:4] for one in alone), strict=True):
        assert torch.equal(whole, torch.cat(parts))
    assert_all_agree(
        together[4:], [sum(parts[1:], parts[0]) for parts in zip(*(one[4:] for one in alone), strict=True)]
    )


def test_frozen_weights_get_no_gradient() -> None:
    """None where none is wanted, and the others are what they are with all of them."""
    classes, tensors = inputs(1, 16, 8, 8)
    everything = compiled_gradients(classes, tensors, None)[1:]
    some = [t.clone().requires_grad_(i in (1, 6)) for i, t in enumerate(tensors)]
    out = core(attentive_core_c.attentive_core_c, classes, None, True)(*some)
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(1)))
    for i, (tensor, gradient) in enumerate(zip(some, everything, strict=True)):
        if i in (1, 6):
            assert tensor.grad is not None
            assert torch.equal(tensor.grad, gradient)
        else:
            assert tensor.grad is None


def test_there_is_no_gradient_of_a_gradient() -> None:
    """It raises instead of giving zeros."""
    classes, tensors = inputs(1, 16, 4, 4)
    assert_not_differentiated_twice(core(attentive_core_c.attentive_core_c, classes, None, True), tensors)


def test_a_map_without_images_stays_without() -> None:
    """Nothing in, nothing out."""
    classes, tensors = inputs(0, 16, 4, 4)
    assert core(attentive_core_c.attentive_core_c, classes, None, True)(*tensors).shape == (0, 16, 4, 4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": torch.randn(1, 16, 4, 4).double()}, "wanted float32"),
        ({"y": torch.randn(1, 16, 4, 4)}, "y is"),
        ({"classes": torch.zeros(1, 9, dtype=torch.int64)}, "classes is"),
        ({"classes": torch.full((1, 16), 64)}, "classes from 64 to 64, wanted 0 to 63"),
        ({"classes": torch.arange(16)[None] - 1}, "classes from -1 to 14, wanted 0 to 63"),
        ({"classes": torch.full((1, 16), 256)}, "classes from 256 to 256"),  # 0, if cut to a byte
        ({"classes": torch.zeros(1, 16)}, "classes are torch.float32 on cpu, wanted integers on the CPU"),
        ({"classes": torch.zeros(1, 16, dtype=torch.int64, device="meta")}, "on meta, wanted integers on the CPU"),
        ({"block": 3}, "do not fit"),
        ({"block": 0}, "blocks of 0 px do not fit"),
        ({"block": -4}, "blocks of -4 px do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    """The C code believes what it is told."""
    classes, (x, y, prompts, *weights) = inputs(1, 16, 4, 4)
    given: dict[str, Any] = {"x": x, "y": y, "prompts": prompts, "classes": classes, "block": None} | change
    check = partial(attentive_core_c._check, weights=CoreWeights(*weights))
    with pytest.raises(ValueError, match=message):
        check(**given)


def trained(module: MambaBlock, x: Tensor) -> list[Tensor]:
    """The output in training mode with the same routing noise, and the gradients at the map and all parameters."""
    torch.manual_seed(3)
    leaf = x.clone().requires_grad_()
    out = module(leaf)
    leaves = [leaf, *module.parameters()]  # without noise, nothing goes back to the routing's
    gradients = torch.autograd.grad(out.square().mean(), leaves, allow_unused=True, materialize_grads=True)
    return [out.detach(), *gradients]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block, prompt_sorted", [(None, False), (4, True)])
def test_a_block_trains_as_its_layers_do(
    block: int | None, prompt_sorted: bool, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same values and gradients both ways; in one call, the layers of the scan are not run."""
    torch.manual_seed(0)
    module = MambaBlock(16, block=block, prompt_sorted=prompt_sorted).train(training)
    x = torch.randn(2, 16, 12, 20)
    monkeypatch.setenv("DGNO_ATTENTIVE_SCAN", "layers")
    layers = trained(module, x)
    monkeypatch.delenv("DGNO_ATTENTIVE_SCAN")
    monkeypatch.setattr(backends, "selective_scan", None)
    assert_all_agree(trained(module, x), layers)


def test_layers_run_in_mixed_precision_and_under_hooks() -> None:
    """The gradient in one call is for float32, and a hook sees its layer."""
    module, x = MambaBlock(16, block=None, prompt_sorted=True), torch.randn(1, 16, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            assert module(x).isfinite().all()
        module(x).sum().backward()
    seen: list[torch.Size] = []
    module.scan.project_out.register_forward_hook(lambda m, i, output: seen.append(output.shape))
    module(x).sum().backward()
    assert seen == [x.shape]
