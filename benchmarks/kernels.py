"""Compiled kernels against their references: selective scan, DG operator, gated convolutions.

    python benchmarks/kernels.py [THREADS]

Sizes are those of a nano network (16 channels, 4 heads, scan blocks of 32 px) on 256 x 256 px, and of the published one
(48 channels, 16 heads, one scan over the image).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from side_by_side import print_ratios, seconds
from torch import Tensor

from dgno.kernels import depthwise, depthwise_c, dg_operator, dg_operator_c
from dgno.kernels.selective_scan import selective_scan_chunked
from dgno.kernels.selective_scan_c import selective_scan_c

Function = Callable[..., Tensor]


def forward(function: Function, inputs: list[Tensor]) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return function(*inputs)

    return run


def with_gradient(function: Function, inputs: list[Tensor]) -> Callable[[], object]:
    def run() -> object:
        leaves = [t.detach().requires_grad_() for t in inputs]
        output = function(*leaves)
        return torch.autograd.grad(output, leaves, torch.ones_like(output))

    return run


def compare(title: str, versions: dict[str, Function], inputs: list[Tensor], *, base: str) -> None:
    print_ratios(f"{title}, forward", seconds({n: forward(f, inputs) for n, f in versions.items()}), base=base)
    both = seconds({n: with_gradient(f, inputs) for n, f in versions.items()})
    print_ratios(f"{title}, forward and backward", both, base=base)


def scan(sequences: int, length: int, channels: int, states: int = 8) -> None:
    u = torch.randn(sequences, length, channels)
    delta = torch.nn.functional.softplus(torch.randn_like(u) - 3)
    A = -torch.exp(torch.randn(channels, states))
    B, C = torch.randn(sequences, length, states), torch.randn(sequences, length, states)
    title = f"selective scan, {sequences} x {length} tokens, {channels} channels, {states} states"
    inputs = [u, delta, A, B, C, torch.randn(channels)]
    compare(title, {"C": selective_scan_c, "chunked": selective_scan_chunked}, inputs, base="C")


def operator(channels: int, heads: int, side: int = 256) -> None:
    d, size = channels // heads, (8, 8)
    kv = torch.randn(1, 2 * channels, side, side).contiguous(memory_format=torch.channels_last)
    norms = [torch.randn(2, heads, d), torch.randn(2, heads, d)]
    title = f"DG operator, {side} x {side} px, {channels} channels, {heads} heads"

    def integral(integrate: Callable[..., tuple[Tensor, Tensor | None]]) -> Function:
        return lambda kv, key_norm, value_norm: integrate(kv, key_norm, value_norm, size, False)[0]

    versions = {"C": integral(dg_operator_c.integrate_c), "reference": integral(dg_operator.integrate)}
    compare(f"{title}, integrate", versions, [kv, *norms], base="C")
    q = kv[:, :channels].contiguous(memory_format=torch.channels_last)
    operators = torch.randn(1, side // 8, side // 8, heads, d, d)
    compare(f"{title}, apply", {"C": dg_operator_c.apply_c, "reference": dg_operator.apply}, [q, operators], base="C")


def gate(channels: int, side: int = 256) -> None:
    x = torch.randn(1, 2 * channels, side, side).contiguous(memory_format=torch.channels_last)
    versions = {"C": depthwise_c.gelu_gate_c, "reference": depthwise.gelu_gate}
    compare(
        f"GELU gate, {side} x {side} px, {channels} channels",
        versions,
        [x, torch.randn(2 * channels, 1, 3, 3)],
        base="C",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)")
    torch.manual_seed(0)
    scan(64, 1024, 32)
    scan(1, 65536, 96)
    operator(16, 4)
    operator(48, 16)
    gate(42)
    gate(127)
