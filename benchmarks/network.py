"""Time and memory of whole networks, with compiled kernels and with their references; Markdown table.

    python benchmarks/network.py [SIDE] [THREADS]

Compiled kernels and references run in turn in one process, networks one after the other; peak memory is measured in a
process of its own for each.
"""

from __future__ import annotations

import os
import sys

import torch
from contestants import OURS, ours
from fresh_process import in_fresh_process, peak_of
from side_by_side import interleaved

from dgno.kernels.allocator import keep_freed_memory

ROUNDS, WARM = 3, 64  # px


def peak(name: str, side: int, threads: int, references: bool) -> int:
    """Bytes at the peak of one image, above those of the network at rest. For a fresh process."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    network = ours(name, references=references)
    network.run(torch.rand(1, 1, WARM, WARM))
    return peak_of(lambda: network.run(torch.rand(1, 1, side, side)))


def main(side: int, threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    x = torch.rand(1, 1, side, side)
    print(f"{side} x {side} px, {threads} thread(s), medians of {ROUNDS} rounds: compiled, references\n")
    print("| network | s/Mpx | CPU s/Mpx | ratio, clock / CPU | KiB/px |\n|---|---:|---:|---:|---:|")
    for name in OURS:
        versions = {references: ours(name, references=references) for references in (False, True)}
        for version in versions.values():
            version.run(torch.rand(1, 1, WARM, WARM))
        runs = {str(references): lambda run=one.run: run(x) for references, one in versions.items()}
        compiled, reference = interleaved(runs, rounds=ROUNDS).values()
        times = [f"{t / side**2 * 1e6:.2f}" for t in (compiled.wall, reference.wall, compiled.busy, reference.busy)]
        ratio = f"{reference.wall / compiled.wall:.2f} / {reference.busy / compiled.busy:.2f}"
        memory = [in_fresh_process(peak, name, side, threads, references) / side**2 / 2**10 for references in versions]
        kept = ", ".join(f"{value:.1f}" for value in memory)
        print(f"| {name} | {', '.join(times[:2])} | {', '.join(times[2:])} | {ratio} | {kept} |", flush=True)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(*(int(a) for a in (arguments + ["512", str(os.cpu_count())][len(arguments) :])))
