"""Triton's kernels on a device, and mamba-ssm's scan where it is installed: whether they are right, and how long they
take against what they have to move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from gpu_clock import seconds_of
from gpu_counts import Peak
from torch import Tensor

from dgno.kernels import backends
from dgno.kernels.dg_operator import apply, integrate
from dgno.kernels.selective_scan import selective_scan_chunked
from dgno.kernels.selective_scan_mamba import why_not as why_not_mamba

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7}  # of the largest value


class Case(NamedTuple):
    """A kernel with inputs: `run` is Triton's, `reference` its plain twin."""

    name: str
    run: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: list[Tensor]
    moved: int  # bytes at the least, forward


def cases(device: torch.device, *, tiny: bool, dtype: torch.dtype = torch.float32) -> Iterator[Case]:
    """The published network's kernels at full resolution and at a quarter, of 256 x 256 px (tiny: 4 x 4)."""
    side, heads = (4, 2) if tiny else (256, 16)

    def normal(*shape: int, of: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(shape, device=device).to(of)

    for scale in (0,) if tiny else (0, 2):
        d, n = 3 * 2**scale, side // 2**scale
        tokens, channels, hidden, states = n * n, heads * d, 2 * heads * d, 8
        u, delta = normal(1, tokens, hidden, of=dtype), torch.nn.functional.softplus(normal(1, tokens, hidden) - 3)
        projections = [normal(1, tokens, states, of=dtype) for _ in range(2)]
        scan = [u, delta.to(dtype), -torch.exp(normal(hidden, states)), *projections, normal(hidden)]
        yield Case(
            f"scan, {tokens} x {hidden}", backends.SCANS["triton"], selective_scan_chunked, scan,
            3 * u.numel() * u.element_size(),
        )  # fmt: skip
        if not why_not_mamba():  # what a user may have installed, beside ours
            name, moved = f"mamba-ssm, {tokens} x {hidden}", 3 * u.numel() * u.element_size()
            yield Case(name, backends.SCANS["mamba"], selective_scan_chunked, scan, moved)
        size = (4, 4) if tiny else (8, 8)
        kv, norms = normal(1, 2 * channels, n, n, of=dtype), [normal(2, heads, d), normal(2, heads, d)]
        kv = kv.contiguous(memory_format=torch.channels_last)
        for sides in (False, True):
            yield Case(
                f"integrate{' with sides' if sides else ''}, {n} px, {heads} x {d}",
                partial(_stacked, backends.INTEGRATES["triton"], size, sides),
                partial(_stacked, integrate, size, sides),
                [kv, *norms],
                kv.numel() * kv.element_size(),
            )
        q = kv[:, :channels].contiguous(memory_format=torch.channels_last)
        operators = normal(1, n // size[0], n // size[1], heads, d, d)
        moved = 2 * q.numel() * q.element_size() + operators.numel() * 4
        yield Case(f"apply, {n} px, {heads} x {d}", backends.APPLIES["triton"], apply, [q, operators], moved)


def _stacked(function: Callable[..., Any], size: tuple[int, int], sides: bool, *tensors: Tensor) -> Tensor:
    """Volume and side operators as one tensor."""
    volume, faces = function(*tensors, size, sides)
    return volume[None] if faces is None else torch.cat([volume[None], faces])


def values_and_gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """The result, and the gradients of a projection of it at all inputs."""
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    result = function(*leaves)
    probe = torch.linspace(-1, 1, result.numel(), device=result.device).reshape(result.shape).to(result.dtype)
    return [result.detach(), *torch.autograd.grad(result, leaves, probe)]


def worst_difference(case: Case) -> float:
    """From the reference in float64, over the value and all gradients, each relative to its largest number."""
    ours = values_and_gradients(case.run, case.inputs)
    exact = values_and_gradients(case.reference, [t.double() for t in case.inputs])
    return max(
        float((a.double() - b).abs().max() / b.abs().max().clamp_min(1e-30)) for a, b in zip(ours, exact, strict=True)
    )


def times_of(case: Case, device: torch.device, peak: Peak) -> dict[str, float]:
    """Milliseconds by Triton, and by the reference in float32; Triton's as a multiple of moving the data once."""
    whole = [t.float() for t in case.inputs]
    with torch.no_grad():
        ours = seconds_of(lambda: case.run(*case.inputs), device)
        plain = seconds_of(lambda: case.reference(*whole), device)
    both = seconds_of(lambda: values_and_gradients(case.run, case.inputs), device)
    return {
        "ms": 1e3 * ours,
        "ms with gradient": 1e3 * both,
        "reference ms": 1e3 * plain,
        "x its bound": ours * peak.bandwidth / case.moved,
    }
