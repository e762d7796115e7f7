"""Our networks beside what a user would install instead, and beside the bound of their products; Markdown tables.

    python benchmarks/peers.py [--threads 1 2] [--rounds 2] [--only NAME ...]

Everything runs in one process and in turn, with the same allocator setting, after one run that does not count: first
all contestants on 256 x 256 px (our references only on the first number of threads), then some on 512 x 512 px; peak
memory is measured in a fresh process for each. Two threads want a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import torch
from bounds import product_rate
from contestants import CONTESTANTS, FASTER, OURS, RESTORMER, Contestant
from fresh_process import in_fresh_process, peak_of
from side_by_side import Taken, interleaved

from dgno.kernels.allocator import keep_freed_memory

SMALL, LARGE, WARM = 256, 512, 64  # px
PEERS = (RESTORMER, "MONAI SwinUNETR", "MONAI UNet")
LARGE_ONES = (*OURS, *(f"dgno-face, {precision}" for precision in FASTER), *PEERS)  # timed on 512 px
MEASURED = (*LARGE_ONES, "dgno-face, references", "small-cell, references", "nano-cell, references")  # memory
GOALS = {"dgno-face": 0.12, "dgno-cell": 0.12, "dgno-face, high": 0.12, "dgno-face, bf16": 0.07}  # times Restormer
Times = dict[tuple[str, int, int], Taken]  # by contestant, side and threads; seconds


def memory(name: str, side: int, threads: int) -> int:
    """Bytes at the peak of one image, above those of the network at rest. For a fresh process."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    contestant = CONTESTANTS[name]()
    contestant.run(torch.rand(1, 1, WARM, WARM))
    return peak_of(lambda: contestant.run(torch.rand(1, 1, side, side)))


def measure(contestants: Mapping[str, Contestant], side: int, threads: int, rounds: int) -> Times:
    """Medians of all contestants on one size."""
    x = torch.rand(1, 1, side, side)
    runs = {name: lambda run=one.run: run(x) for name, one in contestants.items()}
    interleaved(runs, rounds=1)  # not counted: the system clears the memory that all runs after it find
    taken = interleaved(runs, rounds=rounds)
    return {(name, side, threads): value for name, value in taken.items()}


def print_times(contestants: Mapping[str, Contestant], times: Times, side: int, threads: int, rate: float) -> None:
    """One table. Ratios are those of the clock, and behind a stroke those of processor time."""
    print(f"\n{side} x {side} px, {threads} thread(s); products {rate * 1e-9:.0f} GFLOP/s\n")
    print("| | s/Mpx | CPU s/Mpx | x Restormer, clock / CPU | x its products, clock / CPU |")
    print("|---|---:|---:|---:|---:|")
    megapixels, base = side**2 / 1e6, times.get((RESTORMER, side, threads))
    for name, contestant in contestants.items():
        if (taken := times.get((name, side, threads))) is None:
            continue
        peer = f"{taken.wall / base.wall:.3g} / {taken.busy / base.busy:.3g}" if base else "-"
        least = contestant.operations * side**2 / rate
        bound = f"{taken.wall / least:.1f} / {taken.busy / (threads * least):.1f}" if least else "-"
        print(
            f"| {name} | {taken.wall / megapixels:.2f} | {taken.busy / megapixels:.2f} | {peer} | {bound} |", flush=True
        )


def print_memory(names: list[str], threads: int) -> dict[str, int]:
    """The table of memory; gives bytes by name."""
    print(f"\nMemory at {LARGE} x {LARGE} px, above the network at rest\n\n| | MiB | KiB/px |\n|---|---:|---:|")
    found = {}
    for name in names:
        found[name] = in_fresh_process(memory, name, LARGE, threads)
        print(f"| {name} | {found[name] / 2**20:.0f} | {found[name] / LARGE**2 / 2**10:.1f} |", flush=True)
    return found


def print_goals(
    contestants: Mapping[str, Contestant], times: Times, bytes_by_name: Mapping[str, int], rates: Mapping[int, float]
) -> None:
    """Goals beside what was found: of one thread in processor time, of two by the clock."""
    found: list[tuple[str, float, float]] = []
    base = times.get((RESTORMER, LARGE, 1))
    for name, most in GOALS.items():
        if base and (taken := times.get((name, LARGE, 1))):
            found.append((f"{name}: times Restormer, {LARGE} px, 1 thread", taken.busy / base.busy, most))
    for name, most in (("dgno-face", 2), ("dgno-cell", 2), ("small-cell", 1.5)):
        if taken := times.get((name, LARGE, 1)):
            ratio = taken.busy / (contestants[name].operations * LARGE**2 / rates[1])
            found.append((f"{name}: times its products, {LARGE} px, 1 thread", ratio, most))
    for name, most in (("small-cell", 2), ("nano-cell", 1)):
        if taken := times.get((name, LARGE, 2)):
            found.append((f"{name}: s/Mpx, {LARGE} px, 2 threads", taken.wall / LARGE**2 * 1e6, most))
    for name in (name for name in OURS if name in bytes_by_name):
        found.append((f"{name}: KiB/px at {LARGE} px", bytes_by_name[name] / LARGE**2 / 2**10, 7))
        found.append((f"{name}: GiB at {LARGE} px", bytes_by_name[name] / 2**30, 2))
    print("\n| goal | found | at most | |\n|---|---:|---:|---|")
    for what, value, most in found:
        print(f"| {what} | {value:.3g} | {most:g} | {'met' if value <= most else 'missed'} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    asked = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    contestants = {name: CONTESTANTS[name]() for name in asked.only}
    large = {name: one for name, one in contestants.items() if name in LARGE_ONES}
    for contestant in contestants.values():
        contestant.run(torch.rand(1, 1, WARM, WARM))
    times: Times = {}
    rates: dict[int, float] = {}
    print(f"torch {torch.__version__}; medians of {asked.rounds} rounds")
    small = contestants
    for threads in asked.threads:
        torch.set_num_threads(threads)
        product_rate.cache_clear()
        rates[threads] = product_rate()
        times |= measure(small, SMALL, threads, asked.rounds)
        print_times(contestants, times, SMALL, threads, rates[threads])
        times |= measure(large, LARGE, threads, asked.rounds)
        print_times(contestants, times, LARGE, threads, rates[threads])
        small = {name: one for name, one in contestants.items() if "references" not in name}
    found = print_memory([name for name in MEASURED if name in contestants], max(asked.threads))
    print_goals(contestants, times, found, rates)


if __name__ == "__main__":
    main()
