"""The training loop: batch, loss, step, log, save."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from dgno.data.scenes import SimulatedPairs
from dgno.errors import ResumeError, TrainingDiverged
from dgno.metrics import psnr
from dgno.networks.presets import build
from dgno.training.config import TrainConfig
from dgno.training.losses import FFT_WEIGHT, multi_scale_loss
from dgno.training.state import TrainState
from dgno.weights.store import Card, read_weights, save_weights

MOST_SKIPPED = 10  # steps in a row without a finite gradient
VALIDATION_CROPS, VALIDATION_SIZE = 16, 128  # px


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    max_minutes: float = math.inf,
    report: Callable[[dict[str, float]], None] = lambda entry: None,
) -> tuple[Path, int]:
    """Train as the configuration says. Returns the file of weights and the number of steps they have seen.

    resume : go on from the newest checkpoint in `config.out`
    max_minutes : stop at a step boundary after this time, ready to be resumed
    report : called with every entry of the log
    """
    digest = hashlib.sha256(repr(dataclasses.replace(config, out=Path(), data=Path())).encode()).hexdigest()
    checkpoints, log = config.out / "checkpoints", config.out / "log.jsonl"
    state = TrainState.start(config, read_weights(config.init)[1] if config.init else None)
    if resume:
        state.load_newest(checkpoints, digest)
        _truncate(log, state.step)
    elif any(checkpoints.glob("step-*")):
        raise ResumeError(
            "the folder holds checkpoints already", path=config.out, hint="add --resume, or choose another `out`"
        )
    pairs, held_out = (_pairs(config, validation) for validation in (False, True))
    config.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    while state.step < config.steps and time.monotonic() - started < 60 * max_minutes:
        stage = config.stage(state.step)
        blurred, sharp = pairs.batch(stage.crop, stage.batch, seed=config.seed, step=state.step)
        state.network.train().seed_routing([[config.seed, state.step, slot] for slot in range(stage.batch)])
        outputs = state.network.at_all_scales(blurred)
        spatial, frequency = multi_scale_loss(outputs, sharp, fft_norm=config.fft_norm)
        norm = _descend(state, spatial + FFT_WEIGHT * frequency, config)
        state.step += 1
        if config.ema:
            state.update_average(config.ema)

        entry = {"step": state.step, "spatial": spatial.item(), "frequency": frequency.item(), "gradient": norm}
        if state.step % config.validate_every == 0 or state.step == config.steps:
            entry |= validate(state, config, held_out)
        _append(log, entry | {"minutes": (time.monotonic() - started) / 60})
        report(entry)
        if state.step % config.checkpoint_every == 0 or state.step == config.steps:
            state.save(checkpoints, digest)

    state.save(checkpoints, digest)
    facts = {"name": config.out.name, "steps": state.step, "of steps": config.steps, "configuration": digest[:16]}
    card = Card(config.network, config.image, config.normalization, training=facts)
    return save_weights(config.out / "weights.safetensors", state.best_tensors(), card), state.step


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine from the first to the final learning rate."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * (1 + math.cos(math.pi * progress)) / 2


def _descend(state: TrainState, loss: torch.Tensor, config: TrainConfig) -> float:
    """One optimiser step, skipped when the gradient is not finite. Returns the gradient's norm before clipping."""
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state.step, config)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.clip).item()
    if math.isfinite(norm):
        state.skipped = 0
        state.optimizer.step()
    else:
        state.skipped += 1
        if state.skipped == MOST_SKIPPED:
            raise TrainingDiverged(
                "the loss is not finite",
                why=f"{MOST_SKIPPED} steps in a row up to step {state.step}",
                hint="lower `learning_rate` or `clip`, and resume from the last checkpoint",
            )
    return norm


@torch.no_grad()
def validate(state: TrainState, config: TrainConfig, held_out: SimulatedPairs) -> dict[str, float]:
    """PSNR of blurred and restored crops that no training step sees."""
    network = build(config.network)
    network.load_state_dict(state.best_tensors())
    network.eval()
    before, after = [], []
    for index in range(VALIDATION_CROPS):
        blurred, sharp = held_out.batch(VALIDATION_SIZE, 1, seed=config.seed, step=index)
        before.append(psnr(blurred.clamp(0, 1), sharp))
        after.append(psnr(network(blurred).clamp(0, 1), sharp))
    return {"psnr_blurred": sum(before) / len(before), "psnr_restored": sum(after) / len(after)}


def _pairs(config: TrainConfig, validation: bool) -> SimulatedPairs:
    return SimulatedPairs(
        config.data,
        config.sources,
        channels=config.network.channels,
        blur=config.blur,
        augmentation=config.augmentation,
        validation=validation,
    )


def _append(log: Path, entry: dict[str, float]) -> None:
    with log.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _truncate(log: Path, step: int) -> None:
    """Drop the entries that lie after the checkpoint: their steps will be taken again."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    log.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step))
