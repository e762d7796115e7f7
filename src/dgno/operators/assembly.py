"""Sum of the numerical fluxes over the faces of every element: the two conventions in use.

`PaperAssembly` follows the paper; `ReleasedAssembly` is what the published weights were trained with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgno.kernels.dg_operator import Operators
from dgno.operators.boundary import Boundary
from dgno.operators.galerkin import Traces

ROWS, COLUMNS = 1, 2  # axes of the grid of elements


class PaperAssembly(nn.Module):
    """Every element sums F(own, neighbour) over its four faces, Eq. 16; beyond a wall the boundary rule is asked."""

    def __init__(self, flux: nn.Module, boundary: Boundary) -> None:
        super().__init__()
        self.flux, self.boundary = flux, boundary

    def forward(self, traces: Traces) -> Operators:
        left, right, top, bottom = map(self.flux, traces, self.neighbours(traces))
        total: Operators = left + right + top + bottom
        return total

    def neighbours(self, traces: Traces) -> Traces:
        """The trace on the other side of each face."""
        return Traces(
            left=self.before(traces.right, traces.left, COLUMNS),
            right=self.after(traces.left, traces.right, COLUMNS),
            top=self.before(traces.bottom, traces.top, ROWS),
            bottom=self.after(traces.top, traces.bottom, ROWS),
        )

    def before(self, theirs: Tensor, own: Tensor, axis: int) -> Tensor:
        """`theirs` of the previous element along `axis`; for the first one the boundary's."""
        n = theirs.shape[axis]
        wall = self.boundary.outside(own.narrow(axis, 0, 1), theirs.narrow(axis, n - 1, 1))
        return torch.cat([wall, theirs.narrow(axis, 0, n - 1)], axis)

    def after(self, theirs: Tensor, own: Tensor, axis: int) -> Tensor:
        """`theirs` of the next element along `axis`; for the last one the boundary's."""
        n = theirs.shape[axis]
        wall = self.boundary.outside(own.narrow(axis, n - 1, 1), theirs.narrow(axis, 0, 1))
        return torch.cat([theirs.narrow(axis, 1, n - 1), wall], axis)


class ReleasedAssembly(nn.Module):
    """Conservative: every interface has one flux, added to the element before it and taken from the one after."""

    def __init__(self, flux: nn.Module, boundary: Boundary) -> None:
        super().__init__()
        self.flux, self.boundary = flux, boundary

    def forward(self, traces: Traces) -> Operators:
        return self.along(COLUMNS, traces.left, traces.right) + self.along(ROWS, traces.top, traces.bottom)

    def along(self, axis: int, leading: Tensor, trailing: Tensor) -> Tensor:
        """Fluxes along one axis; `leading` are the left or top traces, `trailing` the right or bottom ones."""
        n = leading.shape[axis]
        before, after = trailing.narrow(axis, 0, n - 1), leading.narrow(axis, 1, n - 1)  # sides of the n - 1 interfaces
        f = self.flux(after, before)
        first, last = self.boundary.walls(self.flux, trailing.narrow(axis, 0, 1), leading.narrow(axis, n - 1, 1))
        return torch.cat([f, last], axis) - torch.cat([-first, f], axis)
