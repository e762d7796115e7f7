"""Losses that are not finite: steps are skipped, then the run ends with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dgno.errors import TrainingDiverged
from dgno.training import objectives
from dgno.training.config import TrainConfig, load_config
from dgno.training.loop import train


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    return load_config(run_folder / "config.toml")


def diverging_from(step: int) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """The loss, and from the n-th call on NaN."""
    real, calls = objectives.multi_scale_loss, iter(range(1, 1000))

    def loss(outputs: Sequence[torch.Tensor], sharp: torch.Tensor, fft_norm: str) -> tuple[torch.Tensor, torch.Tensor]:
        terms = real(outputs, sharp, fft_norm=fft_norm)
        return terms if next(calls) < step else (terms[0] * torch.nan, terms[1] * torch.nan)

    return loss


def test_steps_without_a_finite_gradient_are_skipped_then_end_the_run(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten in a row are a divergence; what was saved last is a state whose loss was finite."""
    monkeypatch.setattr(objectives, "multi_scale_loss", diverging_from(5))
    config = replace(config, stages=(replace(config.stages[0], until=30),))
    with pytest.raises(TrainingDiverged, match="10 steps in a row up to step 13"):
        train(config)
    assert [p.name for p in (config.out / "checkpoints").iterdir()] == ["step-00000003"]


@pytest.mark.parametrize("steps", [1, 4])
def test_a_divergence_of_a_short_run_is_told_at_its_end(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Of one step, or of half of a few; nothing is measured, nor weights written."""
    monkeypatch.setattr(objectives, "multi_scale_loss", diverging_from(steps // 2))
    with pytest.raises(TrainingDiverged, match=f"steps in a row up to step {steps}"):
        train(replace(config, stages=(replace(config.stages[0], until=steps),)))
    assert not (config.out / "weights.safetensors").exists()


def test_what_a_divergence_advises_works(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, run_folder: Path
) -> None:
    """A new run with a lower learning rate, from the checkpoint that the hint names: its averaged weights."""
    with monkeypatch.context() as patched:
        patched.setattr(objectives, "multi_scale_loss", diverging_from(5))
        with pytest.raises(TrainingDiverged) as caught:
            train(replace(config, stages=(replace(config.stages[0], until=30),)))
    named = re.search('init = "(.+?)"', caught.value.hint)
    assert named
    checkpoint = Path(named[1])
    again = replace(config, out=run_folder / "again", init=checkpoint, learning_rate=1e-4, ema=0.0)
    weights, _ = train(again, max_minutes=0)
    kept, used = load_file(checkpoint / "ema.safetensors"), load_file(weights)
    assert kept.keys() == used.keys()
    assert all(torch.equal(kept[name], used[name]) for name in kept)
    assert train(again, resume=True)[1] == config.steps


def test_a_divergence_before_the_first_checkpoint_names_none(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectives, "multi_scale_loss", diverging_from(1))
    with pytest.raises(TrainingDiverged) as caught:
        train(replace(config, stages=(replace(config.stages[0], until=30),)))
    assert caught.value.hint == "lower `learning_rate` or `clip`, and train anew with another `out`"
