"""Two scales merged in one pass: the compiled version gives what the plain one gives, a stage what its layers give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from kernel_comparison import assert_agree, compiled_versions, matrix, normal_numbers
from torch import Tensor, nn

import dgno.networks.dgno as stages
from dgno.kernels import fusing, pointwise_c
from dgno.kernels.merge import merge
from dgno.kernels.merge_c import merge_c
from dgno.networks.dgno import OperatorStage

pytestmark = pytest.mark.skipif(not compiled_versions(pointwise_c), reason="the kernels were not compiled")

# (b, channels, h, w) of the coarse map: one pixel, channels beside the vectors (4, 8, 16), rows longer than a task's
SIZES = [(1, 16, 1, 1), (2, 17, 3, 5), (1, 20, 1, 49), (1, 33, 2, 97), (2, 48, 4, 48), (1, 4, 2, 3)]


def inputs(b: int, c: int, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(b * c * h * w)
    normal = normal_numbers
    return normal(random, b, 4 * c, h, w), normal(random, b, c, 2 * h, 2 * w), matrix(random, c, 2 * c)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_compiled_merge_is_the_plain_one(version: int, sizes: tuple[int, int, int, int]) -> None:
    """O16, at odd sizes, for every instruction set; a map of no image too."""
    tensors = inputs(*sizes)
    assert_agree(merge_c(*tensors), merge(*(t.double() for t in tensors)))
    coarse, fine, weight = tensors
    assert merge_c(coarse[:0], fine[:0], weight).shape == (0, *fine.shape[1:])


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_coarse_map_may_be_bfloat16(version: int, sizes: tuple[int, int, int, int]) -> None:
    """As mixed precision leaves it: each number is read as what it is."""
    coarse, fine, weight = inputs(*sizes)
    short = coarse.bfloat16()
    assert torch.equal(merge_c(short, fine, weight), merge_c(short.float(), fine, weight))


@pytest.mark.skipif(not fusing.has_half(), reason="no products of bfloat16 here")
@pytest.mark.parametrize("sizes", SIZES[:5], ids=str)
def test_bfloat16_rounds_the_factors_and_nothing_else(sizes: tuple[int, int, int, int]) -> None:
    tensors = inputs(*sizes)
    exact = merge(*(t.bfloat16().double() for t in tensors))
    assert_agree(merge_c(*tensors, half=True), exact)


def test_threads_change_nothing_and_a_pixel_is_merged_alike(set_threads: Callable[[int], None]) -> None:
    """Bit for bit, in every crop."""
    coarse, fine, weight = inputs(1, 20, 9, 130)
    set_threads(1)
    alone = merge_c(coarse, fine, weight)
    for threads in (2, 3, 7):
        set_threads(threads)
        assert torch.equal(merge_c(coarse, fine, weight), alone)
    crop = merge_c(coarse[:, :, 2:7, 50:].contiguous(), fine[:, :, 4:14, 100:].contiguous(), weight)
    assert torch.equal(crop, alone[:, :, 4:14, 100:])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Each call of the compiled merge: whether it was in half precision."""
    seen: list[bool] = []

    def spy(*tensors: Tensor, half: bool) -> Tensor:
        seen.append(half)
        return merge_c(*tensors, half=half)

    monkeypatch.setattr(stages, "merge_c", spy)
    return seen


@pytest.fixture
def stage() -> OperatorStage:
    torch.manual_seed(0)
    return OperatorStage(16, nn.Sequential()).eval()


def maps() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(2)
    return normal_numbers(random, 1, 32, 6, 9), normal_numbers(random, 1, 16, 12, 18)


def layered(stage: OperatorStage, coarser: Tensor, fine: Tensor) -> Tensor:
    both = torch.cat([F.pixel_shuffle(stage.up[0](coarser), 2), fine], 1)
    return F.linear(both.permute(0, 2, 3, 1), stage.merge.weight).permute(0, 3, 1, 2)


def test_a_stage_is_merged_in_one_call(stage: OperatorStage, calls: list[bool]) -> None:
    with torch.no_grad():
        assert_agree(stage(*maps()), layered(stage, *maps()))
    assert calls == [False]


@pytest.mark.skipif(not fusing.has_half(), reason="no products of bfloat16 here")
def test_mixed_precision_is_merged_in_one_call(stage: OperatorStage, calls: list[bool]) -> None:
    with torch.no_grad():
        exact = layered(stage, *maps())
        with torch.autocast("cpu", torch.bfloat16):
            assert_agree(stage(*maps()), exact, 0.02)
    assert calls == [True]


@pytest.mark.parametrize("wanted", ["up.0.weight", "merge.weight", "coarser", "fine"])
def test_a_gradient_is_that_of_the_layers(stage: OperatorStage, calls: list[bool], wanted: str) -> None:
    """At one parameter or map alone."""
    stage.requires_grad_(False)
    coarser, fine = maps()
    at = {"coarser": coarser, "fine": fine}.get(wanted)
    at = stage.get_parameter(wanted) if at is None else at
    at.requires_grad_()
    ours, exact = (torch.autograd.grad(f(coarser, fine).square().mean(), at) for f in (stage, _of_layers(stage)))
    assert_agree(*ours, *exact)
    assert not calls


def _of_layers(stage: OperatorStage) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda coarser, fine: layered(stage, coarser, fine)


@pytest.mark.parametrize("variable, value", [("DGNO_MERGE", "layers"), ("DGNO_POINTWISE", "linear")])
def test_a_variable_asks_for_the_layers(
    stage: OperatorStage, calls: list[bool], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with torch.no_grad():
        assert_agree(stage(*maps()), layered(stage, *maps()))
    assert not calls
    monkeypatch.setenv("DGNO_MERGE", "c")
    with torch.no_grad():
        stage(*maps())
    assert calls == [False]


@pytest.mark.parametrize("name", ["up", "up.0", "up.1", "merge"])
def test_a_hook_is_called(stage: OperatorStage, calls: list[bool], name: str) -> None:
    """On every module; only that of the convolution leaves the rest in one call."""
    seen: list[str] = []
    stage.get_submodule(name).register_forward_hook(lambda *_: seen.append(name))
    with torch.no_grad():
        stage(*maps())
    assert seen == [name]
    assert len(calls) == (name == "up.0")


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own
def test_forward_mode_goes_through_the_layers(stage: OperatorStage, calls: list[bool]) -> None:
    coarser, fine = maps()
    weight = stage.up[0].weight
    _, ours = torch.func.jvp(
        lambda w: torch.func.functional_call(stage, {"up.0.weight": w}, (coarser, fine)), (weight,), (weight,)
    )
    with torch.no_grad():
        both = torch.cat([F.pixel_shuffle(stage.up[0](coarser), 2), torch.zeros_like(fine)], 1)
        exact = F.linear(both.permute(0, 2, 3, 1), stage.merge.weight).permute(0, 3, 1, 2)  # linear in the weight
    assert_agree(ours, exact)
    assert not calls
