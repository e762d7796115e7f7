"""The second half of the attentive scan with its gradients: the compiled version gives what the plain one gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from kernel_comparison import assert_all_agree, compiled_versions, values_and_gradients
from torch import Tensor

from dgno.kernels import attentive_core_c, attentive_scan_c
from dgno.kernels.attentive_core import CoreWeights, attentive_core

pytestmark = pytest.mark.skipif(not compiled_versions(attentive_scan_c), reason="the kernels were not compiled")


@pytest.fixture(params=compiled_versions(attentive_scan_c))
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every instruction set of this machine."""
    monkeypatch.setattr(attentive_scan_c.load(), "version", request.param)
    return request.param


@pytest.fixture
def threads() -> Any:
    """Sets the number of threads; it is put back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def inputs(b: int, c: int, h: int, w: int) -> tuple[Tensor, list[Tensor]]:
    """Classes of all pixels, a few of them taken often; and x, y, prompts and the weights, of the usual sizes."""
    random = torch.Generator().manual_seed(c * h * w)
    hidden, rank = 2 * c, -(-2 * c // 16)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(*shape, generator=random)

    def matrix(outputs: int, inputs: int) -> Tensor:
        return normal(outputs, inputs, scale=inputs**-0.5)

    classes = (normal(b, h * w) * 6 + 32).long().clamp(0, 63)
    weights = [
        *(matrix(rank + 16, hidden), matrix(hidden, rank), normal(hidden) - 3, normal(hidden, 8), normal(hidden)),
        *(1 + normal(hidden, scale=0.1), normal(hidden, scale=0.1), matrix(c, hidden), normal(c)),
    ]
    return classes, [normal(b, c, h, w), normal(b, hidden, h, w), normal(b, h * w, 8), *weights]


def core(
    compute: Callable[..., Tensor], classes: Tensor, block: int | None, prompt_sorted: bool
) -> Callable[..., Tensor]:
    """The function of all that has a gradient."""

    def function(x: Tensor, y: Tensor, prompts: Tensor, *weights: Tensor) -> Tensor:
        return compute(x, y, prompts, classes, CoreWeights(*weights), block=block, prompt_sorted=prompt_sorted)

    return function


# (b, c, h, w, block): one pixel; fewer tokens than a segment (16) or a chunk (96), or no multiple of them; one row, one
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
