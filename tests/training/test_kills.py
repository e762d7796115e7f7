"""SIGKILL at random moments, again and again: the run ends as if nothing had happened."""

from __future__ import annotations

import json
import multiprocessing
import random
import socket
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_child import train_here

STAGES = "stages = [{until = 6, crop = 32, batch = 2}]"
SERVER = multiprocessing.get_context("forkserver")  # imports once, so that lives are short
SERVER.set_forkserver_preload(["dgno.training.loop", "dgno.training.config"])


@pytest.fixture
def config(run_folder: Path) -> Path:
    """The small run, with a checkpoint at every step: many kills fall into the writing of one."""
    changes = {"stages": STAGES, "checkpoint_every": "checkpoint_every = 1"}
    lines = (run_folder / "config.toml").read_text().splitlines()
    path = run_folder / "often.toml"
    path.write_text("\n".join(changes.get(line.split(" =")[0], line) for line in lines))
    return path


def start(config: Path, out: Path, size: int, workers: int) -> list[BaseProcess]:
    """The processes of a run, started or resumed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    joint = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children: list[BaseProcess] = []
    for rank in range(size):
        children.append(SERVER.Process(target=train_here, args=(config, out, joint | {"RANK": str(rank)}, workers)))
        children[-1].start()
    return children


def finish(children: list[BaseProcess]) -> None:
    for child in children:
        child.join(200)
    assert [child.exitcode for child in children] == [0] * len(children)


def moments(seed: int, step: float) -> Iterator[float]:
    """When to kill, in seconds from the start: in the time of three steps, or while a checkpoint is written."""
    draw = random.Random(seed)
    while True:
        yield draw.uniform(0, 3 * step)
        yield -draw.uniform(0, 0.02)


def kill_at(children: list[BaseProcess], moment: float, out: Path) -> bool:
    """Kill all of them at that moment; a negative one counts from when a checkpoint is begun. Were they still there?"""
    if moment < 0:
        while children[0].is_alive() and not list(out.glob("checkpoints/.step-*")):
            time.sleep(0.0005)
    time.sleep(abs(moment))
    alive = all(child.is_alive() for child in children)
    for child in children:
        child.kill()
    for child in children:
        child.join()
    return alive


def contents(out: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """All tensors of the last checkpoint and of the weights, and the log."""
    files = [*(out / "checkpoints" / "step-00000006").glob("*.safetensors"), out / "weights.safetensors"]
    tensors = {f"{file.name}/{name}": tensor for file in files for name, tensor in load_file(file).items()}
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return tensors, [{key: value for key, value in entry.items() if key != "minutes"} for entry in log]


@pytest.mark.parametrize(("size", "kills", "workers"), [(1, 5, 0), (2, 3, 0), (1, 2, 1)])
def test_a_run_killed_again_and_again_ends_like_an_unbroken_one(
    config: Path, size: int, kills: int, workers: int
) -> None:
    """Weights, averages, optimiser and log, bit for bit; one process, two that share every batch, and one with another
    that draws its batches: it holds no lock when the first is dead."""
    whole, broken = config.parent / "whole", config.parent / "broken"
    started = time.monotonic()
    finish(start(config, whole, size, workers))
    killed = 0
    for moment in moments(size, (time.monotonic() - started) / 6):
        killed += kill_at(start(config, broken, size, workers), moment, broken)
        if killed >= kills or (broken / "weights.safetensors").exists():
            break
    finish(start(config, broken, size, workers))
    assert killed >= 2
    (tensors, log), (others, other_log) = contents(whole), contents(broken)
    assert tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert log == other_log and [entry["step"] for entry in log] == list(range(1, 7))
    assert not list(broken.glob("**/*.dgno-part"))
