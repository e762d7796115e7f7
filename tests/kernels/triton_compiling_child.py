"""Compile every Triton program for an NVIDIA GPU that need not be there, and print the names of those that compiled.

The autograd functions run as ever on tensors of the CPU, but every launch only compiles.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)  # before Triton is imported

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from dgno.kernels import triton_runtime
from dgno.kernels.dg_operator_triton import apply_triton, integrate_triton
from dgno.kernels.selective_scan_triton import selective_scan_triton


class Hopper:
    """The driver of a machine with one GPU of compute capability 9.0, as far as compiling asks it."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


def compile_only(program: Any, grid: tuple[int, ...]) -> Any:
    def launch(*arguments: Any, **options: Any) -> None:
        compiled = program.warmup(*arguments, grid=grid, **options)
        assert compiled.asm["cubin"]
        sys.stdout.write(f"{program.__name__}\n")

    return launch


def main() -> None:
    triton.runtime.driver.set_active(Hopper())
    JITFunction.__getitem__ = compile_only
    triton_runtime.INTERPRETED = True  # so that tensors of the CPU pass
    u, B = torch.zeros(1, 64, 48, requires_grad=True), torch.zeros(1, 64, 8, dtype=torch.bfloat16)
    y = selective_scan_triton(u, u.detach(), torch.zeros(48, 8), B, B, torch.zeros(48), torch.arange(64))
    y.sum().backward()
    kv, norm = torch.zeros(1, 18, 16, 16, dtype=torch.bfloat16, requires_grad=True), torch.zeros(2, 3, 3)
    volume, sides = integrate_triton(kv, norm, norm, (8, 8), True)
    assert sides is not None
    (volume.sum() + sides.sum()).backward()
    apply_triton(kv[:, :9], volume.detach().requires_grad_(), kv[:, 9:].float()).sum().backward()


if __name__ == "__main__":
    main()
