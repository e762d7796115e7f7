"""Batches drawn ahead: the same run with any number of processes, on any number of threads."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_child import train_here

from dgno.data.scenes import SimulatedPairs
from dgno.errors import ConfigError, UnreadableInput
from dgno.training.ahead import MOST_WORKERS, batches_from, usual_workers
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.loop import train
from dgno.training.parallel import Ranks
from dgno.training.state import CPU
from dgno.weights.store import read_weights

ALONE = Ranks()


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    return load_config(run_folder / "config.toml")


def pairs_of(config: TrainConfig, kind: type[SimulatedPairs] = SimulatedPairs) -> SimulatedPairs:
    return kind(config.data, config.sources, channels=1, blur=config.blur, augmentation=config.augmentation)


def drawn(config: TrainConfig, first: int, workers: int, ranks: Ranks = ALONE) -> list[tuple[torch.Tensor, ...]]:
    batches = batches_from(first, pairs_of(config), config, ranks, workers=workers, device=CPU)
    return [next(batches) for _ in range(3)]


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_draw_the_batches_of_the_steps_in_order(config: TrainConfig, workers: int) -> None:
    """From the step on that a run is resumed at; also where this process has more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        alone, ahead = drawn(config, 4, 0), drawn(config, 4, workers)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for one, other in zip(alone, ahead, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(alone[1][0], alone[2][0])


def test_ranks_draw_their_slots(config: TrainConfig) -> None:
    config = replace(config, stages=(Stage(5, 32, 4),))
    whole = drawn(config, 0, 0)
    halves = [drawn(config, 0, 0, Ranks(rank, 2)) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        for rank, half in enumerate(halves):
            assert torch.equal(half[step][0], batch[0][rank::2])


def test_a_run_is_the_same_with_a_process_ahead(config: TrainConfig, tmp_path: Path) -> None:
    """Weights bit for bit."""
    tensors = [
        read_weights(train(replace(config, out=tmp_path / str(workers)), workers=workers)[0])[1] for workers in (0, 1)
    ]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


class Broken(SimulatedPairs):
    def batch(
        self, crop: int, size: int, *, seed: int, step: int, slots: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if step:
            raise ValueError("a mistake of ours")
        raise UnreadableInput("the file is gone", path=Path("gone.tif"), why="it was moved", hint="move it back")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_fails_in_a_process_is_told_as_what_it_is(config: TrainConfig, workers: int) -> None:
    """With all its parts; where it failed is a note for whoever asks for tracebacks, or in the traceback itself."""
    batches = batches_from(0, pairs_of(config, Broken), config, Ranks(), workers=workers, device=CPU)
    with pytest.raises(UnreadableInput) as caught:
        next(batches)
    error = caught.value
    assert (error.path, error.why, error.hint) == (Path("gone.tif"), "it was moved", "move it back")
    assert str(error) == "the file is gone (gone.tif): it was moved; move it back"
    assert "in batch\n" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("step", [0, 1], ids=["error", "mistake"])
def test_processes_end_when_drawing_fails(config: TrainConfig, step: int) -> None:
    """While the exception is held, as a notebook holds the last one."""
    batches = batches_from(step, pairs_of(config, Broken), config, Ranks(), workers=1, device=CPU)
    with pytest.raises((UnreadableInput, ValueError)) as caught:
        next(batches)
    assert multiprocessing.active_children() == []
    assert caught.value.__traceback__ is not None


def test_processes_end_when_a_run_fails(config: TrainConfig) -> None:
    """While the exception is held, whose traceback holds the loop and its batches."""
    seen: list[int] = []

    def fail(entry: dict[str, float]) -> None:
        seen.append(len(multiprocessing.active_children()))
        raise InterruptedError

    with pytest.raises(InterruptedError) as caught:
        train(config, workers=1, report=fail)
    assert multiprocessing.active_children() == []
    assert seen == [1] and caught.value.__traceback__ is not None


@pytest.mark.parametrize("workers", [-1, True, 1025])
def test_a_number_of_processes_is_wanted(config: TrainConfig, workers: int) -> None:
    with pytest.raises(ConfigError, match=f"workers is {workers}, wanted a whole number of at least 0"):
        train(config, workers=workers)
    assert not config.out.exists()


@pytest.mark.parametrize(
    "cores, ranks, on_cpu, on_gpu", [(1, 1, 0, 0), (2, 1, 1, 1), (16, 1, 1, MOST_WORKERS), (16, 4, 1, 3)]
)
def test_cores_that_are_left_draw(
    monkeypatch: pytest.MonkeyPatch, cores: int, ranks: int, on_cpu: int, on_gpu: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    assert usual_workers(CPU, Ranks(0, ranks), 1000) == on_cpu
    assert usual_workers(torch.device("cuda"), Ranks(0, ranks), 1000) == on_gpu
    assert usual_workers(torch.device("cuda"), Ranks(0, ranks), 10) == 0


def descendants(process: int) -> set[int]:
    """Processes that it started, and that those started. Linux."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return {int(child) for child in children} | {d for child in children for d in descendants(int(child))}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_end_with_a_run_that_is_killed(config: TrainConfig, run_folder: Path, tmp_path: Path) -> None:
    """None is left behind, with its images in memory."""
    text = (run_folder / "config.toml").read_text().splitlines()
    path = run_folder / "long.toml"
    stages = "stages = [{until = 100000, crop = 32, batch = 2}]"
    path.write_text("\n".join(stages if line.startswith("stages") else line for line in text))
    child = multiprocessing.get_context("spawn").Process(target=train_here, args=(path, tmp_path / "run", {}, 1))
    child.start()
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "run").glob("checkpoints/step-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert child.pid is not None
        others = descendants(child.pid)
    finally:
        child.kill()
        child.join()
    assert others
    while any(Path(f"/proc/{other}").exists() for other in others) and time.monotonic() < deadline + 30:
        time.sleep(0.1)
    assert [other for other in others if Path(f"/proc/{other}").exists()] == []
