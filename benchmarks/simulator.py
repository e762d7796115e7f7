"""How fast training samples are simulated: images per second, where the time goes, and the exact method's time.

    python benchmarks/simulator.py [SAMPLES]

Samples are crops of 256 x 256 px with a margin, blurred as by default, on one thread; times are CPU times. The exact
method computes the PSF of every pixel and sums around it; its time is that of 200 pixels, for all of them.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import torch

from dgno.data.scenes import MARGIN, Augmentation, SimulatedPairs, Source
from dgno.optics.bank_error import at_one_pixel
from dgno.optics.psf import gaussian_disk
from dgno.optics.simulate import BlurRange

CROP = 256
PARTS = {"apply": "blur", "poisson_gaussian": "noise", "__init__": "weights and PSFs", "draw_field": "maps"}


def pairs_of(channels: int, folder: Path) -> SimulatedPairs:
    rng = np.random.default_rng(0)
    for i in range(2):
        tifffile.imwrite(folder / f"{i}.tif", rng.integers(0, 255, (700, 700, 3), dtype=np.uint8), photometric="rgb")
    return SimulatedPairs(folder, [Source("*.tif")], channels=channels, blur=BlurRange(), augmentation=Augmentation())


def seconds(task: Callable[[int], object], count: int) -> float:
    """CPU time, the mean over the samples; kinds of maps differ in cost."""
    start = time.process_time()
    for i in range(count):
        task(i)
    return (time.process_time() - start) / count


def exact_seconds(channels: int) -> float:
    """For all pixels of a sample and its margin, by 200 of them."""
    side = CROP + 2 * MARGIN
    scene, rng = torch.rand(channels, side, side), np.random.default_rng(0)
    sigma = BlurRange(fields=("smooth",)).draw_optics((side, side), rng).sigma

    def one_pixel(i: int) -> None:
        y, x = rng.integers(0, side, 2).tolist()
        at_one_pixel(scene, gaussian_disk(float(sigma[y, x])), (y, x), "reflect")

    return seconds(one_pixel, 200) * side**2


def main() -> None:
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for channels, name in ((1, "gray"), (3, "RGB")):
        with tempfile.TemporaryDirectory() as folder:
            pairs = pairs_of(channels, Path(folder))

        def sample(i: int, pairs: SimulatedPairs = pairs) -> None:
            pairs.sample(CROP, np.random.default_rng([0, i]))

        seconds(sample, count // 2)  # PSFs are computed once
        profile = cProfile.Profile()
        once = seconds(sample, count)
        profile.runcall(seconds, sample, count)
        exact = exact_seconds(channels)
        print(f"{name}: {1 / once:.1f} samples/s, the exact method {exact / once:,.0f} times as long")
        stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # (file, line, name) -> (..., cumulative, ...)
        total = sum(entry[2] for entry in stats.values())
        for (file, _, function), entry in stats.items():
            if function in PARTS and "dgno/optics" in file:
                print(f"  {PARTS[function]:<18} {entry[3] / total:6.1%}")


if __name__ == "__main__":
    main()
