"""What the precisions take in the tiles of AMX and bfloat16 in vectors, times float32; processor time of one thread.

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
from dgno.restoration.placed import Placed

WAYS = {
    "fp32": ("fp32", True),
    "high, in tiles": ("high", True),
    "bf16, in tiles": ("bf16", True),
    "bf16, in vectors": ("bf16", False),
}


def main() -> None:
    if not fusing.has_tiles():
        sys.exit("no tiles (AMX) here")
    torch.set_num_threads(1)
    keep_freed_memory()
    network, x, cpu = build(NETWORKS["dgno-face"]).eval(), torch.rand(1, 1, 512, 512), torch.device("cpu")
    ways = {name: (Placed(network, cpu, precision), tiles) for name, (precision, tiles) in WAYS.items()}
    shortest = dict.fromkeys(WAYS, float("inf"))
    for _ in range(1 + (int(sys.argv[1]) if len(sys.argv) > 1 else 3)):
        for name, (placed, tiles) in ways.items():
            allow_tiles(tiles)
            start = time.thread_time()
            with torch.no_grad():
                placed(x)
            shortest[name] = min(shortest[name], time.thread_time() - start)
    for name, seconds in shortest.items():
        print(f"{name:20}{seconds / (x.numel() / 1e6):7.2f} s/Mpx  {seconds / shortest['fp32']:.2f} x fp32")


if __name__ == "__main__":
    main()
