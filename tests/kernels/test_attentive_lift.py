"""The first half of the attentive scan: the compiled values and gradients are those of the plain version."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from kernel_comparison import assert_agree, assert_all_agree, compiled_versions
from torch import Tensor

from dgno.kernels import attentive_lift_c, attentive_scan_c
from dgno.kernels.attentive_lift import LiftWeights, attentive_lift
from dgno.networks.attentive_scan import AttentiveScan
from dgno.networks.blocks import ChannelNorm

pytestmark = pytest.mark.skipif(not compiled_versions(attentive_lift_c), reason="the kernels were not compiled")


@pytest.fixture(params=compiled_versions(attentive_lift_c))
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every instruction set of this machine, forward and back."""
    for module in (attentive_lift_c, attentive_scan_c):
        monkeypatch.setattr(module.load(), "version", request.param)
    return request.param


@pytest.fixture
def threads() -> Any:
    """Sets the number of threads; it is put back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def lift_inputs(b: int, c: int, h: int, w: int) -> tuple[list[Tensor], Tensor]:
    """Map and weights of the usual sizes, and random numbers; many classes are taken."""
    random = torch.Generator().manual_seed(c * h * w)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(*shape, generator=random)

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
    y, classes, rows = function(leaves[0], LiftWeights(*leaves[1:]), None if uniform is None else uniform.to(dtype, copy=True))
    random = torch.Generator().manual_seed(1)
    probes = [torch.randn(t.shape, generator=random).to(dtype) for t in (y, rows)]
    gradients = torch.autograd.grad((y, rows), leaves, probes, allow_unused=True)
    return [y.detach(), rows.detach(), *gradients], classes


def assert_no_near_tie(tensors: list[Tensor], uniform: Tensor) -> None:
    """The best class is the best by far more than rounding, so that both versions must take the same."""
    seen: list[Tensor] = []
    logits = [t.double() for t in tensors]
    n = torch.nn.functional.layer_norm(logits[0].permute(0, 2, 3, 1), logits[1].shape, logits[1], logits[2])
    hidden = torch.nn.functional.gelu(torch.nn.functional.linear(n, logits[3], logits[4]))
    seen.append(torch.nn.functional.linear(hidden, logits[5], logits[6]).flatten(1, 2))
    best = (seen[0] - torch.log(-torch.log(uniform.double()))).topk(2).values
    assert (best[..., 0] - best[..., 1]).min() > 2e-5


# (b, c, h, w): one pixel, one row, one column; channels beside the vectors (4, 8, 16); wider than a tile, higher than a
# strip; more tiles than tasks
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
