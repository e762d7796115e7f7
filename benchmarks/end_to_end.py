"""What restoring a large image takes beside the bare network over the same tiles; Markdown table.

    python benchmarks/end_to_end.py [IMAGES] [--sides 2048 4096] [--weights fluorescence-nano] [--threads 1]
                                    [--rounds 1] [--command] [--profile]

IMAGES is a folder of sharp images that a large one is assembled from (without it: synthetic spots), blurred by a
Gaussian of sigma 2 px and stored as a 16-bit TIFF. Reading it, cutting it into tiles, restoring, blending and writing
is measured against the network alone, given the same tiles, which takes turns with it in one process, and against what
the network took of the same run. --command restores once more by the command line, --profile prints where time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import torch
from fresh_process import busy_children, resident
from scipy.ndimage import gaussian_filter
from side_by_side import Taken, median, timed

from dgno.arrays import to_tensor
from dgno.io.image import read_image
from dgno.kernels.allocator import keep_freed_memory
from dgno.restoration import TILE_SIZE
from dgno.restoration.batch import Job
from dgno.restoration.files import restore_files
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import Batch, tiling_of
from dgno.restoration.options import RestoreOptions
from dgno.restoration.tiling import plan_tiles
from dgno.restoration.workbench import Workbench

GOAL = 1.15
SIGMA, NOISE, SEED = 2.0, 0.01, 2026  # px, share of the range
SHOWN = 16  # lines of the profile


def scene(side: int, images: Path | None) -> np.ndarray:
    """A large image, (side, side), 16 bits: real ones side by side, turned at random, or spots; blurred, with noise."""
    rng = np.random.default_rng(SEED)
    if images is None:
        sharp = gaussian_filter((rng.random((side, side)) < 0.002).astype(np.float32), 4)
    else:
        files = [path for path in sorted(images.rglob("*")) if path.suffix.lower() in (".png", ".tif", ".tiff")]
        sharp = np.zeros((side, side), np.float32)
        for row in range(0, side, 256):
            for column in range(0, side, 256):
                crop = _crop(files[rng.integers(len(files))], rng)
                place = sharp[row : row + crop.shape[0], column : column + crop.shape[1]]
                place[...] = crop[: place.shape[0], : place.shape[1]]
    seen = gaussian_filter(sharp / sharp.max(), SIGMA) + NOISE * rng.standard_normal(sharp.shape, np.float32)
    return (seen.clip(0, 1) * 60000).round().astype(np.uint16)


def _crop(file: Path, rng: np.random.Generator) -> np.ndarray:
    """At most 256 x 256 px of an image, its brightest at 1, turned."""
    plane = next(read_image(file).planes())[..., :3].astype(np.float32).mean(-1)
    top, left = (int(rng.integers(max(1, n - 255))) for n in plane.shape)
    return np.rot90(plane[top : top + 256, left : left + 256] / max(plane.max(), 1), rng.integers(4))


def bare(weights: str, path: Path) -> tuple[Callable[[], None], float]:
    """The network over the tiles of an image, and how many pixels it is given for one of the image."""
    restorer, normalize = make_restorer(weights)
    image = read_image(path)
    plane = to_tensor(next(image.planes()), normalize(image, 0))
    shape = (plane.shape[2], plane.shape[3])
    tiles = [tile.read(plane) for tile in plan_tiles(shape, **tiling_of(restorer, TILE_SIZE, None))]

    @torch.no_grad()
    def run() -> None:
        for tile in tiles:
            restorer.restorer(tile)

    with torch.no_grad():
        restorer.restorer(tiles[0])  # its memory is then with the process
    return run, sum(tile.shape[2] * tile.shape[3] for tile in tiles) / plane.numel()


def restored(source: Path, target: Path, options: RestoreOptions) -> tuple[Taken, Taken]:
    """What restoring the file takes, and what the network takes of that."""
    inside: list[Taken] = []

    def run() -> None:
        bench = Workbench(options, inputs=[source])
        placed, _ = bench.remedies.load(options.weights)
        network = placed.restorer

        def clocked(x: Batch) -> Batch:
            answers: list[Batch] = []
            inside.append(timed(lambda: answers.append(network(x))))
            return answers[0]

        placed.restorer = clocked
        bench.restore(Job(source, target), progress=lambda share: None)

    return timed(run), Taken(sum(one.wall for one in inside), sum(one.busy for one in inside))


def profiled(work: Callable[[], object]) -> None:
    """Print what takes longest, functions of the network's modules left out."""
    with cProfile.Profile() as profile:
        work()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    rows = [(own, total, place) for place, (_, _, own, total, _) in stats.items()]
    for own, total, (file, line, name) in sorted(rows, reverse=True)[:SHOWN]:
        print(f"{own:8.2f} s itself {total:8.2f} s in all  {Path(file).name}:{line} {name}")


def by_command(path: Path, out: Path, weights: str, threads: int) -> Taken:
    """The command line from start to end."""
    command = [sys.executable, "-m", "dgno", "restore", str(path), "-o", str(out), "--weights", weights, "--overwrite"]
    busy, started = busy_children(), time.perf_counter()
    subprocess.run([*command, "--device", "cpu", "--threads", str(threads), "--quiet"], check=True)
    return Taken(time.perf_counter() - started, busy_children() - busy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--weights", default="fluorescence-nano")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--command", action="store_true")
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    options = RestoreOptions(weights=asked.weights, device="cpu", threads=asked.threads, overwrite=True)
    torch.set_num_threads(asked.threads)
    keep_freed_memory()  # as the restoration does, for the bare network as well
    print(f"{asked.weights}, tiles of {TILE_SIZE} px, {asked.threads} thread(s), {asked.rounds} round(s)\n")
    print(
        "| side, px | work of the tiles | | s | CPU s | times the bare network, clock / CPU | times the network of it |"
    )
    print("|---:|---:|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as made:
        source, target = Path(made, "large.tif"), Path(made, "restored.tif")
        for side in asked.sides:
            tifffile.imwrite(source, scene(side, asked.images))
            network, work = bare(asked.weights, source)
            found: dict[str, list[Taken]] = {"bare network": [], "restored": [], "the network of that": []}
            for _ in range(asked.rounds):
                found["bare network"].append(timed(network))
                for name, one in zip(list(found)[1:], restored(source, target, options), strict=False):
                    found[name].append(one)
            if asked.command:
                found["by command"] = [by_command(source, target, asked.weights, asked.threads)]
            bare_network, inside = median(found["bare network"]), median(found["the network of that"])
            for name, values in found.items():
                one = median(values)
                ratios = [f"{one.wall / base.wall:.3f} / {one.busy / base.busy:.3f}" for base in (bare_network, inside)]
                print(f"| {side} | {work:.2f} | {name} | {one.wall:.2f} | {one.busy:.2f} | {' | '.join(ratios)} |")
            if asked.profile:
                profiled(lambda: restore_files([source], target, options))
    print(f"\ngoal: at most {GOAL} times the bare network; peak memory {resident('VmHWM') / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
