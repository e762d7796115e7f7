"""Compiled kernels against their references, and against what the machine can do at best.

    python benchmarks/kernels.py [THREADS]

Sizes are those of a nano network (16 channels, 4 heads, scan blocks of 32 px) and of the published one (48 channels,
16 heads, one scan over the image). The bound of a kernel is the longer one of two things that run beside it, in turns:
a copy that moves as many bytes as the kernel has inputs and results, and as many exponentials as it takes. Figures are
the shortest of nine rounds: some kernels are done before a busy machine next looks after others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import bounds
import torch
from side_by_side import print_ratios, seconds
from torch import Tensor

from dgno.kernels import depthwise, depthwise_c, dg_operator, dg_operator_c
from dgno.kernels.allocator import keep_freed_memory
from dgno.kernels.convolution import convolution as convolution_reference
from dgno.kernels.convolution_c import convolution_c
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


def nbytes(*tensors: Tensor | None) -> int:
    return sum(4 * t.numel() for t in tensors if t is not None)


def compare(
    title: str,
    versions: dict[str, Callable[[], object]],
    *,
    moved: float,
    exponentials: float = 0,
    goal: float | None = None,
) -> None:
    """Run the versions ("C" among them) and the bounds in turns; say how many times its bound "C" takes."""
    alone = {f"{moved / 1e6:.1f} MB alone": bounds.copy(moved)}
    if exponentials:
        of_one_thread = exponentials / torch.get_num_threads()
        alone[f"{exponentials / 1e6:.1f} M exp alone"] = bounds.exponentials(of_one_thread)
    measured = seconds({**versions, **alone}, rounds=9, of=min)
    print_ratios(title, measured, base="C")
    times = measured["C"] / max(measured[name] for name in alone)
    print(f"    C takes {times:.2f} x its bound" + (f"; goal: at most {goal}" if goal else ""))


def compare_both(
    title: str, versions: dict[str, Function], inputs: list[Tensor], *, exps: float = 0, goal: float | None = None
) -> None:
    """Forward, and forward with backward. Inputs and results are moved once; for gradients, which have their sizes,
    inputs are read again, and exponentials are taken again."""
    once = nbytes(*inputs, versions["C"](*inputs))
    one_way = {name: forward(f, inputs) for name, f in versions.items()}
    compare(f"{title}, forward", one_way, goal=goal, moved=once, exponentials=exps)
    both_ways = {name: with_gradient(f, inputs) for name, f in versions.items()}
    moved = 2 * once + nbytes(*inputs)
    compare(f"{title}, forward and backward", both_ways, goal=goal, moved=moved, exponentials=2 * exps)


def scan(sequences: int, length: int, channels: int, states: int = 8, *, reference: bool = True) -> None:
    u = torch.randn(sequences, length, channels)
    delta = torch.nn.functional.softplus(torch.randn_like(u) - 3)
    A = -torch.exp(torch.randn(channels, states))
    B, C = torch.randn(sequences, length, states), torch.randn(sequences, length, states)
    title = f"selective scan, {sequences} x {length} tokens, {channels} channels, {states} states"
    versions: dict[str, Function] = {"C": selective_scan_c}
    if reference:
        versions["chunked"] = selective_scan_chunked
    inputs = [u, delta, A, B, C, torch.randn(channels)]
    compare_both(title, versions, inputs, goal=3, exps=u.numel() * states)


def operator(channels: int, heads: int, side: int) -> None:
    d, size = channels // heads, (8, 8)
    kv = torch.randn(1, 2 * channels, side, side).contiguous(memory_format=torch.channels_last)
    norms = [torch.randn(2, heads, d), torch.randn(2, heads, d)]
    title = f"DG operator, {side} x {side} px, {channels} channels, {heads} heads"

    def integral(integrate: Callable[..., tuple[Tensor, Tensor | None]], sides: bool) -> Function:
        def function(*inputs: Tensor) -> Tensor:
            volume, traces = integrate(*inputs, size, sides)
            return volume if traces is None else torch.cat([volume[None], traces])

        return function

    versions = {"C": integral(dg_operator_c.integrate_c, False), "reference": integral(dg_operator.integrate, False)}
    compare_both(f"{title}, integrate", versions, [kv, *norms], goal=2.5)
    q = kv[:, :channels].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        operators, _ = dg_operator_c.integrate_c(kv, *norms, size, False)  # in the order of axes that it hands on
    compare_both(
        f"{title}, apply", {"C": dg_operator_c.apply_c, "reference": dg_operator.apply}, [q, operators], goal=2.5
    )


def gate(channels: int, side: int = 256) -> None:
    x = torch.randn(1, 2 * channels, side, side).contiguous(memory_format=torch.channels_last)
    versions = {"C": depthwise_c.gelu_gate_c, "reference": depthwise.gelu_gate}
    title = f"GELU gate, {side} x {side} px, {channels} channels"
    compare_both(title, versions, [x, torch.randn(2 * channels, 1, 3, 3)])


def convolution(inputs: int, outputs: int, side: int) -> None:
    """Beside the products of the definition, of which the compiled version needs 4 of 9, but from few channels all."""
    x = torch.randn(1, inputs, side, side).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(outputs, inputs, 3, 3).contiguous(memory_format=torch.channels_last)
    versions: dict[str, Function] = {"C": convolution_c, "reference": convolution_reference}
    title, products = f"3x3 convolution, {side} x {side} px, {inputs} to {outputs} channels", 18 * x.numel() * outputs
    for named, run, times in (("forward", forward, 1), ("forward and backward", with_gradient, 3)):
        measured = seconds({name: run(f, [x, weight]) for name, f in versions.items()}, rounds=9, of=min)
        print_ratios(f"{title}, {named}", measured, base="C")
        print(f"    C takes {measured['C'] / (times * products / bounds.product_rate()):.2f} x its products")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    kept = keep_freed_memory()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), freed memory kept: {kept}")
    torch.manual_seed(0)
    scan(64, 1024, 32)
    scan(1, 16384, 384, reference=False)
    scan(1, 262144, 96, reference=False)
    for channels, heads, side in [
        (16, 4, 512),
        (32, 4, 256),
        (64, 4, 128),
        (48, 16, 512),
        (96, 16, 256),
        (192, 16, 128),
    ]:
        operator(channels, heads, side)
    for inputs, outputs, side in [
        *((32, 64, 256), (128, 256, 64), (48, 24, 512), (192, 96, 256), (384, 768, 64)),
        *((1, 48, 512), (3, 16, 512)),  # of an image
    ]:
        convolution(inputs, outputs, side)
    gate(42)
    gate(127)
