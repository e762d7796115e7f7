"""What a run may be resumed with: its own configuration, another end, and what changes no step."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dgno.errors import ResumeError
from dgno.io.checksum import file_sha256
from dgno.optics.simulate import BlurRange
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.loop import learning_rate, train
from dgno.weights.store import load_weights
from training_run import log_of


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    """The small run, of 9 steps."""
    return load_config(run_folder / "config.toml")


def test_what_differs_is_named(config: TrainConfig) -> None:
    """Keys within tables too, with their values; and how to start from what was learnt."""
    train(config, max_minutes=0)
    other = replace(config, learning_rate=1e-4, blur=BlurRange(sigma=(0.6, 3.0)), init=Path("fluorescence-nano"))
    with pytest.raises(ResumeError) as caught:
        train(other, resume=True)
    assert caught.value.what == "the checkpoint belongs to another configuration"
    assert caught.value.why == (
        'init was not given and is "fluorescence-nano"; blur.sigma was [0.6, 2.0] and is [0.6, 3.0]; '
        "learning_rate was 0.002 and is 0.0001"
    )
    assert f'init = "{config.out.absolute() / "checkpoints" / "step-00000000"}"' in caught.value.hint


def test_stages_of_a_network_that_takes_other_crops_are_no_stumbling_block(config: TrainConfig) -> None:
    """The crops of then would not do for the network of now."""
    train(config, max_minutes=0)
    deeper = replace(config.network, scan_block=64)
    with pytest.raises(ResumeError, match=r"network\.scan_block was 32 and is 64"):
        train(replace(config, network=deeper, stages=(Stage(9, 2 * deeper.multiple, 1),)), resume=True)


def test_of_many_differences_the_first_are_named(config: TrainConfig) -> None:
    train(config, max_minutes=0)
    changed = replace(config, seed=8, clip=2.0, ema=0.5, warmup=1, weight_decay=0.0, fft_norm="backward", image="x")
    with pytest.raises(ResumeError, match="; 1 more; resume as the run was begun"):
        train(changed, resume=True)


def test_a_checkpoint_of_an_earlier_version_cannot_say_what_differs(config: TrainConfig) -> None:
    """It goes on with its own configuration as before."""
    train(config, max_minutes=0)
    checkpoint = config.out / "checkpoints" / "step-00000000"
    facts = json.loads((checkpoint / "state.json").read_text())
    del facts["settings"]
    (checkpoint / "state.json").write_text(json.dumps(facts))
    sums = [f"{file_sha256(file)}  {file.name}\n" for file in checkpoint.iterdir() if file.name != "SHA256SUMS"]
    (checkpoint / "SHA256SUMS").write_text("".join(sums))
    with pytest.raises(ResumeError, match="which of its keys differ is not kept there"):
        train(replace(config, seed=8), resume=True)
    assert train(config, resume=True)[1] == config.steps


LONGER = {
    "its last stage": (Stage(5, 32, 2), Stage(11, 64, 1)),
    "a stage more": (Stage(5, 32, 2), Stage(9, 64, 1), Stage(11, 32, 1)),
}


@pytest.mark.parametrize("stages", LONGER.values(), ids=LONGER)
def test_a_run_can_be_made_longer(config: TrainConfig, stages: tuple[Stage, ...]) -> None:
    """Also one that has ended; what was done stays, the steps after it take the learning rate of the longer run."""
    train(config)
    before, remarks = log_of(config.out), list[str]()
    longer = replace(config, stages=stages)
    weights, steps = train(longer, resume=True, remark=remarks.append)
    assert (steps, load_weights(weights)[1].training["of steps"]) == (11, 11)
    assert log_of(config.out)[:9] == before and len(log_of(config.out)) == 11
    assert remarks == ["the run is longer, 11 steps, not 9: the learning rate goes on as in one of 11"]
    assert learning_rate(9, longer) > learning_rate(8, config) and math.isclose(learning_rate(11, longer), 1e-6)
    assert train(longer, resume=True)[1] == 11
    with pytest.raises(ResumeError, match="stages was "):
        train(config, resume=True)


@pytest.mark.parametrize("stages", [
    (Stage(5, 32, 2), Stage(7, 64, 1)),
    (Stage(5, 32, 2),),
    (Stage(7, 32, 2), Stage(8, 64, 1)),
])  # fmt: skip
def test_a_run_can_be_made_shorter(config: TrainConfig, stages: tuple[Stage, ...]) -> None:
    """Down to the step that it has reached: its learning rate comes down sooner. The steps that were taken stay."""
    _take(config, 3)
    before, remarks = log_of(config.out)[:3], list[str]()
    shorter = replace(config, stages=stages)
    weights, steps = train(shorter, resume=True, remark=remarks.append)
    assert steps == shorter.steps == load_weights(weights)[1].training["of steps"]
    assert log_of(config.out)[:3] == before and len(log_of(config.out)) == steps
    rate = f"the learning rate goes on as in one of {steps}"
    assert remarks == [f"the run is shorter, {steps} steps, not 9: {rate}"]


def test_stages_may_end_elsewhere_in_a_run_that_is_as_long(config: TrainConfig) -> None:
    """Before the step that they are to change at."""
    _take(config, 3)
    remarks: list[str] = []
    assert train(replace(config, stages=(Stage(7, 32, 2), Stage(9, 64, 1))), resume=True, remark=remarks.append)[1] == 9
    assert remarks == ["the stages that are to come end at other steps"]


class _Stopped(Exception):
    """What ends a run on the way."""


def _take(config: TrainConfig, steps: int) -> None:
    """As many steps, to a checkpoint; the one after them is lost."""

    def stop(entry: dict[str, float]) -> None:
        if entry["step"] > steps:
            raise _Stopped

    with pytest.raises(_Stopped):
        train(config, report=stop)
    assert (config.out / "checkpoints" / f"step-{steps:08d}").is_dir()


@pytest.mark.parametrize("stages", [
    (Stage(9, 64, 1),),
    (Stage(2, 32, 2), Stage(9, 64, 1)),
    (Stage(2, 32, 2),),
    (Stage(5, 32, 2), Stage(11, 64, 2)),
])  # fmt: skip
def test_other_stages_are_another_run(config: TrainConfig, stages: tuple[Stage, ...]) -> None:
    """Other crops and batches, and ends before the step that was reached."""
    _take(config, 3)
    with pytest.raises(ResumeError, match="stages was "):
        train(replace(config, stages=stages), resume=True)


def test_what_changes_no_step_may_change(config: TrainConfig) -> None:
    """But nothing else beside it."""
    train(config, max_minutes=0)
    remarks: list[str] = []
    changed = replace(config, checkpoint_every=4, validate_every=8, image="other")
    with pytest.raises(ResumeError, match="seed was 7 and is 8"):
        train(replace(changed, seed=8), resume=True)
    weights, steps = train(changed, resume=True, remark=remarks.append)
    assert (steps, load_weights(weights)[1].image) == (9, "other")
    assert [p.name for p in sorted((config.out / "checkpoints").iterdir())] == ["step-00000008", "step-00000009"]
    said = ["checkpoint_every was 3 and is 4", "validate_every was 100 and is 8", "image was test and is other"]
    assert remarks == said


@pytest.mark.parametrize("change", ["none", "missing", "damaged", "other"])
def test_weights_of_a_complete_run_are_written_again_only_if_they_are_not_there(
    config: TrainConfig, change: str, run_folder: Path
) -> None:
    weights, _ = train(config)
    whole = weights.read_bytes()
    other, _ = train(replace(config, out=run_folder / "other", seed=8))
    changed = {"none": whole, "missing": b"", "damaged": whole[:-4] + b"\1\1\1\1", "other": other.read_bytes()}[change]
    weights.unlink()
    if changed:
        weights.write_bytes(changed)
        os.utime(weights, (1, 1))
    assert train(config, resume=True) == (weights, 9)
    assert (weights.stat().st_mtime == 1) == (change == "none")
    assert weights.read_bytes() == whole
