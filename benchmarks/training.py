"""Seconds of a training step: forward, loss of the training loop, backward; compiled kernels against plain PyTorch.

    python benchmarks/training.py [--network nano-cell] [--batch 8] [--crop 96] [--threads 1] [--rounds 5]

All versions run in one process, in turn, on the same batch with the same routing noise.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping

import torch
from bounds import product_rate
from contestants import REFERENCES, environment
from side_by_side import interleaved, timed

from dgno.evaluation.inventory import multiply_accumulates
from dgno.kernels.allocator import keep_freed_memory
from dgno.networks import NETWORKS, build
from dgno.training.objectives import objective_of

GOAL = 8.0
VERSIONS: dict[str, Mapping[str, str]] = {
    "compiled kernels": {},
    "compiled layers, no whole parts": {"DGNO_FEED_FORWARD": "layers", "DGNO_ATTENTIVE_SCAN": "layers"},
    "only the scan chunked": {"DGNO_SCAN": "chunked"},
    "plain PyTorch, scan chunked": REFERENCES,
}
BF16 = "compiled, products in bf16"


def step_of(name: str, batch: int, crop: int) -> Callable[..., object]:
    """One step without the optimiser's; `half` as the training loop's bf16."""
    network = build(NETWORKS[name]).train()
    objective = objective_of(network, fft_norm="ortho")
    pair = torch.rand(batch, 1, crop, crop), torch.rand(batch, 1, crop, crop)

    def step(*, half: bool = False) -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss, _ = objective.loss(network, pair, [[0, 0, i] for i in range(batch)])
        loss.backward()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS), default="nano-cell")
    for name, usual in (("batch", 8), ("crop", 96), ("threads", 1), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    keep_freed_memory()  # as the training loop does
    step = step_of(asked.network, asked.batch, asked.crop)

    def with_version(variables: Mapping[str, str]) -> Callable[[], object]:
        def run() -> None:
            with environment(variables):
                step()

        return run

    runs = {name: with_version(variables) for name, variables in VERSIONS.items()}
    runs[BF16] = functools.partial(step, half=True)
    for run in runs.values():
        timed(run)
    taken = interleaved(runs, rounds=asked.rounds)
    print(f"{asked.network}, {asked.batch} crops of {asked.crop} px, {asked.threads} thread(s), ", end="")
    print(f"median of {asked.rounds} rounds; torch {torch.__version__}\n")
    print("| | s a step | CPU s | times the compiled, clock / CPU |\n|---|---:|---:|---:|")
    best = taken["compiled kernels"]
    for name, one in taken.items():
        ratio = f"{one.wall / best.wall:.2f} / {one.busy / best.busy:.2f}"
        print(f"| {name} | {one.wall:.3f} | {one.busy:.3f} | {ratio} |")
    products = 6 * sum(multiply_accumulates(build(NETWORKS[asked.network]), asked.crop)) * asked.batch
    print(
        f"\ngoal: {GOAL:g} times as fast as plain PyTorch; the products alone, once forward and twice backward, ",
        end="",
    )
    print(f"take {products / product_rate():.3f} s at the measured peak")


if __name__ == "__main__":
    main()
