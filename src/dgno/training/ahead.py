"""Batches drawn ahead of the steps that take them, by processes of their own.

A batch is a function of configuration and step alone, and is always drawn on one thread: a run is the same, bit for
bit, with any number of processes.

An error of ours is given back as a value: torch would make a new one of its traceback, without path, reason and hint.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Generator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from dgno.errors import DgnoError
from dgno.optics.threads import one_thread
from dgno.training.batches import Batches
from dgno.training.config import TrainConfig
from dgno.training.parallel import Ranks

AHEAD = 3  # batches that a process draws before they are taken
FEW_STEPS = 50
MOST_WORKERS = 8  # by default; each holds the images


class StepBatches(Dataset[tuple[Tensor, ...] | DgnoError]):
    """Item i is what this rank takes of the batch of step i, or why it cannot be drawn."""

    def __init__(self, pairs: Batches, config: TrainConfig, ranks: Ranks) -> None:
        self.pairs, self.config = pairs, config
        self.slots = {stage.batch: ranks.slots(stage.batch) for stage in config.stages}

    def __getitem__(self, step: int) -> tuple[Tensor, ...] | DgnoError:
        stage = self.config.stage(step)
        try:
            with one_thread():
                return self.pairs.batch(
                    stage.crop, stage.batch, seed=self.config.seed, step=step, slots=self.slots[stage.batch]
                )
        except DgnoError as error:
            if get_worker_info() is not None:  # the traceback stays behind in this process
                error.add_note(traceback.format_exc())
            return error


def batches_from(
    first: int, pairs: Batches, config: TrainConfig, ranks: Ranks, *, workers: int, device: torch.device
) -> Generator[tuple[Tensor, ...]]:
    """The batches of the steps from `first` to the last, in order.

    workers : processes that draw them; 0 draws each when it is asked for. They end with the last batch, with an error,
        and when the iterator is closed
    """
    # "spawn" makes them children of this process, so that they end when it is killed, and hold none of its locks
    processes = {"multiprocessing_context": "spawn", "prefetch_factor": AHEAD} if workers else {}
    loader = DataLoader(
        StepBatches(pairs, config, ranks),
        sampler=range(first, config.steps),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        **processes,  # type: ignore[arg-type]
    )
    drawn = iter(loader)
    try:
        for batch in drawn:
            if isinstance(batch, DgnoError):
                raise batch
            yield tuple(batch)
    finally:
        if workers:  # torch ends them with its iterator, which the traceback of an error that is kept keeps alive
            drawn._shutdown_workers()  # type: ignore[attr-defined]


def usual_workers(device: torch.device, ranks: Ranks, steps: int) -> int:
    """A core for every rank's own work; of the others, on a GPU, as many as its share, on a CPU one; none in a run of
    so few steps that it is over before a process has begun."""
    if steps < FEW_STEPS:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spare = max(0, cores // ranks.size - 1)
    return min(spare, MOST_WORKERS if device.type == "cuda" else 1)
