"""Whether `torch.compile` wins: a network by its kernels, in plain PyTorch, and that compiled; seconds on one thread.

    python benchmarks/torch_compile.py [--network nano-cell] [--side 256] [--device cpu] [--rounds 5]

All versions run in turn in one process on the same image. Compiling needs a C++ compiler and takes minutes.
"""

from __future__ import annotations

import argparse
import time

import torch
from contestants import REFERENCES, environment
from side_by_side import interleaved, timed

from dgno.kernels.allocator import keep_freed_memory
from dgno.networks import NETWORKS, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS), default="nano-cell")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    network = build(NETWORKS[asked.network]).eval().to(asked.device)
    x = torch.rand(1, 1, asked.side, asked.side, device=asked.device)
    compiled = torch.compile(network, dynamic=False)

    def plain(function: torch.nn.Module) -> object:
        with environment(REFERENCES):
            return function(x).sum().item()  # waits for a GPU

    runs = {
        "kernels": lambda: network(x).sum().item(),
        "plain PyTorch": lambda: plain(network),
        "plain PyTorch by torch.compile": lambda: plain(compiled),
    }
    with torch.inference_mode():
        started = time.perf_counter()
        plain(compiled)
        print(
            f"{asked.network}, {asked.side} px, {asked.device}; compiling took {time.perf_counter() - started:.0f} s\n"
        )
        for run in runs.values():
            timed(run)
        taken = interleaved(runs, rounds=asked.rounds)
    print("| | s | CPU s | times the kernels |\n|---|---:|---:|---:|")
    for name, one in taken.items():
        ratio = one.wall / taken["kernels"].wall if asked.device != "cpu" else one.busy / taken["kernels"].busy
        print(f"| {name} | {one.wall:.3f} | {one.busy:.3f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
