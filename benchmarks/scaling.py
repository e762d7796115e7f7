"""How time and memory of a network grow with the image, and what a second thread gains; Markdown tables.

    python benchmarks/scaling.py [--network nano-cell] [--sides 256 512 1024 2048] [--threads 1 2] [--rounds 2]

Each image is restored in one piece, in a process of its own; sizes take turns. Time and memory are taken to grow like
pixels to the power of an exponent, which is fitted to their logarithms. 2048 px take 5 GiB with the nano size.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from fresh_process import in_fresh_process, peak_of
from side_by_side import Taken, median, timed

from dgno.kernels.allocator import keep_freed_memory
from dgno.networks import NETWORKS, build

GOAL = 1.1
LEAST_PIXELS = 2**21  # that are restored in one measurement: small images several times
WARM = 64  # px


def measure(name: str, side: int, threads: int) -> tuple[Taken, int]:
    """Median seconds of one image, and bytes at the peak above those of the network at rest. For a fresh process."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    network = build(NETWORKS[name]).eval()
    x = torch.rand(1, 1, side, side)
    with torch.no_grad():
        network(torch.rand(1, 1, WARM, WARM))
        peak = peak_of(lambda: network(x))
        return median([timed(lambda: network(x)) for _ in range(max(1, LEAST_PIXELS // side**2))]), peak


def exponent(pixels: Sequence[float], values: Sequence[float]) -> float:
    """Of the power law that is nearest by least squares of the logarithms."""
    return float(np.polyfit(np.log(pixels), np.log(values), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS), default="nano-cell")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024, 2048])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    cases = list(itertools.product(asked.threads, asked.sides))
    found: dict[tuple[int, int], list[tuple[Taken, int]]] = {case: [] for case in cases}
    for _ in range(asked.rounds):
        for threads, side in cases:
            found[threads, side].append(in_fresh_process(measure, asked.network, side, threads))
    print(f"{asked.network}, torch {torch.__version__}; medians of {asked.rounds} rounds\n")
    print("| threads | side, px | s/Mpx | CPU s/Mpx | MiB | KiB/px |\n|---:|---:|---:|---:|---:|---:|")
    pixels = [side**2 for side in asked.sides]
    times = {case: median([taken for taken, _ in runs]) for case, runs in found.items()}
    peaks = {case: max(peak for _, peak in runs) for case, runs in found.items()}
    for (threads, side), taken in times.items():
        n, peak = side**2, peaks[threads, side]
        speed = f"{taken.wall / n * 1e6:.2f} | {taken.busy / n * 1e6:.2f}"
        print(f"| {threads} | {side} | {speed} | {peak / 2**20:.0f} | {peak / n / 2**10:.2f} |")
    print("\n| threads | exponent of time | of CPU time | of memory | goal |\n|---:|---:|---:|---:|---:|")
    for threads in asked.threads:
        taken = [times[threads, side] for side in asked.sides]
        powers = [exponent(pixels, [t.wall for t in taken]), exponent(pixels, [t.busy for t in taken])]
        powers.append(exponent(pixels, [peaks[threads, side] for side in asked.sides]))
        print(f"| {threads} | {' | '.join(f'{power:.3f}' for power in powers)} | {GOAL} |")
    for threads in asked.threads[1:]:
        gains = [times[asked.threads[0], side].wall / times[threads, side].wall for side in asked.sides]
        speed = ", ".join(f"{gain:.2f} at {side} px" for gain, side in zip(gains, asked.sides, strict=True))
        print(f"\n{threads} threads against {asked.threads[0]}: times as fast {speed}")


if __name__ == "__main__":
    main()
