"""Memory does not grow with the slide, and a slide that is mostly empty costs what is not."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from memory_child import peak_of

from dgno.io.open_slide import open_slide

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["dgno.restoration.files", "memory_child"])
TILE = 512


def make(path: Path, side: int, *, stored: int | None = None) -> Path:
    """A gray slide in deflated tiles; only `stored` of them if that is given."""
    across = -(-side // TILE)
    step = 1 if stored is None else across**2 // stored
    pattern = (np.random.default_rng(0).integers(0, 40, (TILE, TILE)) + np.arange(TILE) % 200).astype(np.uint8)

    def tiles() -> Iterator[np.ndarray | None]:
        for number in range(across**2):
            yield np.roll(pattern, number, 1) if number % step == 0 else None

    how = {"photometric": "minisblack", "compression": "zlib", "metadata": None}
    tifffile.imwrite(path, tiles(), shape=(side, side), dtype=np.uint8, tile=(TILE, TILE), bigtiff=True, **how)
    return path


def peak(path: Path) -> float:
    """MiB that restoring takes at most."""
    out, answer = path.with_name(f"out_{path.name}"), path.with_suffix(".txt")
    child = SERVER.Process(target=peak_of, args=(path, out, answer))
    child.start()
    child.join(300)
    assert child.exitcode == 0
    with open_slide(path) as before, open_slide(out) as after:
        assert before.facts.shape == after.facts.shape
        corner = tuple((n - 300, n) for n in before.facts.shape)
        np.testing.assert_array_equal(before.read(*corner), after.read(*corner))
    out.unlink()
    return int(answer.read_text()) / 1024


def test_a_slide_of_four_times_the_side_takes_the_same_memory(tmp_path: Path) -> None:
    """`benchmarks/slide_memory.py` has 5,000 and 20,000 px."""
    small, large = (peak(make(tmp_path / f"{side}.tif", side)) for side in (5000, 10_000))
    assert large < 1.1 * small, (small, large)


@pytest.mark.parametrize("side", [100_000])
def test_a_huge_slide_that_is_mostly_empty_takes_no_more(tmp_path: Path, side: int) -> None:
    small = peak(make(tmp_path / "small.tif", 2500))
    started = time.monotonic()
    huge = peak(make(tmp_path / "huge.tif", side, stored=16))
    assert time.monotonic() - started < 300
    assert huge < 1.35 * small, (small, huge)  # the directory of its 38,416 tiles alone
    assert huge < 2048
