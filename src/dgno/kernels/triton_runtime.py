"""What all Triton kernels share: whether they run here, and what they take.

Kernels are compiled for the GPU when they first run. With TRITON_INTERPRET=1 in the environment before this package's
kernels are imported, they run on tensors of the CPU instead, slowly, through Triton's interpreter: for tests.
"""

from __future__ import annotations

import contextlib
import functools
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)  # that kernels read; they compute in float32


@triton.jit
@no_type_check
def _twice(x, y, COUNT: tl.constexpr):
    i = tl.arange(0, COUNT)
    tl.store(y + i, 2 * tl.load(x + i))


INTERPRETED = not isinstance(_twice, triton.JITFunction)


@functools.cache
def why_not(device_type: str) -> str:
    """Why Triton's kernels do not run on devices of this type, found by running one; empty if they do."""
    try:
        x = torch.arange(16.0, device=device_type)
        y = torch.empty_like(x)
        _twice[(1,)](x, y, COUNT=16, **launch_options(16))
        runs = torch.equal(y, 2 * x)
    except Exception as error:  # no driver, no compiler, a card too old: whatever it is, the plain version runs
        reason = str(error).strip() or type(error).__name__
        return f"Triton does not run on {device_type}: {reason.splitlines()[0]}"
    return "" if runs else f"Triton computes wrongly on {device_type}"


def check_served(**tensors: Tensor) -> None:
    """Refuse tensors that the kernels cannot read."""
    places = "the CPU (interpreted)" if INTERPRETED else "a CUDA device; set TRITON_INTERPRET=1 for tensors of the CPU"
    kinds = {"cpu", "cuda"} if INTERPRETED else {"cuda"}
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES or tensor.device.type not in kinds:
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device.type}, wanted float32, bfloat16 or float16 on {places}"
            )


def on_device_of(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Kernels start on the current device; make it the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def launch_options(elements: int) -> dict[str, int]:
    """For a kernel whose tiles have so many elements: as many warps as let a thread hold about eight of them."""
    return {"num_warps": min(8, max(1, triton.next_power_of_2(elements) // 256)), "enable_fp_fusion": True}
