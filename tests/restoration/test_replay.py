"""Which calls are recorded; on a CPU, none, and it is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dgno.networks import DGNOConfig, build
from dgno.restoration.placed import Placed
from dgno.restoration.replay import KEPT, Function, Replayed, cuda_graph, replayed

CPU = torch.device("cpu")


class Recorder:
    """Stands for CUDA graphs where there is no GPU: it notes what was recorded, and what was replayed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.recorded: list[int] = []
        self.replays: list[int] = []
        self.error = error

    def __call__(self, function: Function, like: Tensor) -> Function:
        if self.error:
            raise self.error
        self.recorded.append(like.shape[-1])

        def run(x: Tensor) -> Tensor:
            self.replays.append(x.shape[-1])
            return function(x)

        return run


def restore(calls: Replayed, *widths: int) -> None:
    with torch.no_grad():
        for width in widths:
            x = torch.rand(1, 1, 4, width)
            assert torch.equal(calls(x), 2 * x)


def double(x: Tensor) -> Tensor:
    return 2 * x


def test_sizes_that_come_again_are_recorded_once() -> None:
    """A border tile that comes once costs no recording."""
    recorder = Recorder()
    restore(Replayed(double, recorder, ""), 8, 8, 8, 5, 8)
    assert recorder.recorded == [8]
    assert recorder.replays == [8, 8, 8]


def test_few_sizes_are_kept() -> None:
    """Graphs hold memory: of many sizes, those used last are kept."""
    recorder = Recorder()
    calls = Replayed(double, recorder, "")
    restore(calls, *(w for w in (1, 2, 3) for _ in range(3)))
    assert recorder.recorded == [1, 2, 3]
    assert [shape[-1] for shape in calls.graphs] == [2, 3][-KEPT:]
    restore(calls, 2, 4, 4)
    assert [shape[-1] for shape in calls.graphs] == [2, 4][-KEPT:]


@pytest.mark.parametrize(
    "error, note",
    [
        (RuntimeError("operation not permitted when stream is capturing\nmore"), "operation not permitted"),
        (torch.OutOfMemoryError("CUDA out of memory"), "no memory"),
    ],
)
def test_what_cannot_be_recorded_runs_plainly(error: Exception, note: str) -> None:
    """And says why."""
    calls = Replayed(double, Recorder(error), "")
    restore(calls, 8, 8, 8)
    assert note in calls.note
    assert calls.capture is None


def test_with_gradients_nothing_is_recorded() -> None:
    """A replay has no history."""
    recorder = Recorder()
    calls = Replayed(double, recorder, "")
    x = torch.rand(1, 1, 4, 4, requires_grad=True)
    for _ in range(3):
        calls(x).sum().backward()
    assert not recorder.recorded


@pytest.mark.parametrize(
    "restorer, note",
    [(double, "only networks"), (torch.nn.Identity(), "the device is cpu")],
    ids=["function", "network"],
)
def test_a_cpu_runs_plainly_and_says_so(restorer: Callable[[Tensor], Tensor], note: str) -> None:
    """So does what is no network."""
    placed = Placed(restorer, CPU)
    assert placed.replayed.capture is None
    assert note in placed.replayed.note


def test_networks_on_cuda_are_recorded() -> None:
    """The choice itself needs no GPU."""
    assert replayed(double, torch.device("cuda")).capture is cuda_graph


def test_when_memory_runs_out_graphs_give_theirs_back() -> None:
    """The error passes on; whoever tries again, with smaller tiles, finds the memory of graphs free."""

    def hungry(x: Tensor) -> Tensor:
        if x.shape[-1] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * x

    calls = Replayed(hungry, Recorder(), "")
    restore(calls, 8, 8)
    assert calls.graphs
    with pytest.raises(torch.OutOfMemoryError):
        restore(calls, 9)
    assert not calls.graphs
    restore(calls, 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_is_as_called(precision: str) -> None:
    """On a GPU, graphs give bit by bit what calls give, tile after tile."""
    torch.manual_seed(0)
    config = DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper", scan_block=32, shallow_norm="none")
    placed = Placed(build(config).eval().cuda(), torch.device("cuda"), precision)
    with torch.no_grad():
        for _ in range(4):
            x = torch.rand(1, 1, 64, 96)
            assert torch.equal(placed(x), placed.answer(x.cuda()).cpu())
    assert len(placed.replayed.graphs) == 1, placed.replayed.note
