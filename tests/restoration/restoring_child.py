"""The command line in a process of its own, which tests kill."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from dgno.cli.main import run


def restore_here(arguments: list[str], log: Path) -> None:
    """`dgno restore` with these arguments; leaves with its exit status."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    torch.set_num_threads(1)
    run(["restore", *arguments])
