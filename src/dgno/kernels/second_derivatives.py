"""Gradients that are computed outside autograd have no gradient of their own: to ask for one is an error.

The error of `torch.autograd.function.once_differentiable` stands on what comes out of a backward pass, with no way from
there to the inputs: `torch.autograd.grad` at an input that is reached another way too, past a residual connection, then
leaves a part out without a word. Here the way is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Gradients = Tensor | None | tuple[Tensor | None, ...]
TWICE = (
    "differentiated twice: this kernel gives no gradient of a gradient; compute what is differentiated inside "
    "`with dgno.kernels.backends.without_compiled():`, or by torch.func, where plain PyTorch runs"
)


class _Refused(torch.autograd.Function):
    """The first `count` tensors; they depend on all others, and their gradient is refused."""

    @staticmethod
    def forward(_: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tensors[:count]

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> tuple[None, ...]:
        raise RuntimeError(TWICE)


def once_differentiable(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """Mark the `backward` of an autograd function as one that autograd cannot follow.

    All inputs that its result depends on must be saved as they came, not as copies or detached: these have no way back.
    """

    @functools.wraps(backward)
    def refusing(ctx: Any, *incoming: Tensor | None) -> Gradients:
        with torch.no_grad():
            computed = backward(ctx, *incoming)
        if not torch.is_grad_enabled():  # it is with create_graph=True alone
            return computed
        every = computed if isinstance(computed, tuple) else (computed,)
        held = [g for g in every if g is not None]
        sources = [t for t in (*ctx.saved_tensors, *incoming) if t is not None and t.requires_grad]
        refused = iter(_Refused.apply(len(held), *held, *sources))
        return tuple(None if g is None else next(refused) for g in every)

    return refusing
