"""How much memory and time the look at large slides takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHILD = Path(__file__).with_name("survey_child.py")


def run(side: int, islands: int) -> tuple[float, int, float]:
    """Peak memory in MB, squares of tissue, and seconds of computing."""
    path = os.pathsep.join([str(CHILD.parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, CHILD, str(side), str(islands)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    memory, tissue, seconds = done.stdout.split()
    return float(memory), int(tissue), float(seconds)


def test_memory_does_not_grow_with_the_slide() -> None:
    """A slide of 16 times as many pixels, with twice as much tissue."""
    small, tissue, _ = run(5000, 2)
    large, more, _ = run(20000, 4)
    assert more == 2 * tissue > 4 * 128**2 * 0.9
    assert large < 1.1 * small


def test_a_slide_of_nothing_is_looked_at_in_seconds() -> None:
    """100,000 x 100,000 px."""
    _, tissue, seconds = run(100_000, 0)
    assert tissue == 0
    assert seconds < 20
