"""O3, O4, O5: fields and planes on which different operators become one."""

from __future__ import annotations

import pytest
import torch
from operator_layers import BOUNDARIES, CONVENTIONS, ELEMENT, FLUXES, TAU, TRACES, Precision, make_layer, operators_of
from torch import Tensor

every_flux = pytest.mark.parametrize("flux", FLUXES)
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
both_traces = pytest.mark.parametrize("traces", TRACES)
both_conventions = pytest.mark.parametrize("convention", CONVENTIONS)


def constant_field(precision: Precision, rows: int = 3, columns: int = 4) -> Tensor:
    """Constant over the plane, different in every channel and image."""
    return precision.field(1, 1)[:, :, :1, :1].expand(-1, -1, rows * ELEMENT, columns * ELEMENT)


def constant_in_elements(precision: Precision) -> Tensor:
    """Constant inside every element, different from element to element."""
    values = precision.field()[:, :, ::ELEMENT, ::ELEMENT]
    return values.repeat_interleave(ELEMENT, 2).repeat_interleave(ELEMENT, 3)


@both_traces
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_on_a_constant_field_the_jump_vanishes(precision: Precision, traces: str, boundary: str) -> None:
    """O3: jump with Dirichlet or periodic makes Face = Cell = LG = GG, in K and in the result."""
    z = constant_field(precision)
    layer = precision.layer(flux="jump", boundary=boundary, traces=traces)
    local, whole = precision.layer(scope="none"), precision.layer(scope="global")
    K = operators_of(layer, z)
    assert precision.equal(K, operators_of(local, z))
    assert precision.equal(K, operators_of(whole, z).expand_as(K))
    assert precision.equal(layer(z), local(z))
    assert precision.equal(layer(z), whole(z))


def test_on_a_constant_field_a_neumann_wall_is_a_jump(precision: Precision) -> None:
    """O3: with Neumann, Face = Cell still; both differ from LG, in the elements at the border only."""
    z = constant_field(precision, 4, 4)
    face, cell = (precision.layer(flux="jump", boundary="neumann", traces=traces) for traces in ("face", "cell"))
    local = precision.layer(scope="none")
    K, K_local = operators_of(cell, z), operators_of(local, z)
    assert precision.equal(operators_of(face, z), K)
    inside = (slice(None), slice(1, -1), slice(1, -1))
    assert precision.equal(K[inside], K_local[inside])
    corner, edge = K[:, 0, 0], K[:, 0, 1]
    assert precision.equal(corner, (1 - 2 * TAU) * K_local[:, 0, 0])  # two walls: -tau K_vol each
    assert precision.equal(edge, (1 - TAU) * K_local[:, 0, 1])
    assert precision.differ(face(z), local(z))


@both_traces
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_on_a_constant_field_central_adds_four_times(precision: Precision, traces: str, boundary: str) -> None:
    """O3: central with Dirichlet (or periodic) gives K = 5 K_vol: the volume and four faces that see it."""
    z = constant_field(precision)
    K = operators_of(precision.layer(flux="central", boundary=boundary, traces=traces), z)
    assert precision.equal(K, 5 * operators_of(precision.layer(scope="none"), z))


@every_flux
@every_boundary
@both_conventions
def test_constant_elements_make_face_and_cell_equal(
    precision: Precision, flux: str, boundary: str, convention: str
) -> None:
    """O4: where tokens inside an element are equal, a side sees what the element sees: Face = Cell."""
    face, cell = (
        precision.layer(flux=flux, boundary=boundary, convention=convention, traces=traces)
        for traces in ("face", "cell")
    )
    z = constant_in_elements(precision)
    assert precision.equal(operators_of(face, z), operators_of(cell, z))
    assert precision.equal(face(z), cell(z))
    assert precision.differ(face(precision.field()), cell(precision.field()))


@every_flux
@every_boundary
@both_conventions
def test_elements_of_one_pixel_make_face_and_cell_equal(
    precision: Precision, flux: str, boundary: str, convention: str
) -> None:
    """O4: with p = 1 the only token is every side: Face = Cell for any field."""
    face, cell = (
        precision.layer(flux=flux, boundary=boundary, convention=convention, traces=traces, element_size=1)
        for traces in ("face", "cell")
    )
    z = precision.field(5, 6, element_size=1)
    assert precision.equal(face(z), cell(z))


def test_one_local_element_is_the_global_operator(precision: Precision) -> None:
    """O5: on a plane of one element, LG = GG; on two it is not."""
    local, whole = precision.layer(scope="none"), precision.layer(scope="global")
    assert precision.equal(local(precision.field(1, 1)), whole(precision.field(1, 1)))
    assert precision.differ(local(precision.field(1, 2)), whole(precision.field(1, 2)))


@both_traces
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_one_element_has_nothing_to_jump_to(precision: Precision, traces: str, boundary: str) -> None:
    """O5: one element with jump and Dirichlet or periodic is GG."""
    layer, whole = precision.layer(flux="jump", boundary=boundary, traces=traces), precision.layer(scope="global")
    assert precision.equal(layer(precision.field(1, 1)), whole(precision.field(1, 1)))


@every_flux
@both_traces
@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_one_released_element_gives_nothing_away(precision: Precision, flux: str, traces: str, boundary: str) -> None:
    """O5 in `released`: without interfaces, or with one from the element to itself, every flux leaves GG."""
    layer = precision.layer(flux=flux, boundary=boundary, traces=traces, convention="released")
    whole = precision.layer(scope="global")
    assert precision.equal(layer(precision.field(1, 1)), whole(precision.field(1, 1)))


@every_flux
@every_boundary
@both_traces
@both_conventions
def test_the_smallest_grids_work(flux: str, boundary: str, traces: str, convention: str) -> None:
    """A grid with one element along an axis has no interface there: the result has the input's shape and is finite."""
    layer = make_layer(flux=flux, boundary=boundary, traces=traces, convention=convention)
    for rows, columns in [(1, 1), (1, 3), (3, 1), (2, 2)]:
        z = torch.randn(1, 16, rows * ELEMENT, columns * ELEMENT, generator=torch.Generator().manual_seed(0))
        out = layer(z)
        assert out.shape == z.shape
        assert torch.isfinite(out).all()
