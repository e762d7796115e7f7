"""Training that can be trusted: what stops it, and what goes on."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from dgno.data.scenes import SimulatedPairs
from dgno.errors import (
    CheckpointMismatch,
    ConfigError,
    CorruptCheckpoint,
    ResumeError,
    UnknownWeights,
)
from dgno.training import loop
from dgno.training.config import TrainConfig, load_config
from dgno.training.loop import train
from dgno.weights.learnt import learnt_by
from dgno.weights.store import load_weights
from training_run import assert_same_run, filled, log_of


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    return load_config(run_folder / "config.toml")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, judged_by_few_crops: None) -> Path:
    """The folder of the small run, trained in one go."""
    config = load_config(filled(tmp_path_factory.mktemp("unbroken")) / "config.toml")
    train(config)
    return config.out


def test_a_run_leaves_weights_log_and_checkpoints(config: TrainConfig) -> None:
    weights, steps = train(replace(config, validate_every=4))
    network, card = load_weights(weights)
    assert steps == 9
    assert (card.image, card.training["steps"]) == ("test", 9)
    assert learnt_by([weights]) == config.learnt
    assert network(torch.rand(1, 1, 40, 50)).shape == (1, 1, 40, 50)
    log = log_of(config.out)
    assert [entry["step"] for entry in log] == list(range(1, 10))
    assert all("psnr_restored" in log[step - 1] for step in (4, 8, 9))
    assert [p.name for p in sorted((config.out / "checkpoints").iterdir())] == ["step-00000006", "step-00000009"]


def test_an_interrupted_run_ends_like_an_unbroken_one(
    config: TrainConfig, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by its time budget at step boundaries, again and again, resumed every time. The clock is looked at twice
    in a step, and goes on by a second at every look."""
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    seen = [train(config, max_minutes=4 / 60)[1]]
    while seen[-1] < config.steps and len(seen) < 9:
        seen.append(train(config, resume=True, max_minutes=4 / 60)[1])
    assert seen == [2, 4, 6, 8, 9]
    assert_same_run(unbroken, config.out)


def test_a_killed_command_ends_like_an_unbroken_run(config: TrainConfig, unbroken: Path, run_folder: Path) -> None:
    """SIGKILL, in a process of its own; then resumed here."""
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
        time.sleep(0.13)
        os.kill(child.pid, signal.SIGKILL)
    assert not (killed.out / "weights.safetensors").exists()
    train(killed, resume=True)
    assert_same_run(unbroken, killed.out)


def test_the_newest_whole_checkpoint_is_taken(config: TrainConfig, unbroken: Path) -> None:
    """A damaged one is passed over; without a whole one there is nothing to resume."""
    shutil.copytree(unbroken, config.out)
    newest = config.out / "checkpoints" / "step-00000009" / "model.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[-1] ^= 1
    newest.write_bytes(damaged)
    train(config, resume=True)
    assert_same_run(unbroken, config.out)
    for file in (config.out / "checkpoints").glob("*/state.json"):
        file.write_text("{}")
    with pytest.raises(ResumeError, match="nothing to resume"):
        train(config, resume=True)


def test_a_run_that_was_begun_is_not_begun_anew(config: TrainConfig) -> None:
    train(config, max_minutes=0)
    with pytest.raises(ResumeError, match="holds checkpoints already"):
        train(config)


@pytest.mark.parametrize("change", ["more", "fewer", "another size", "another name"])
def test_a_checkpoint_of_other_data_is_refused(config: TrainConfig, change: str) -> None:
    """Resuming then would not end as the unbroken run."""
    train(config, max_minutes=0)
    first = config.data / "00.png"
    if change == "more":
        shutil.copy(first, config.data / "20.png")
    elif change == "fewer":
        first.unlink()
    elif change == "another size":
        first.write_bytes(first.read_bytes() + b"\0")
    else:
        first.rename(config.data / "000.png")
    with pytest.raises(ResumeError, match=r"belongs to another list of data files \("):
        train(config, resume=True)


def test_a_run_can_be_resumed_in_another_place(config: TrainConfig, run_folder: Path) -> None:
    """Folders may be moved together: neither `data` nor `out` is what a checkpoint belongs to."""
    train(config, max_minutes=0)
    moved = run_folder / "moved"
    moved.mkdir()
    for name in ("sharp", "run"):
        shutil.move(run_folder / name, moved / name)
    _, steps = train(replace(config, data=moved / "sharp", out=moved / "run"), resume=True)
    assert steps == config.steps


def test_no_minutes_are_no_steps(config: TrainConfig) -> None:
    """Saved at once, ready to be resumed; negative ones are refused."""
    weights, steps = train(config, max_minutes=0)
    assert steps == 0
    assert load_weights(weights)[1].training["steps"] == 0
    assert [p.name for p in (config.out / "checkpoints").iterdir()] == ["step-00000000"]
    with pytest.raises(ConfigError, match="at least 0"):
        train(config, resume=True, max_minutes=-1)
    assert train(config, resume=True)[1] == config.steps


def test_fine_tuning_starts_from_weights(config: TrainConfig, unbroken: Path, run_folder: Path) -> None:
    weights = unbroken / "weights.safetensors"
    tuned = replace(config, out=run_folder / "tuned", init=weights, learning_rate=0.0, final_learning_rate=0.0, ema=0.0)
    again, _ = train(tuned)
    before, after = load_file(weights), load_file(again)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_deeper_network_goes_on_from_a_shallower_one(config: TrainConfig, unbroken: Path, run_folder: Path) -> None:
    """Before its first step it gives what the shallower one gives."""
    shallow = unbroken / "weights.safetensors"
    network = replace(config.network, blocks=(2, 1, 2, 1))
    deep, _ = train(replace(config, network=network, out=run_folder / "deep", init=shallow), max_minutes=0)
    x, networks = torch.rand(1, 1, 64, 32), [load_weights(path)[0] for path in (shallow, deep)]
    with torch.no_grad():
        torch.testing.assert_close(networks[1](x), networks[0](x), rtol=0, atol=1e-6)


def test_what_a_run_starts_from_is_checked_before_the_first_step(config: TrainConfig, run_folder: Path) -> None:
    """A file that is missing or damaged, and weights of another network; nothing is written then."""
    with pytest.raises(UnknownWeights, match="no weights at"):
        train(replace(config, init=run_folder / "nothing.safetensors"))
    with pytest.raises(CheckpointMismatch, match=r"do not fit the network.*give `init` of the network in \[network\]"):
        train(replace(config, init=Path("fluorescence-nano")))
    (run_folder / "step-00000003").mkdir()
    with pytest.raises(CorruptCheckpoint, match="not a whole checkpoint"):
        train(replace(config, init=run_folder / "step-00000003"))
    assert not config.out.exists()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images_can_be_trained_on(config: TrainConfig, count: int) -> None:
    """From two on, one is held out for validation; with a single one there is none, and that is said once."""
    for file in sorted(config.data.iterdir())[count:]:
        file.unlink()
    remarks: list[str] = []
    train(replace(config, validate_every=4), remark=remarks.append)
    validated = [entry["step"] for entry in log_of(config.out) if "psnr_restored" in entry]
    assert validated == ([4, 8, 9] if count > 1 else [])
    assert remarks == (
        [] if count > 1 else ["no validation: every source is a single file or group, so none can be held out"]
    )


def test_everything_lies_on_the_device_that_was_asked_for(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches, network, average and optimiser; "meta", which computes nothing, stands in for a GPU."""
    device = torch.device("meta")
    state = loop.TrainState.start(config, device=device)
    assert {p.device for p in state.network.parameters()} == {device}
    assert {t.device for t in state.average.values()} == {device}
    seen: list[torch.device] = []

    def step(state: object, loss: torch.Tensor, config: object, ranks: object) -> float:
        seen.append(loss.device)
        raise InterruptedError

    monkeypatch.setattr(loop.TrainState, "start", lambda config, tensors, device: state)
    monkeypatch.setattr(type(state.network), "seed_routing", lambda self, seeds: None)
    monkeypatch.setattr(type(state.network), "at_all_scales", lambda self, x: (x, x[..., ::2, ::2], x[..., ::4, ::4]))
    monkeypatch.setattr(loop, "_descend", step)
    with pytest.raises(InterruptedError):
        train(config, device=device)
    assert seen == [device]


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
