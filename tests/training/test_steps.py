"""What one step does: crops of its stage, a clipped gradient, the running average, nothing where it is not finite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dgno.data.scenes import SimulatedPairs
from dgno.training.ahead import batches_from
from dgno.training.belonging import Belonging
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.log import validated
from dgno.training.loop import take_step, train
from dgno.training.parallel import Ranks
from dgno.training.state import CPU, TrainState


class Watched(SimulatedPairs):
    """Notes what is asked for; of the steps in `broken`, pixels are NaN."""

    asked: list[tuple[int, int]]
    broken: tuple[int, ...] = ()

    def batch(
        self, crop: int, size: int, *, seed: int, step: int, slots: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked = [*getattr(self, "asked", []), (crop, size)]
        blurred, sharp = super().batch(crop, size, seed=seed, step=step, slots=slots)
        return (blurred * torch.nan, sharp) if step in self.broken else (blurred, sharp)


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    return load_config(run_folder / "config.toml")


@pytest.fixture
def pairs(config: TrainConfig) -> Watched:
    return Watched(config.data, config.sources, channels=1, blur=config.blur, augmentation=config.augmentation)


def step(state: TrainState, config: TrainConfig, pairs: Watched) -> dict[str, float]:
    batch = next(batches_from(state.step, pairs, config, Ranks(), workers=0, device=CPU))
    return take_step(state, config, batch, ranks=Ranks(), device=CPU)


def test_crops_and_batches_go_by_stage(config: TrainConfig, pairs: Watched) -> None:
    state = TrainState.start(config)
    for _ in range(7):
        step(state, config, pairs)
    assert pairs.asked == [(32, 2)] * 5 + [(64, 1)] * 2


def norm_of(state: TrainState) -> float:
    return float(torch.stack([p.grad.norm() for p in state.network.parameters() if p.grad is not None]).norm())


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_the_gradient_is_clipped(config: TrainConfig, pairs: Watched, clip: float) -> None:
    """To the norm that was said, and no further; the log has the norm before."""
    state = TrainState.start(config)
    before = step(state, replace(config, clip=clip), pairs)["gradient"]
    assert norm_of(state) == pytest.approx(min(before, clip), rel=1e-3)


def test_the_average_follows_the_network(config: TrainConfig, pairs: Watched) -> None:
    """average <- d average + (1 - d) network with d = min(ema, (1 + step) / (10 + step)); it is what is used."""
    state = TrainState.start(config)
    wanted = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    for n in range(1, 4):
        step(state, config, pairs)
        d = min(config.ema, (1 + n) / (10 + n))
        for name, tensor in state.network.state_dict().items():
            wanted[name] = d * wanted[name] + (1 - d) * tensor
    assert state.best_tensors() is state.average
    for name, tensor in wanted.items():
        torch.testing.assert_close(state.average[name], tensor, rtol=1e-4, atol=1e-6)


def test_a_step_that_is_not_finite_changes_no_parameter(config: TrainConfig, pairs: Watched) -> None:
    """It counts, and the next good one starts the count anew."""
    pairs.broken = (1, 2)
    state = TrainState.start(config)
    step(state, config, pairs)
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    for n in (1, 2):
        step(state, config, pairs)
        assert state.skipped == n
        assert all(torch.equal(before[name], tensor) for name, tensor in state.network.state_dict().items())
    step(state, config, pairs)
    assert (state.step, state.skipped) == (4, 0)
    assert any(not torch.equal(before[name], tensor) for name, tensor in state.network.state_dict().items())
    assert all(tensor.isfinite().all() for tensor in [*state.average.values(), *state.network.state_dict().values()])


def test_the_best_checkpoint_is_kept(config: TrainConfig, tmp_path: Path) -> None:
    """Beside the newest two; of steps that were not validated none is."""
    state, folder, belonging = TrainState.start(config), tmp_path / "checkpoints", Belonging.of(config, [])
    for state.step, scores in (
        (1, {}),
        (2, {2: 30.0}),
        (3, {2: 30.0, 3: 29.0}),
        (4, {2: 30.0, 3: 29.0}),
        (5, {2: 30.0}),
    ):
        state.save(folder, belonging, scores)
    assert [path.name[-1] for path in sorted(folder.iterdir())] == ["2", "4", "5"]
    state.step = 6
    state.save(folder, belonging, {2: 30.0, 4: 31.0})
    assert [path.name[-1] for path in sorted(folder.iterdir())] == ["4", "5", "6"]


def test_a_checkpoint_says_what_it_is(config: TrainConfig) -> None:
    train(replace(config, validate_every=2, stages=(Stage(3, 32, 1),)))
    assert list(validated(config.out / "log.jsonl")) == [2, 3]
    newest = config.out / "checkpoints" / "step-00000003"
    names = {"model.safetensors", "ema.safetensors", "optim.safetensors", "state.json", "SHA256SUMS"}
    assert {path.name for path in newest.iterdir()} == names
    facts = json.loads((newest / "state.json").read_text())
    assert (facts["schema"], facts["step"], facts["skipped"]) == (2, 3, 0)
    assert facts["software"].startswith("dgno ")
    assert set(facts["belongs to"]) == {"configuration", "list of data files"}
