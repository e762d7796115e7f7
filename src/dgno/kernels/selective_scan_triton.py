"""The selective scan in Triton; the fast twin of `selective_scan_loop` in `selective_scan.py`.

A sequence is cut into chunks, and every program (`selective_scan_programs.py`) walks one chunk of a few channels, so
that one long sequence fills a GPU. Three passes:

    1. every chunk from a zero state: its last state, and its decay, the product of exp(delta_t A) over its tokens
    2. the state that enters each chunk, from chunk to chunk:  h <- decay h + last state
    3. every chunk from its own state: the outputs

The gradient is the same with time reversed: g_t = C_t gy_t + exp(delta_{t+1} A) g_{t+1} goes from the last chunk to the
first. Nothing of size (b, l, d, n) is kept: for the gradient, states are stored at every SEGMENT-th token, and those
between are computed again in registers. States and sums are float32 whatever the inputs are.

With `order` the scan reads its tokens from, and writes its results to, the rows that the order names: gather and
scatter around a scan of sorted pixels cost no pass of their own. There is no gradient of a gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor

from dgno.kernels import selective_scan_programs as programs
from dgno.kernels.second_derivatives import once_differentiable
from dgno.kernels.triton_runtime import INTERPRETED, check_served, launch_options, on_device_of

SHORTEST, LONGEST = 32, 128  # tokens of a chunk
SEGMENT = 8  # tokens that are read at once, and whose states the gradient holds in registers
TILE = 8  # chunks that are read ahead of the state that is handed through them
CHANNELS = 256 if INTERPRETED else 32  # of one program: a thread has one


class Cut(NamedTuple):
    """How a scan of b sequences of d channels and n states is dealt to programs."""

    b: int
    length: int
    d: int
    n: int
    chunk: int  # tokens
    chunks: int  # of a sequence
    channels: int  # of a program
    states: int  # n, or the power of two above it

    @classmethod
    def of(cls, u: Tensor, n: int) -> Cut:
        """Chunks of about half the root of the length: the passes in and between them are then about as long. They do
        not depend on the batch, so a sequence gives the same alone and among others."""
        b, length, d = u.shape
        chunk = min(LONGEST, max(SHORTEST, triton.next_power_of_2(round(length**0.5)) // 2))
        channels = min(CHANNELS, max(16, triton.next_power_of_2(d)))
        return cls(b, length, d, n, chunk, triton.cdiv(length, chunk), channels, triton.next_power_of_2(n))

    @property
    def grid(self) -> tuple[int, int]:
        return self.b * self.chunks, triton.cdiv(self.d, self.channels)

    @property
    def blocks(self) -> dict[str, int]:
        """The sizes that kernels are compiled for."""
        sizes = {"SEGMENT": SEGMENT, "D": self.channels, "N": self.states}
        return sizes | launch_options(self.channels * self.states)

    def matrices(self, like: Tensor, *more: int) -> Tensor:
        """Room for float32 matrices (n, d) of every chunk."""
        return like.new_empty(self.b, self.chunks, *more, self.n, self.d, dtype=torch.float32)

    def carry(self, states: Tensor, decays: Tensor, *, is_reversed: bool = False) -> Tensor:
        """What enters each chunk, from what each leaves behind on its own."""
        if self.chunks == 1:
            return torch.zeros_like(states)
        entering, size = torch.empty_like(states), self.n * self.d
        grid = (self.b, triton.cdiv(size, CHANNELS))
        blocks = {"TILE": TILE, "SIZE": CHANNELS, **launch_options(CHANNELS)}
        programs.carried_states[grid](states, decays, entering, self.chunks, size, REVERSED=is_reversed, **blocks)
        return entering


def _in_rows(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> tuple[Tensor, ...]:
    """The inputs as the programs read them, A as (n, d)."""
    return tuple(t.detach().contiguous() for t in (u, delta, A.float().mT, B, C, D))


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, order: Tensor | None
    ) -> Tensor:
        own = u, delta, A, B, C, D
        u, delta, A, B, C, D = _in_rows(*own)
        y, cut = torch.empty_like(u), Cut.of(u, A.shape[0])
        if y.numel() == 0:
            ctx.save_for_backward(*own, order, None, None)
            return y
        states, decays = cut.matrices(u), cut.matrices(u)
        sizes = (cut.length, cut.chunk, cut.chunks, cut.d, cut.n)
        with on_device_of(u):
            if cut.chunks > 1:
                programs.chunk_states[cut.grid](u, delta, A, B, order, states, decays, *sizes, **cut.blocks)
            entering = cut.carry(states, decays)
            programs.outputs[cut.grid](u, delta, A, B, C, D, order, entering, y, *sizes, **cut.blocks)
        ctx.save_for_backward(*own, order, entering, decays)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        *own, order, entering, decays = ctx.saved_tensors
        if gy.numel() == 0:
            return (*(torch.zeros_like(t) for t in own), None)
        u, delta, A, B, C, D = _in_rows(*own)
        cut, gy, rows = Cut.of(u, A.shape[0]), gy.contiguous(), u.shape[0] * u.shape[1]
        starts, gstates = cut.matrices(u, cut.chunk // SEGMENT), cut.matrices(u)
        gu, gdelta, gA = torch.empty_like(u), torch.empty_like(delta), cut.matrices(u)
        gB, gC = (u.new_empty(cut.grid[1], rows, cut.n, dtype=torch.float32) for _ in range(2))
        gD = u.new_empty(cut.grid[0], cut.d, dtype=torch.float32)
        sizes = (cut.length, cut.chunk, cut.chunks)
        with on_device_of(u):
            programs.prepare_gradients[cut.grid](
                u, delta, A, B, C, gy, order, entering, starts, gstates, *sizes, cut.d, cut.n,
                **cut.blocks,
            )  # fmt: skip
            gentering = cut.carry(gstates, decays, is_reversed=True)
            programs.gradients[cut.grid](
                u, delta, A, B, C, D, gy, order, starts, gentering, gu, gdelta, gA, gB, gC, gD, *sizes, rows,
                cut.d, cut.n, **cut.blocks,
            )  # fmt: skip
        sums = gA.sum((0, 1)).mT, gB.sum(0).reshape(B.shape).to(B), gC.sum(0).reshape(C.shape).to(C), gD.sum(0).to(D)
        return gu, gdelta, *sums, None


def selective_scan_triton(
    u: Float[Tensor, "b l d"],
    delta: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
    D: Float[Tensor, " d"],
    order: Int[Tensor, " b*l"] | None = None,
) -> Float[Tensor, "b l d"]:
    """The scan of `selective_scan_loop` (shapes and meaning there); float32, bfloat16 or float16, A in float32.

    order : a permutation of the b l rows. Position t of sequence i is then the row order[i l + t] of u, delta, B and C,
        and its result the same row of y
    """
    b, length, d = u.shape
    n = A.shape[1]
    wanted = ((b, length, d), (d, n), (b, length, n), (b, length, n), (d,))
    came = tuple(tuple(t.shape) for t in (delta, A, B, C, D))
    if came != wanted or (order is not None and order.shape != (b * length,)):
        raise ValueError(f"shapes of delta, A, B, C, D are {came}; for this u wanted {wanted}, and {b * length} rows")
    check_served(u=u, delta=delta, A=A, B=B, C=C, D=D)
    return _SelectiveScan.apply(u, delta, A, B, C, D, order)
