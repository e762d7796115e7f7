"""Seconds and memory per megapixel of whole networks, with compiled kernels and with references.

    python benchmarks/network.py [SIDE] [THREADS]

Each line runs in a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

NETWORKS = ("nano-cell", "small-cell", "dgno-cell")
REFERENCES = {"DGNO_SCAN": "chunked", "DGNO_OPERATOR": "reference", "DGNO_GATE": "reference"}


def measure(name: str, side: int, threads: int) -> None:
    """Build a network, restore one random image a few times, and print one line."""
    import torch

    from dgno.networks import NETWORKS as PRESETS
    from dgno.networks import build

    torch.set_num_threads(threads)
    network = build(PRESETS[name]).eval()
    with torch.no_grad():
        network(torch.rand(1, 1, 64, 64))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = []
        for _ in range(3):
            started = time.perf_counter()
            network(torch.rand(1, 1, side, side))
            times.append(time.perf_counter() - started)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    kernels = "references" if "DGNO_SCAN" in os.environ else "compiled"
    print(f"{name:<12}{kernels:<12}{min(times) / side**2 * 1e6:8.2f} s/Mpx{memory / side**2:8.2f} KiB/px", flush=True)


def main(side: int, threads: int) -> None:
    print(f"{side} x {side} px, {threads} thread(s), best of 3")
    for name in NETWORKS:
        for environment in ({}, REFERENCES):
            subprocess.run(
                [sys.executable, __file__, name, str(side), str(threads)], env={**os.environ, **environment}, check=True
            )


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] in NETWORKS:
        measure(arguments[0], int(arguments[1]), int(arguments[2]))
    else:
        main(*(int(a) for a in (arguments + ["512", str(os.cpu_count())][len(arguments) :])))
