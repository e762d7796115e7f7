"""The training loop: batch, loss, step, log, save."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from dgno.checks import refuse_workers
from dgno.errors import CheckpointError, CheckpointMismatch, ConfigError, ResumeError, TrainingDiverged, printable
from dgno.io.lock import sole_writer
from dgno.kernels.allocator import keep_freed_memory
from dgno.networks.deepening import deepened
from dgno.networks.dgno import DGNO
from dgno.networks.presets import build
from dgno.training.ahead import batches_from
from dgno.training.batches import Batches, Data, find_data
from dgno.training.belonging import CONFIGURATION, Belonging
from dgno.training.config import TrainConfig
from dgno.training.log import append, truncate, validated, writing
from dgno.training.objectives import objective_of
from dgno.training.parallel import Ranks
from dgno.training.skipped import record_skipped
from dgno.training.state import CPU, TrainState, checkpoint_tensors, checkpoints_in, newest_whole
from dgno.weights.store import Card, check_fit, load_network, read_weights, save_weights

MOST_SKIPPED = 10  # steps in a row without a finite gradient
WEIGHTS = "weights.safetensors"


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    max_minutes: float = math.inf,
    device: torch.device = CPU,
    ranks: Ranks = Ranks(),  # noqa: B008  # frozen
    workers: int = 0,
    report: Callable[[dict[str, float]], None] = lambda entry: None,
    remark: Callable[[str], None] = lambda text: None,
) -> tuple[Path, int]:
    """Train as the configuration says. Returns the file of weights and the number of steps they have seen.

    resume : go on from the newest checkpoint in `config.out`. Stages may have grown at their end since then, see
        `training.belonging`; where the run is complete already, nothing is written
    max_minutes : stop at a step boundary after this time, ready to be resumed; 0 takes no step
    device : that the network and its batches lie on; a run may be resumed on another one
    ranks : the processes that share every batch; the first one logs, validates and saves for all
    workers : processes that draw the batches ahead; the run is the same with any number of them
    report : called with every entry of the log
    remark : called with what the user should know, once each

    Raises ConfigError, InputError (files of the data), CheckpointError (`config.init`), OutputError, ResumeError,
    TrainingDiverged.
    """
    if not max_minutes >= 0:
        raise ConfigError(f"max_minutes is {max_minutes}", hint="give a number of minutes of at least 0")
    if problems := refuse_workers(workers, 0):
        raise ConfigError("batches cannot be drawn ahead so", why=problems[0], hint="0 draws them in this process")
    for stage in config.stages:
        ranks.slots(stage.batch)
    data = find_data(config)
    belonging = Belonging.of(config, data.listed)
    keep_freed_memory()
    state = _begin(config, belonging, resume=resume, device=device, remark=remark)
    is_complete = resume and state.step == config.steps and _is_written(state, config)
    ranks.wait()  # so that none looks for checkpoints or weights while another writes them
    if is_complete:
        return config.out / WEIGHTS, state.step
    if config.precision == "bf16" and device.type == "cpu":
        remark("precision is bf16: on the CPU fp32 is faster, as its layers are fused with their gradients")
    with writing(config.out):
        config.out.mkdir(parents=True, exist_ok=True)
    with sole_writer(config.out) if ranks.is_first else contextlib.nullcontext():
        _take_steps(
            state, config, data, belonging, max_minutes=max_minutes, device=device, ranks=ranks, workers=workers,
            report=report, remark=remark,
        )  # fmt: skip
    return config.out / WEIGHTS, state.step


def _take_steps(
    state: TrainState,
    config: TrainConfig,
    data: Data,
    belonging: Belonging,
    *,
    max_minutes: float,
    device: torch.device,
    ranks: Ranks,
    workers: int,
    report: Callable[[dict[str, float]], None],
    remark: Callable[[str], None],
) -> None:
    """All steps until the last one or the time is over; then checkpoint and weights. See `train`."""
    checkpoints, log = config.out / "checkpoints", config.out / "log.jsonl"
    if ranks.is_first:
        truncate(log, state.step)
    pairs, held_out = (data.open(validation) for validation in (False, True))
    if ranks.is_first:
        record_skipped(config.out, data.unusable, config.data, is_resumed=state.step > 0, remark=remark)
    if held_out.is_empty:
        remark("no validation: every source is a single file or group, so none can be held out")
    started = time.monotonic()

    drawn = batches_from(state.step, pairs, config, ranks, workers=workers, device=device)
    with contextlib.closing(drawn) as batches:  # or its processes outlive a run that failed
        while state.step < config.steps and ranks.agree(time.monotonic() - started < 60 * max_minutes):
            entry = take_step(state, config, next(batches), ranks=ranks, device=device)
            is_due = state.step % config.validate_every == 0 or state.step == config.steps
            if not ranks.is_first:
                continue
            if is_due and not held_out.is_empty:
                entry |= validate(state, config, held_out, device=device)
            append(log, entry | {"minutes": (time.monotonic() - started) / 60})
            report(entry)
            if state.step % config.checkpoint_every == 0 and not state.skipped:  # one with a finite loss is kept
                state.save(checkpoints, belonging, validated(log))

    _refuse_short_divergence(state, config)
    if ranks.is_first:
        state.save(checkpoints, belonging, validated(log))
        facts = {"name": config.out.name, "steps": state.step, "of steps": config.steps}
        facts["blur types"] = ", ".join(config.blur_types)
        if data.unusable.errors:
            facts["files left out"] = len(data.unusable.errors)
        facts["configuration"] = belonging.digests[CONFIGURATION][:16]
        facts |= config.learnt.facts if config.learnt else {}
        card = Card(config.network, config.image, config.normalization, training=facts)
        save_weights(config.out / WEIGHTS, state.best_tensors(), card)


def take_step(
    state: TrainState, config: TrainConfig, batch: tuple[Tensor, ...], *, ranks: Ranks, device: torch.device
) -> dict[str, float]:
    """One step on this rank's part of its batch: loss, gradient, parameters, running average; gives the log's entry."""
    slots = ranks.slots(config.stage(state.step).batch)
    objective = objective_of(state.network, fft_norm=config.fft_norm)
    seeds = [[config.seed, state.step, slot] for slot in slots]
    half = config.precision == "bf16"
    with torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext():
        loss, terms = objective.loss(
            state.network.train(), tuple(part.to(device, non_blocking=True) for part in batch), seeds
        )
    norm = _descend(state, loss, config, ranks)
    state.step += 1
    if config.ema:
        state.update_average(config.ema)
    means = {name: ranks.mean(term).item() for name, term in {"loss": loss.detach(), **terms}.items()}
    return {"step": state.step, **means, "gradient": norm}


def _begin(
    config: TrainConfig,
    belonging: Belonging,
    *,
    resume: bool,
    device: torch.device,
    remark: Callable[[str], None],
) -> TrainState:
    """The state that the first step finds."""
    checkpoints = config.out / "checkpoints"
    if resume:
        state = TrainState.start(config, device=device)
        for change in state.load_newest(checkpoints, belonging):
            remark(change)
        return state
    if checkpoints_in(checkpoints):
        raise ResumeError(
            "the folder holds checkpoints already", path=config.out, hint="add --resume, or choose another `out`"
        )
    return TrainState.start(config, _initial(config), device=device)


def _is_written(state: TrainState, config: TrainConfig) -> bool:
    """Do the weights of this state lie in their place, whole? A halo and temperatures may have been measured since."""
    try:
        card, tensors = read_weights(config.out / WEIGHTS)
    except (CheckpointError, OSError):
        return False
    facts = {"steps": state.step, "of steps": config.steps}
    same_card = facts.items() <= card.training.items() and card.network == config.network
    best = {name: tensor.cpu() for name, tensor in state.best_tensors().items()}
    return (
        same_card
        and (card.image, card.normalization) == (config.image, config.normalization)
        and tensors.keys() == best.keys()
        and all(name == "temperature" or torch.equal(tensors[name], best[name]) for name in best)
    )


def _initial(config: TrainConfig) -> dict[str, Tensor] | None:
    """The tensors that `init` names, if they fit the network but for blocks that were added to it."""
    if config.init is None:
        return None
    tensors = checkpoint_tensors(config.init) if config.init.is_dir() else load_network(config.init)[0].state_dict()
    torch.manual_seed(config.seed)  # for blocks that are added
    network = build(config.network)
    if isinstance(network, DGNO):
        tensors = deepened(tensors, network)
    try:
        return check_fit(network, tensors, path=config.init)
    except CheckpointMismatch as error:
        error.hint = "give `init` of the network in [network], or change [network]"
        raise


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine from the first to the final learning rate."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * (1 + math.cos(math.pi * progress)) / 2


def _descend(state: TrainState, loss: torch.Tensor, config: TrainConfig, ranks: Ranks) -> float:
    """One optimiser step, skipped when the gradient is not finite. Returns the gradient's norm before clipping."""
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state.step, config)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average_gradients(state.network)
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.clip).item()
    if math.isfinite(norm):
        state.skipped = 0
        state.optimizer.step()
    else:
        state.skipped += 1
        if state.skipped == MOST_SKIPPED:
            raise _diverged(state, config)
    return norm


def _refuse_short_divergence(state: TrainState, config: TrainConfig) -> None:
    """Of a run too short to be stopped on the way."""
    if state.step == config.steps and state.skipped >= max(1, min(MOST_SKIPPED, config.steps // 2)):
        raise _diverged(state, config)


def _diverged(state: TrainState, config: TrainConfig) -> TrainingDiverged:
    """A checkpoint takes no other learning rate, so the way on is a new run that starts from it."""
    good = newest_whole(config.out / "checkpoints")
    start = f' and `init = "{printable(good.absolute())}"`' if good else ""
    return TrainingDiverged(
        "the loss is not finite",
        path=config.out,
        why=f"{state.skipped} steps in a row up to step {state.step}",
        hint=f"lower `learning_rate` or `clip`, and train anew with another `out`{start}",
    )


@torch.no_grad()
def validate(
    state: TrainState, config: TrainConfig, held_out: Batches, *, device: torch.device = CPU
) -> dict[str, float]:
    """Scores of crops that no training step sees: PSNR of blurred and restored ones, or how many are told apart."""
    network = build(config.network).to(device)
    network.load_state_dict(state.best_tensors())
    objective = objective_of(network, fft_norm=config.fft_norm)
    return objective.validate(network.eval(), held_out, config.seed, device)
