"""The two assemblies of fluxes against their definitions, written down element by element and face by face."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dgno.networks.config import CHOICES, DGNOConfig
from dgno.networks.presets import make_operator
from dgno.operators.galerkin import Traces

TAU = 0.3125
HEADS, D = 2, 3
Flux = Callable[[Tensor, Tensor], Tensor]


def upwind(statistic: Callable[[Tensor], Tensor]) -> Flux:
    def flux(a: Tensor, b: Tensor) -> Tensor:
        weight = torch.sigmoid(statistic(a) - statistic(b))
        return weight * a + (1 - weight) * b

    return flux


# Eq. 26-30 for one pair of d x d traces.
FLUXES: dict[str, Flux] = {
    "central": lambda a, b: (a + b) / 2,
    "jump": lambda a, b: -TAU * (a - b),
    "avg_jump": lambda a, b: (a + b) / 2 - TAU * (a - b),
    "upwind": upwind(lambda t: t.mean()),
    "upwind_frobenius": upwind(lambda t: t.square().sum().sqrt()),
}


def paper_sum(flux: Flux, boundary: str, t: dict[str, Tensor], i: int, j: int) -> Tensor:
    """The sum of F(own, neighbour) over the four faces of element (i, j), convention `paper`."""
    rows, columns = t["left"].shape[:2]
    total = torch.zeros(D, D, dtype=torch.float64)
    for side, opposite, di, dj in [
        ("left", "right", 0, -1),
        ("right", "left", 0, 1),
        ("top", "bottom", -1, 0),
        ("bottom", "top", 1, 0),
    ]:
        own = t[side][i, j]
        if 0 <= i + di < rows and 0 <= j + dj < columns:
            neighbour = t[opposite][i + di, j + dj]
        elif boundary == "periodic":
            neighbour = t[opposite][(i + di) % rows, (j + dj) % columns]
        else:
            neighbour = own if boundary == "dirichlet" else torch.zeros_like(own)
        total += flux(own, neighbour)
    return total


def paper(flux: Flux, boundary: str, t: dict[str, Tensor]) -> Tensor:
    rows, columns = t["left"].shape[:2]
    return torch.stack([torch.stack([paper_sum(flux, boundary, t, i, j) for j in range(columns)]) for i in range(rows)])


def released(flux: Flux, boundary: str, t: dict[str, Tensor]) -> Tensor:
    """+f to the element before an interface, -f to the one after it; f = F of (after, before) in the released order."""
    rows, columns = t["left"].shape[:2]
    total = torch.zeros_like(t["left"])
    for i, j in itertools.product(range(rows), range(columns)):
        for after, leading, trailing in [((i, j + 1), "left", "right"), ((i + 1, j), "top", "bottom")]:
            if after[0] < rows and after[1] < columns:
                f = flux(t[leading][after], t[trailing][i, j])
                total[i, j] += f
                total[after] -= f
    lines = [([(i, j) for j in range(columns)], "left", "right") for i in range(rows)]
    lines += [([(i, j) for i in range(rows)], "top", "bottom") for j in range(columns)]
    for line, leading, trailing in lines:
        first, last = line[0], line[-1]
        if boundary == "dirichlet":  # F(own, 0), of the traces on the far sides
            total[first] += flux(torch.zeros_like(t[trailing][first]), t[trailing][first])
            total[last] += flux(torch.zeros_like(t[leading][last]), t[leading][last])
        elif boundary == "periodic":
            f = flux(t[trailing][first], t[leading][last])
            total[last] += f
            total[first] -= f
    return total


DEFINITIONS = {"paper": paper, "released": released}


@pytest.mark.parametrize("grid", [(3, 4), (1, 1), (1, 3), (2, 1)], ids=str)
@pytest.mark.parametrize("convention", DEFINITIONS)
@pytest.mark.parametrize("boundary", CHOICES["boundary"])
@pytest.mark.parametrize("flux", CHOICES["flux"])
def test_the_assembly_is_its_definition(flux: str, boundary: str, convention: str, grid: tuple[int, int]) -> None:
    """For every flux, border and convention the sum is that over the faces, with different traces on all sides."""
    config = DGNOConfig(width=6, heads=HEADS, flux=flux, boundary=boundary, convention=convention, tau=TAU)
    assembly = make_operator(config, 6).assembly
    assert assembly is not None
    random = torch.Generator().manual_seed(0)
    sides = torch.randn(4, 2, *grid, HEADS, D, D, generator=random, dtype=torch.float64)
    got = assembly(Traces(*sides))
    assert got.shape == sides.shape[1:]
    for image, head in itertools.product(range(2), range(HEADS)):
        traces = dict(zip(Traces._fields, sides[:, image, :, :, head], strict=True))
        expected = DEFINITIONS[convention](FLUXES[flux], boundary, traces)
        torch.testing.assert_close(got[image, :, :, head], expected, rtol=0, atol=1e-12)
