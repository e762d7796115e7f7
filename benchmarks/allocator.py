"""What keeping freed memory saves: seconds per megapixel of tiles with and without it, in alternating processes.

python benchmarks/allocator.py [SIDE] [ROUNDS]
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")
WEIGHTS = "brightfield-nano"


def measure(side: int, keep: bool, answer: Connection) -> None:
    """Wall and CPU seconds per megapixel of the third tile of a process, and its peak in MiB."""
    import torch

    from dgno.kernels.allocator import keep_freed_memory
    from dgno.restoration.from_weights import make_restorer

    if keep:
        keep_freed_memory()
    restorer, _ = make_restorer(WEIGHTS)
    tile = torch.rand(1, 3, side, side)
    with torch.no_grad():
        for _ in range(2):
            restorer(tile)
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        restorer(tile)
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - started
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    answer.send((seconds / side**2 * 1e6, busy / side**2 * 1e6, int(peak.split()[1]) / 1024))


def main() -> None:
    side, rounds = (int(sys.argv[place]) if len(sys.argv) > place else usual for place, usual in ((1, 1024), (2, 3)))
    found: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
    for _ in range(rounds):
        for keep in found:
            here, there = SPAWN.Pipe()
            child = SPAWN.Process(target=measure, args=(side, keep, there))
            child.start()
            found[keep].append(here.recv())
            child.join()
    print(f"{WEIGHTS}, tiles of {side} px, medians of {rounds}")
    medians = {keep: [statistics.median(column) for column in zip(*rows, strict=True)] for keep, rows in found.items()}
    for keep, (wall, busy, peak) in medians.items():
        name = "freed memory kept" if keep else "as it comes"
        print(f"{name:<18} {wall:6.2f} s/Mpx {busy:6.2f} CPU s/Mpx {peak:7.0f} MiB")
    print(
        f"{'ratio':<18} {medians[False][0] / medians[True][0]:6.2f}       {medians[False][1] / medians[True][1]:6.2f}"
    )


if __name__ == "__main__":
    main()
