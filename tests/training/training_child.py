"""A training run in a process of its own, for tests that kill it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch

from dgno.training import objectives
from dgno.training.config import load_config
from dgno.training.loop import train
from dgno.training.parallel import join, leave


def train_here(config: Path, out: Path, environment: dict[str, str], workers: int) -> None:
    """Start or go on with a run, alone or as one of several processes, as torchrun tells them by the environment."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    objectives.VALIDATION_CROPS = 2
    ranks = join(torch.device("cpu"))
    resume = any(out.glob("checkpoints/step-*"))
    train(replace(load_config(config), out=out), resume=resume, ranks=ranks, workers=workers)
    leave(ranks)
