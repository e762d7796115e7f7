"""Numerical fluxes: what two sides of a face give to each other (DGNO paper, Eq. 26-30).

A flux takes the operator traces of an element's own side and of its neighbour's, `(..., d, d)` each, and returns one
of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Trace = Float[Tensor, "*faces d d"]


class Central(nn.Module):
    """The average of both sides, Eq. 26: (own + neighbour) / 2."""

    def forward(self, own: Trace, neighbour: Trace) -> Trace:
        return (own + neighbour) / 2


class Jump(nn.Module):
    """A penalty on the jump, Eq. 27: -tau (own - neighbour). One tau a layer, learnt or fixed."""

    def __init__(self, tau: float = 0.25, *, learnt: bool = True) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.tensor(float(tau)), requires_grad=learnt)

    def forward(self, own: Trace, neighbour: Trace) -> Trace:
        return -self.tau * (own - neighbour)


class AverageJump(Jump):
    """Average and jump together, Eq. 28: (own + neighbour) / 2 - tau (own - neighbour)."""

    def forward(self, own: Trace, neighbour: Trace) -> Trace:
        return (own + neighbour) / 2 + super().forward(own, neighbour)


def mean_entry(trace: Trace) -> Float[Tensor, "*faces 1 1"]:
    """The mean over an operator's entries: the paper's statistic. About 0 until the norms of k and v are trained."""
    return trace.mean((-2, -1), keepdim=True)


def frobenius_norm(trace: Trace) -> Float[Tensor, "*faces 1 1"]:
    """The Frobenius norm of an operator: a statistic that tells strong operators from weak ones from the start."""
    return torch.linalg.matrix_norm(trace, keepdim=True)


class Upwind(nn.Module):
    """The larger statistic weighs more, Eq. 29-30: a own + (1 - a) neighbour, a = sigmoid(s(own) - s(nb))."""

    def __init__(self, statistic: Callable[[Tensor], Tensor] = mean_entry) -> None:
        super().__init__()
        self.statistic = statistic

    def forward(self, own: Trace, neighbour: Trace) -> Trace:
        a = torch.sigmoid(self.statistic(own) - self.statistic(neighbour))
        return a * own + (1 - a) * neighbour
