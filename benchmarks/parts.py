"""Whole parts of a network in one call against plain PyTorch and against the bound of their products; Markdown table.

    python benchmarks/parts.py [THREADS] [ROUNDS]

Parts of the nano network (16 channels, 4 heads, scan blocks of 32 px) and of the published one (48 channels, 16 heads,
one scan over the map) at full resolution, on 256 x 256 px, without gradients. Times are of the processor, by thread;
the bound is the longest of what the bytes of the map, the products and the exponentials take, see `bounds.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from bounds import least_seconds
from contestants import REFERENCES, environment
from side_by_side import interleaved
from torch import Tensor, nn

from dgno.kernels.allocator import keep_freed_memory
from dgno.networks import NETWORKS
from dgno.networks.mamba_block import MambaBlock
from dgno.networks.presets import make_block, make_operator

SIDE, FLOAT = 256, 4  # px, bytes
NOT_PER_PIXEL = ("A_log", "prompt_codes", "prompt_basis")  # parameters that no pixel is multiplied by
Part = Callable[[Tensor], Tensor]


def weights_of(part: nn.Module) -> int:
    """Numbers that every pixel is multiplied by."""
    return sum(p.numel() for name, p in part.named_parameters() if p.ndim > 1 and not name.endswith(NOT_PER_PIXEL))


def parts_of(name: str) -> dict[str, tuple[Part, int, int]]:
    """By title: what runs, its multiply-accumulates and its exponentials, by pixel."""
    config = NETWORKS[name]
    block, operator = make_block(config, 0).eval(), make_operator(config, config.width).eval()
    assert isinstance(block, MambaBlock)
    scan, dim, d = block.scan, config.width, config.width // config.heads
    hidden, states = 2 * dim, scan.scan.states
    norms = 2 * 2 * dim  # of the operator: numbers of its norms, which are no products
    return {
        f"{name}, linear map {dim} to {block.feed_forward.depthwise.groups}": (
            block.feed_forward.project_in,
            weights_of(block.feed_forward.project_in),
            0,
        ),
        f"{name}, attentive scan": (
            lambda x: scan.added(x, block.norm1, block.prompt_basis),
            weights_of(scan) + 3 * hidden * states,
            hidden * states,
        ),
        f"{name}, feed-forward": (
            lambda x: block.feed_forward.added(x, block.norm2),
            weights_of(block.feed_forward),
            0,
        ),
        f"{name}, operator layer": (operator, weights_of(operator) - norms + 2 * dim * d, 0),
    }


def main(threads: int, rounds: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {threads} thread(s), medians of {rounds} rounds; maps of {SIDE} x {SIDE} px\n")
    print("| part | ms | times its bound | plain PyTorch takes times as long |\n|---|---:|---:|---:|")
    for name in ("nano-cell", "dgno-face"):
        x = torch.randn(1, NETWORKS[name].width, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
        for title, (part, products, exponentials) in parts_of(name).items():

            def run(variables: dict[str, str], part: Part = part, x: Tensor = x) -> Callable[[], object]:
                def once() -> None:
                    with environment(variables), torch.no_grad():
                        part(x)

                return once

            runs = {"compiled": run({}), "plain": run(REFERENCES)}
            interleaved(runs, rounds=1)
            compiled, plain = (one.busy / threads for one in interleaved(runs, rounds=rounds).values())
            counts = {"operations": 2 * SIDE**2 * products, "exponentials": SIDE**2 * exponentials}
            bound = least_seconds(moved=2 * FLOAT * x.numel(), **counts)
            print(f"| {title} | {1e3 * compiled:.2f} | {compiled / bound:.1f} | {plain / compiled:.1f} |", flush=True)


if __name__ == "__main__":
    arguments = [int(a) for a in sys.argv[1:]]
    main(*(arguments + [1, 7][len(arguments) :]))
