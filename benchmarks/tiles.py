"""What `--precision bf16` takes in the tiles of AMX and in vectors, times float32; processor time of one thread.

    python benchmarks/tiles.py [ROUNDS]

The published network, 512 x 512 px, random weights; by turns, the shortest of all rounds. Wants a processor with AMX.
"""

from __future__ import annotations

import sys
import time

import torch

from dgno.kernels import fusing
from dgno.kernels.allocator import keep_freed_memory
from dgno.kernels.compiled import allow_tiles
from dgno.networks import NETWORKS, build

WAYS = {"float32": (False, True), "bfloat16 in tiles": (True, True), "bfloat16 in vectors": (True, False)}


def main() -> None:
    if not fusing.has_tiles():
        sys.exit("no tiles (AMX) here")
    torch.set_num_threads(1)
    keep_freed_memory()
    network, x = build(NETWORKS["dgno-face"]).eval(), torch.rand(1, 1, 512, 512)
    shortest = dict.fromkeys(WAYS, float("inf"))
    for _ in range(1 + (int(sys.argv[1]) if len(sys.argv) > 1 else 3)):
        for name, (half, tiles) in WAYS.items():
            allow_tiles(tiles)
            start = time.thread_time()
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                network(x)
            shortest[name] = min(shortest[name], time.thread_time() - start)
    for name, seconds in shortest.items():
        print(f"{name:20}{seconds / (x.numel() / 1e6):7.2f} s/Mpx  {seconds / shortest['float32']:.2f} x float32")


if __name__ == "__main__":
    main()
