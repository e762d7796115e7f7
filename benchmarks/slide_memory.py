"""Peak memory and time of restoring slides with a restorer that changes nothing: does memory grow with the slide?

    python benchmarks/slide_memory.py [SIDE ...] [--sparse SIDE]

Each slide, gray, of SIDE x SIDE px, is made, restored and written in a process of its own: all of it, by the identity
in tiles of 1024 px with 112 px of context. With --sparse only 64 tiles of the slide are stored.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from dgno.io.slide import Slide
from dgno.restoration.batch import Job
from dgno.restoration.image import Batch, by_range
from dgno.restoration.options import RestoreOptions
from dgno.restoration.route import Remedy
from dgno.restoration.slide_files import restore_slide
from dgno.restoration.workbench import Workbench

TILE = 512
STORED = 64  # tiles of a sparse slide
SPAWN = multiprocessing.get_context("spawn")


class Unchanged:
    """The identity, tiled as the embedded weights are."""

    halo, multiple = 112, 32

    def __call__(self, x: Batch) -> Batch:
        return x


class Idle(Workbench):
    """Restores by the identity."""

    def remedy_of(self, image: object, blur: str = "") -> Remedy:
        return Remedy(Unchanged(), by_range)


def make_slide(path: Path, side: int, *, sparse: bool) -> None:
    """A gray slide in deflated tiles of noise and ramps; of a sparse one all but STORED tiles are left out."""
    across = -(-side // TILE)
    step = across**2 // STORED if sparse else 1
    rng = np.random.default_rng(0)
    pattern = (rng.integers(0, 40, (TILE, TILE)) + np.arange(TILE) % 200).astype(np.uint8)

    def tiles() -> Iterator[np.ndarray | None]:
        for number in range(across**2):
            yield np.roll(pattern, number, 1) if number % step == 0 else None

    how = {"photometric": "minisblack", "compression": "zlib", "metadata": None}
    tifffile.imwrite(path, tiles(), shape=(side, side), dtype=np.uint8, tile=(TILE, TILE), bigtiff=True, **how)


def restore(path: Path, out: Path) -> None:
    """Restore the slide and say what it took."""
    started = time.monotonic()
    bench = Idle(RestoreOptions(route="off", output_format="tiff-pyramid"), inputs=[path])
    outcome = restore_slide(Job(path, out), bench)
    facts, seconds = outcome.facts, time.monotonic() - started
    status = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss would be inherited
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    side = facts["shape"][0]  # type: ignore[index]
    same = _is_same(path, out)
    print(
        f"{side:>8,} px {outcome.megapixels:>10,.0f} Mpx {facts['blocks_restored']:>6} of {facts['blocks']:>6} tiles "
        f"{seconds:>7.1f} s {outcome.megapixels / seconds:>8.1f} Mpx/s   peak {peak:>6.0f} MiB   "
        f"{out.stat().st_size / 2**20:>8.1f} MiB written   {'same pixels' if same else 'OTHER PIXELS'}",
        flush=True,
    )


def _is_same(path: Path, out: Path) -> bool:
    """Are windows spread over both the same?"""
    from dgno.io.open_slide import open_slide

    def window(slide: Slide, place: int) -> np.ndarray:
        start = int(place * (slide.facts.shape[0] - TILE) / 9)
        return slide.read((start, start + TILE), (start, start + TILE))

    with open_slide(path) as before, open_slide(out) as after:
        return all(np.array_equal(window(before, place), window(after, place)) for place in range(10))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sides", nargs="*", type=int, default=[5000, 20000])
    parser.add_argument("--sparse", type=int, action="append", default=[])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for side, sparse in [*((side, False) for side in asked.sides), *((side, True) for side in asked.sparse)]:
            path, out = Path(folder) / f"slide{side}.tif", Path(folder) / f"restored{side}.tif"
            for work, arguments in ((_made, (path, side, sparse)), (restore, (path, out))):
                child = SPAWN.Process(target=work, args=arguments)
                child.start()
                child.join()
            path.unlink(missing_ok=True)
            out.unlink(missing_ok=True)


def _made(path: Path, side: int, sparse: bool) -> None:
    make_slide(path, side, sparse=sparse)


if __name__ == "__main__":
    main()
