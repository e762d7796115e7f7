"""The selective scan in C behind an autograd function; the fast twin of `selective_scan_loop` in `selective_scan.py`.

The library is built from `selective_scan.c` when the package is installed (an optional extension) and is called through
ctypes. It computes in float32 and gives no gradient of a gradient.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import Arguments, CompiledKernel, check_plain, fields
from dgno.kernels.second_derivatives import once_differentiable


class _Scan(Arguments):
    """`struct scan` of selective_scan.c, field by field."""

    _fields_ = fields(
        ("batch", "length", "channels", "states", "segments"),
        ("u", "delta", "A", "B", "C", "D", "y", "starts", "gy", "gu", "gdelta", "gA", "gB", "gC", "gD"),
    )


class CompiledScan(CompiledKernel):
    """The library of the scan, with its sizes."""

    def __init__(self) -> None:
        super().__init__("selective_scan", "the selective scan's gradient")
        self.library.dgno_scan_exponentials.restype = None
        self.max_states = int(self.library.dgno_scan_max_states())
        self.segment = int(self.library.dgno_scan_segment())
        self.chunk = int(self.library.dgno_scan_chunk())

    def exponentials(self, x: Float[Tensor, " n"], y: Float[Tensor, " n"], repeats: int = 1) -> None:
        """y = 2^x by the scan's own means, for finite x, n a multiple of 16: for tests and to measure its speed."""
        check_plain(x=x, y=y)
        if x.numel() % 16 or x.shape != y.shape or not (x.is_contiguous() and y.is_contiguous()):
            raise ValueError(
                f"x and y of shapes {tuple(x.shape)} and {tuple(y.shape)}: wanted a multiple of 16 in a row"
            )
        sizes = ctypes.c_long(x.numel()), ctypes.c_long(repeats)
        pointers = ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(y.data_ptr())
        self.library.dgno_scan_exponentials(*pointers, *sizes, self.version)


@functools.cache
def load() -> CompiledScan:
    """The compiled scan; an OSError says why there is none."""
    return CompiledScan()


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        compiled, inputs = load(), _in_c(u, delta, A, B, C, D)
        b, length, d = u.shape
        segments = -(-length // compiled.segment)
        y = torch.empty_like(inputs["u"])
        starts = u.new_empty(b, segments, A.shape[1], d) if any(ctx.needs_input_grad) else None
        scan = _Scan(batch=b, length=length, channels=d, states=A.shape[1], segments=segments)
        scan.point(y=y, starts=starts, **inputs)
        compiled.run("scan_forward", scan)
        ctx.save_for_backward(u, delta, A, B, C, D, starts)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor, ...]:
        compiled = load()
        *own, starts = ctx.saved_tensors
        inputs = _in_c(*own)
        u, (b, length, d), n = inputs["u"], inputs["u"].shape, inputs["A"].shape[0]
        chunks = -(-d // compiled.chunk)
        gy = gy.contiguous()
        gu, gdelta = torch.empty_like(u), torch.empty_like(u)
        gA, gD = u.new_empty(b, n, d), u.new_empty(b, d)
        gB, gC = u.new_empty(chunks, b, length, n), u.new_empty(chunks, b, length, n)
        scan = _Scan(batch=b, length=length, channels=d, states=n, segments=starts.shape[1])
        scan.point(starts=starts, gy=gy, **inputs)
        scan.point(gu=gu, gdelta=gdelta, gA=gA, gB=gB, gC=gC, gD=gD)
        compiled.run("scan_backward", scan)
        return gu, gdelta, gA.sum(0).mT, gB.sum(0), gC.sum(0), gD.sum(0)


def _in_c(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> dict[str, Tensor]:
    """The inputs as the C code reads them, A as (n, d)."""
    inputs = {"u": u, "delta": delta, "A": A.mT, "B": B, "C": C, "D": D}
    return {name: t.detach().contiguous() for name, t in inputs.items()}


def selective_scan_c(
    u: Float[Tensor, "b l d"],
    delta: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
    D: Float[Tensor, " d"],
) -> Float[Tensor, "b l d"]:
    """The scan of `selective_scan_loop` (shapes and meaning there), compiled; float32 on the CPU, n at most 64."""
    b, length, d = u.shape
    n = A.shape[1]
    wanted = ((b, length, d), (d, n), (b, length, n), (b, length, n), (d,))
    came = tuple(tuple(t.shape) for t in (delta, A, B, C, D))
    if came != wanted:  # the C code believes what it is told
        raise ValueError(f"shapes of delta, A, B, C, D are {came}; for this u wanted {wanted}")
    if n > load().max_states:
        raise ValueError(f"{n} states, the compiled scan holds {load().max_states}")
    check_plain(u=u, delta=delta, A=A, B=B, C=C, D=D)
    return _SelectiveScan.apply(u, delta, A, B, C, D)
