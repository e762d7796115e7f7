"""O1, O2, O13: what commutes with an operator layer, and what must not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from operator_layers import BOUNDARIES, ELEMENT, FLUXES, SYMMETRIC, TAU, TRACES, Precision
from torch import Tensor

from dgno.kernels.dg_operator import join, split

every_flux = pytest.mark.parametrize("flux", FLUXES)
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
both_traces = pytest.mark.parametrize("traces", TRACES)

FLIPS: dict[str, Callable[[Tensor], Tensor]] = {
    "up-down": lambda x: x.flip(2),
    "left-right": lambda x: x.flip(3),
}
every_flip = pytest.mark.parametrize("flip", FLIPS.values(), ids=FLIPS)


@every_flux
@both_traces
@pytest.mark.parametrize("elements", [(1, 0), (0, 1), (-1, 2)], ids=str)
def test_periodic_layers_commute_with_rolls(
    precision: Precision, flux: str, traces: str, elements: tuple[int, int]
) -> None:
    """O1: with a periodic border, rolling the input by whole elements rolls the output."""
    layer, z = precision.layer(flux=flux, traces=traces, boundary="periodic"), precision.field()
    shift = [n * ELEMENT for n in elements]
    assert precision.equal(layer(z.roll(shift, (2, 3))), layer(z).roll(shift, (2, 3)))


@every_flux
@both_traces
def test_rolls_by_half_an_element_do_not_commute(precision: Precision, flux: str, traces: str) -> None:
    """O1, negative: elements of 8 pixels do not follow a roll by 4."""
    layer = precision.layer(flux=flux, traces=traces, boundary="periodic", element_size=8)
    z = precision.field(element_size=8)
    assert precision.equal(layer(z.roll(8, 3)), layer(z).roll(8, 3))
    assert precision.differ(layer(z.roll(4, 3)), layer(z).roll(4, 3))


@every_flux
@both_traces
@pytest.mark.parametrize("boundary", ["dirichlet", "neumann"])
def test_walls_do_not_commute_with_rolls(precision: Precision, flux: str, traces: str, boundary: str) -> None:
    """O1, negative: a border that is not periodic stays where it is."""
    layer, z = precision.layer(flux=flux, traces=traces, boundary=boundary), precision.field()
    assert precision.differ(layer(z.roll(ELEMENT, 3)), layer(z).roll(ELEMENT, 3))


@every_flux
def test_released_cell_commutes_with_rolls(precision: Precision, flux: str) -> None:
    """O1 in `released`: Cell keeps the law; Face breaks it, its periodic interface joins the far sides of elements."""
    z = precision.field()
    cell, face = (
        precision.layer(flux=flux, traces=traces, boundary="periodic", convention="released")
        for traces in ("cell", "face")
    )
    assert precision.equal(cell(z.roll(ELEMENT, 3)), cell(z).roll(ELEMENT, 3))
    assert precision.differ(face(z.roll(ELEMENT, 3)), face(z).roll(ELEMENT, 3))


@every_flux
@every_boundary
@both_traces
@every_flip
def test_flips_commute(
    precision: Precision, flux: str, boundary: str, traces: str, flip: Callable[[Tensor], Tensor]
) -> None:
    """O2: mirroring the plane commutes with the layer."""
    layer, z = precision.layer(flux=flux, boundary=boundary, traces=traces), precision.field()
    assert precision.equal(layer(flip(z)), flip(layer(z)))


@every_flux
@every_boundary
@both_traces
@pytest.mark.parametrize("convention", ["paper", "released"])
def test_transposition_commutes(precision: Precision, flux: str, boundary: str, traces: str, convention: str) -> None:
    """O2: exchanging rows and columns commutes with the layer, in both conventions."""
    layer = precision.layer(flux=flux, boundary=boundary, traces=traces, convention=convention)
    z = precision.field()
    assert precision.equal(layer(z.mT), layer(z).mT)


@every_boundary
@both_traces
@every_flip
def test_flips_commute_with_the_released_jump(
    precision: Precision, boundary: str, traces: str, flip: Callable[[Tensor], Tensor]
) -> None:
    """O2 in `released`: jump keeps the law, its +f and -f are antisymmetric like the flux itself."""
    layer = precision.layer(flux="jump", boundary=boundary, traces=traces, convention="released")
    z = precision.field()
    assert precision.equal(layer(flip(z)), flip(layer(z)))


@every_boundary
@both_traces
@every_flip
@pytest.mark.parametrize("flux", ["avg_jump", *SYMMETRIC])
def test_flips_break_the_other_released_fluxes(
    precision: Precision, flux: str, boundary: str, traces: str, flip: Callable[[Tensor], Tensor]
) -> None:
    """O2 in `released`, negative: an average that one side gains and the other loses has a direction."""
    layer = precision.layer(flux=flux, boundary=boundary, traces=traces, convention="released")
    z = precision.field()
    assert precision.differ(layer(flip(z)), flip(layer(z)))


def permute_tokens(x: Tensor, order: Tensor) -> Tensor:
    """The tokens of every element in another order: token i becomes the one that was at order[i]."""
    tokens = split(x, (ELEMENT, ELEMENT), heads=1)
    return join(tokens.flatten(-3, -2)[..., order, :].unflatten(-2, (ELEMENT, ELEMENT)))


RANDOM_ORDER = torch.randperm(ELEMENT**2, generator=torch.Generator().manual_seed(3))
# On the 4 x 4 tokens of an element: 1 and 2 stay on the top side, 4 and 8 on the left, 5, 6, 9, 10 touch none.
SIDES_KEPT = torch.tensor([0, 2, 1, 3, 8, 9, 10, 7, 4, 6, 5, 11, 12, 14, 13, 15])


@every_flux
@every_boundary
def test_order_inside_elements_does_not_matter_to_cell(precision: Precision, flux: str, boundary: str) -> None:
    """O13: any permutation of the tokens inside the elements commutes with Cell."""
    layer, z = precision.layer(flux=flux, boundary=boundary, traces="cell"), precision.field()
    assert precision.equal(layer(permute_tokens(z, RANDOM_ORDER)), permute_tokens(layer(z), RANDOM_ORDER))


def test_order_inside_elements_does_not_matter_to_local_galerkin(precision: Precision) -> None:
    """O13: nor does it to uncoupled elements (LG)."""
    layer, z = precision.layer(scope="none"), precision.field()
    assert precision.equal(layer(permute_tokens(z, RANDOM_ORDER)), permute_tokens(layer(z), RANDOM_ORDER))


@every_flux
@every_boundary
def test_face_wants_its_sides_kept(precision: Precision, flux: str, boundary: str) -> None:
    """O13: Face commutes with permutations that keep the four sides as sets, and with no others."""
    layer, z = precision.layer(flux=flux, boundary=boundary, traces="face"), precision.field()
    assert precision.equal(layer(permute_tokens(z, SIDES_KEPT)), permute_tokens(layer(z), SIDES_KEPT))
    assert precision.differ(layer(permute_tokens(z, RANDOM_ORDER)), permute_tokens(layer(z), RANDOM_ORDER))


@every_boundary
@both_traces
def test_without_penalty_the_jump_couples_nothing(precision: Precision, boundary: str, traces: str) -> None:
    """O13: jump with tau = 0 is LG; with any other tau it is not."""
    z, uncoupled = precision.field(), precision.layer(scope="none")
    free, coupled = (precision.layer(flux="jump", boundary=boundary, traces=traces, tau=tau) for tau in (0.0, TAU))
    assert torch.equal(free(z), uncoupled(z))
    assert precision.differ(coupled(z), uncoupled(z))
