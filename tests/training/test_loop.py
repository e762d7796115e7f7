"""Training that can be trusted: what stops it, and what goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dgno.data.scenes import SimulatedPairs
from dgno.errors import ConfigError, ResumeError, TrainingDiverged
from dgno.training import loop
from dgno.training.config import TrainConfig, load_config
from dgno.training.loop import train
from dgno.weights.store import load_weights


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    return load_config(run_folder / "config.toml")


def log_of(folder: Path) -> list[dict[str, float]]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in entry.items() if k != "minutes"} for entry in entries]


def all_tensors(folder: Path) -> dict[str, torch.Tensor]:
    last = sorted((folder / "checkpoints").glob("step-*"))[-1]
    files = [*last.glob("*.safetensors"), folder / "weights.safetensors"]
    return {f"{file.name}/{name}": tensor for file in files for name, tensor in load_file(file).items()}


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, averages, optimiser and log, bit for bit."""
    left, right = all_tensors(a), all_tensors(b)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert log_of(a) == log_of(b)


def test_a_run_leaves_weights_log_and_checkpoints(config: TrainConfig) -> None:
    weights, steps = train(replace(config, validate_every=4))
    network, card = load_weights(weights)
    assert steps == 9
    assert (card.image, card.training["steps"]) == ("test", 9)
    assert network(torch.rand(1, 1, 40, 50)).shape == (1, 1, 40, 50)
    log = log_of(config.out)
    assert [entry["step"] for entry in log] == list(range(1, 10))
    assert all("psnr_restored" in log[step - 1] for step in (4, 8, 9))
    assert [p.name for p in sorted((config.out / "checkpoints").iterdir())] == ["step-00000006", "step-00000009"]


def test_an_interrupted_run_ends_like_an_unbroken_one(config: TrainConfig, run_folder: Path) -> None:
    """Stopped by its time budget at step boundaries, again and again, resumed every time."""
    train(config)
    broken = replace(config, out=run_folder / "broken")
    train(broken, max_minutes=1e-9)
    for _ in range(12):
        train(broken, resume=True, max_minutes=0.002)
    train(broken, resume=True)
    assert_same_run(config.out, broken.out)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_run_ends_like_an_unbroken_one(run_folder: Path, seed: int) -> None:
    """SIGKILL at a random moment, in a process of its own; then resumed here."""
    config = load_config(run_folder / "config.toml")
    train(config)
    killed = replace(config, out=run_folder / "killed")
    text = (run_folder / "config.toml").read_text().replace('out = "run"', 'out = "killed"')
    (run_folder / "killed.toml").write_text(text)
    command = [
        sys.executable,
        "-m",
        "dgno",
        "train",
        str(run_folder / "killed.toml"),
        "--threads",
        str(torch.get_num_threads()),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        while not list(killed.out.glob("checkpoints/step-*")) and child.poll() is None:
            time.sleep(0.01)
        time.sleep(0.13 * seed)
        os.kill(child.pid, signal.SIGKILL)
    assert not (killed.out / "weights.safetensors").exists()
    train(killed, resume=True)
    assert_same_run(config.out, killed.out)


def test_the_newest_whole_checkpoint_is_taken(config: TrainConfig, run_folder: Path) -> None:
    """A damaged one is passed over; without a whole one there is nothing to resume."""
    train(config)
    broken = replace(config, out=run_folder / "broken")
    train(broken)
    newest = broken.out / "checkpoints" / "step-00000009" / "model.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[-1] ^= 1
    newest.write_bytes(damaged)
    train(broken, resume=True)
    assert_same_run(config.out, broken.out)
    for file in (broken.out / "checkpoints").glob("*/state.json"):
        file.write_text("{}")
    with pytest.raises(ResumeError, match="nothing to resume"):
        train(broken, resume=True)


def test_a_checkpoint_of_another_configuration_is_refused(config: TrainConfig) -> None:
    train(config)
    with pytest.raises(ResumeError, match="another configuration"):
        train(replace(config, learning_rate=1e-4), resume=True)
    with pytest.raises(ResumeError, match="holds checkpoints already"):
        train(config)


def test_steps_without_a_finite_gradient_are_skipped_then_end_the_run(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten in a row are a divergence; the weights have not moved."""
    monkeypatch.setattr(loop, "multi_scale_loss", lambda outputs, sharp, fft_norm: (outputs[0].mean() * torch.nan,) * 2)
    config = replace(config, stages=(replace(config.stages[0], until=30),))
    with pytest.raises(TrainingDiverged, match="10 steps in a row up to step 9"):
        train(config)
    start = loop.TrainState.start(config).network.state_dict()
    kept = load_file(sorted((config.out / "checkpoints").glob("step-*"))[-1] / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in start.items())


def test_fine_tuning_starts_from_weights(config: TrainConfig, run_folder: Path) -> None:
    weights, _ = train(config)
    tuned = replace(config, out=run_folder / "tuned", init=weights, learning_rate=0.0, final_learning_rate=0.0, ema=0.0)
    again, _ = train(tuned)
    before, after = load_file(weights), load_file(again)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_samples_are_a_function_of_seed_step_and_slot(config: TrainConfig) -> None:
    """In any order, on any day; and different ones for other steps, slots and seeds."""
    pairs = SimulatedPairs(config.data, config.sources, channels=1, blur=config.blur, augmentation=config.augmentation)
    first, _ = pairs.batch(32, 2, seed=1, step=5)
    pairs.batch(32, 3, seed=1, step=4)
    again, _ = pairs.batch(32, 2, seed=1, step=5)
    assert torch.equal(first, again)
    assert torch.equal(pairs.batch(32, 1, seed=1, step=5)[0][0], first[0])
    others = [first[1], pairs.batch(32, 1, seed=1, step=6)[0][0], pairs.batch(32, 1, seed=2, step=5)[0][0]]
    assert not any(torch.equal(first[0], other) for other in others)


def test_held_out_files_are_not_trained_on(config: TrainConfig) -> None:
    arguments = {"channels": 1, "blur": config.blur, "augmentation": config.augmentation}
    training, held_out = (SimulatedPairs(config.data, config.sources, validation=v, **arguments) for v in (False, True))
    assert (len(training.scenes[0]), len(held_out.scenes[0])) == (19, 1)
    assert not any((scene == held_out.scenes[0][0]).all() for scene in training.scenes[0])


def test_sources_without_files_are_an_error(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"no images match 'nothing\*'"):
        train(replace(config, sources=(replace(config.sources[0], files="nothing*"),)))
