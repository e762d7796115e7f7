"""What an element meets where the image ends.

The paper (App. D) and the released code use the same three names for different rules; each class states both.

* `outside(own, opposite)`, convention `paper`: the operator beyond a wall, given the trace at the wall and that of the
  element at the opposite end of the row or column.
* `walls(flux, first, last)`, convention `released`: what the walls add to the first and to the last element of every
  row or column. The traces there come from the far side of the element (`first` is the first element's RIGHT or BOTTOM
  trace, `last` the last one's LEFT or TOP): the published weights were trained so.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Boundary(Protocol):
    """A rule for the image border, in both conventions."""

    def outside(self, own: Tensor, opposite: Tensor) -> Tensor: ...

    def walls(self, flux: nn.Module, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]: ...


class Dirichlet:
    """Paper: the outside equals the inside. Released: a flux against zero at every wall."""

    def outside(self, own: Tensor, opposite: Tensor) -> Tensor:
        return own

    def walls(self, flux: nn.Module, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        return flux(torch.zeros_like(first), first), flux(torch.zeros_like(last), last)


class Neumann:
    """Paper: the outside is zero. Released: nothing is added at a wall."""

    def outside(self, own: Tensor, opposite: Tensor) -> Tensor:
        return torch.zeros_like(own)

    def walls(self, flux: nn.Module, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(first), torch.zeros_like(last)


class Periodic:
    """Paper: the outside is the element of the opposite side. Released: one more interface, last to first."""

    def outside(self, own: Tensor, opposite: Tensor) -> Tensor:
        return opposite

    def walls(self, flux: nn.Module, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        f = flux(first, last)
        return -f, f
