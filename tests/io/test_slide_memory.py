"""RELIABILITY B14: how much memory and time writing slides takes, in children of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import re, sys, time
import numpy as np
from dgno.io.slide import SlideFacts
from dgno.io.slide_write import write_slide
path, kind, side, samples, blank = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "blank"
facts = SlideFacts((side, side), np.dtype("uint8"), samples)
tile = np.random.default_rng(0).integers(0, 256, (512, 512, samples), dtype=np.uint8)
begin = time.perf_counter()
write_slide(
    path, facts, lambda rows, columns, plane: tile[: rows[1] - rows[0], : columns[1] - columns[0]],
    kind=kind, compression="deflate" if blank else "none", blank=(lambda *window: True) if blank else None,
)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(int(peak[1]) * 1024, time.perf_counter() - begin)
"""


def measured(*arguments: object) -> tuple[float, float]:
    """Peak memory in bytes and time in seconds; not from getrusage, whose peak a child inherits from its parent."""
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, seconds = map(float, done.stdout.split())
    return memory, seconds


CASES = [("ome-tiff", 1, 12_000), ("ome-zarr", 1, 12_000), ("tiff-pyramid", 3, 7_000)]


@pytest.mark.parametrize("kind, samples, side", CASES)
def test_memory_does_not_grow_with_the_slide(tmp_path, kind, samples, side):
    """144 million values, against 6; held in memory they would add 140 MB to about 50."""
    small, _ = measured(tmp_path / "small", kind, side // 5, samples, "")
    large, _ = measured(tmp_path / "large", kind, side, samples, "")
    assert large < 1.1 * small


@pytest.mark.parametrize("kind", ["tiff-pyramid", "ome-zarr"])
def test_a_blank_slide_of_ten_thousand_million_pixels(tmp_path, kind):
    memory, seconds = measured(tmp_path / "out", kind, 100_000, 1, "blank")
    assert memory < 2**28 and seconds < 120
