"""Batches drawn ahead of the steps that take them, by processes of their own.

A batch is a function of configuration and step alone, and is always drawn on one thread: a run is the same, bit for
bit, with any number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dgno.optics.threads import one_thread
from dgno.training.batches import Batches
from dgno.training.config import TrainConfig
from dgno.training.parallel import Ranks

AHEAD = 3  # batches that a process draws before they are taken
FEW_STEPS = 50
MOST_WORKERS = 8  # by default; each holds the images


class StepBatches(Dataset[tuple[Tensor, ...]]):
    """Item i is what this rank takes of the batch of step i."""

    def __init__(self, pairs: Batches, config: TrainConfig, ranks: Ranks) -> None:
        self.pairs, self.config = pairs, config
        self.slots = {stage.batch: ranks.slots(stage.batch) for stage in config.stages}

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        stage = self.config.stage(step)
        with one_thread():
            return self.pairs.batch(
                stage.crop, stage.batch, seed=self.config.seed, step=step, slots=self.slots[stage.batch]
            )


def batches_from(
    first: int, pairs: Batches, config: TrainConfig, ranks: Ranks, *, workers: int, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """The batches of the steps from `first` to the last, in order.

    workers : processes that draw them; 0 draws each when it is asked for
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
    for batch in loader:
        yield tuple(batch)


def usual_workers(device: torch.device, ranks: Ranks, steps: int) -> int:
    """A core for every rank's own work; of the others, on a GPU, as many as its share, on a CPU one; none in a run of
    so few steps that it is over before a process has begun."""
    if steps < FEW_STEPS:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spare = max(0, cores // ranks.size - 1)
    return min(spare, MOST_WORKERS if device.type == "cuda" else 1)
