"""O12, O14, O15: what a result depends on, and its derivatives."""

from __future__ import annotations

import pytest
import torch
from operator_layers import BOUNDARIES, CONVENTIONS, ELEMENT, FLUXES, TRACES, Precision, make_layer, operators_of
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.func import functional_call

from dgno.operators.dg import DGOperator

every_flux = pytest.mark.parametrize("flux", FLUXES)
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
both_traces = pytest.mark.parametrize("traces", TRACES)
both_conventions = pytest.mark.parametrize("convention", CONVENTIONS)

P, GRID = 3, 4  # tokens a side, elements a side: the plane of the locality tests
ROW, COLUMN = 1, 2  # the element whose result is looked at


def influence(layer: DGOperator, z: Tensor) -> Tensor:
    """Which tokens of the plane have a derivative that is not 0 on the result in element (ROW, COLUMN)."""
    element = (..., slice(ROW * P, ROW * P + P), slice(COLUMN * P, COLUMN * P + P))
    derivatives = jacobian(lambda x: layer(x)[element], z)  # (1, c, P, P, 1, c, h, w)
    return (derivatives != 0).any(5).flatten(0, 4).any(0)


def tokens(*elements: tuple[int, int]) -> Tensor:
    """The plane with the tokens of some elements marked."""
    marked = torch.zeros(GRID, GRID, dtype=torch.bool)
    for row, column in elements:
        marked[row, column] = True
    return marked.repeat_interleave(P, 0).repeat_interleave(P, 1)


def locality(precision: Precision, **choices: str) -> Tensor:
    layer = precision.layer(dim=8, heads=2, element_size=P, **choices)
    return influence(layer, precision.field(GRID, GRID, b=1, element_size=P, dim=8))


def test_uncoupled_elements_see_themselves(precision: Precision) -> None:
    """O12: in LG the result in an element depends on all tokens of that element, and on no others."""
    assert torch.equal(locality(precision, scope="none"), tokens((ROW, COLUMN)))


def test_the_global_operator_sees_everything(precision: Precision) -> None:
    """O12, the contrast: in GG it depends on every token of the plane."""
    assert locality(precision, scope="global").all()


@every_flux
@both_conventions
def test_cells_see_their_neighbours(precision: Precision, flux: str, convention: str) -> None:
    """O12: in Cell it depends on the element and on all tokens of its 4 neighbours, never on a diagonal one."""
    seen = tokens((ROW, COLUMN), (ROW - 1, COLUMN), (ROW + 1, COLUMN), (ROW, COLUMN - 1), (ROW, COLUMN + 1))
    assert torch.equal(locality(precision, traces="cell", flux=flux, convention=convention), seen)


@every_flux
@both_conventions
def test_faces_see_the_touching_rows_and_columns(precision: Precision, flux: str, convention: str) -> None:
    """O12: in Face it depends on the element and on the row or column of each neighbour that touches it."""
    seen = tokens((ROW, COLUMN))
    rows, columns = slice(ROW * P, ROW * P + P), slice(COLUMN * P, COLUMN * P + P)
    seen[ROW * P - 1, columns] = seen[ROW * P + P, columns] = True
    seen[rows, COLUMN * P - 1] = seen[rows, COLUMN * P + P] = True
    assert torch.equal(locality(precision, traces="face", flux=flux, convention=convention), seen)


@every_flux
@every_boundary
@both_traces
@both_conventions
def test_images_of_a_batch_do_not_meet(
    precision: Precision, flux: str, boundary: str, traces: str, convention: str
) -> None:
    """O14: an image gives the same alone and beside others, whatever these are."""
    layer = precision.layer(flux=flux, boundary=boundary, traces=traces, convention=convention)
    z = precision.field(b=3)
    together = layer(z)
    for i in range(3):
        assert precision.equal(layer(z[i : i + 1]), together[i : i + 1])
    z[1] = 1e6 * z[1] + 1
    others = layer(z)
    assert torch.equal(others[0], together[0])
    assert torch.equal(others[2], together[2])


@every_flux
@both_traces
@both_conventions
@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_derivatives_are_those_of_finite_differences(flux: str, boundary: str, traces: str, convention: str) -> None:
    """O15: gradcheck, at the input and at every parameter, p = 2, dim 16, 4 heads, in float64."""
    layer = make_layer(flux=flux, boundary=boundary, traces=traces, convention=convention, element_size=2).double()
    z = Precision(torch.float64, 0).field(2, 2, b=1, element_size=2)
    names = [name for name, _ in layer.named_parameters()]

    def run(z: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(layer, dict(zip(names, parameters, strict=True)), (z,))

    inputs = [t.detach().clone().requires_grad_() for t in (z, *layer.parameters())]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@both_traces
def test_every_derivative_is_that_of_finite_differences(traces: str) -> None:
    """O15: gradcheck entry by entry at the input, for the paper's default of each variant."""
    defaults = {"face": ("avg_jump", "dirichlet"), "cell": ("jump", "neumann")}
    flux, boundary = defaults[traces]
    layer = make_layer(flux=flux, boundary=boundary, traces=traces, element_size=2).double()
    z = Precision(torch.float64, 0).field(1, 2, b=1, element_size=2).requires_grad_()
    assert torch.autograd.gradcheck(layer, z)


@every_boundary
@both_traces
def test_a_flat_image_has_finite_derivatives(precision: Precision, boundary: str, traces: str) -> None:
    """Where keys and values do not vary over a head's channels, derivatives are finite."""
    layer = precision.layer(flux="upwind_frobenius", boundary=boundary, traces=traces)
    with torch.no_grad():
        layer.qkv.weight.zero_()
        layer.qkv.bias.fill_(0.5)
        layer.key_norm.bias.zero_()
    z = precision.field().requires_grad_()
    layer(z).square().sum().backward()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in (z, *layer.parameters()))


def test_the_plane_is_cut_at_multiples_of_the_element(precision: Precision) -> None:
    """K has one matrix of d x d per element and head, d = dim / heads."""
    K = operators_of(precision.layer(scope="none"), precision.field(2, 5))
    assert K.shape == (2, 2, 5, 4, 4, 4)
    assert precision.field(2, 5).shape[3] == ELEMENT * 5
