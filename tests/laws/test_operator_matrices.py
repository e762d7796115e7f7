"""O6 to O11: laws about the matrix K of every element, and about the flux through every face."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from operator_layers import BOUNDARIES, CONVENTIONS, FLUXES, SYMMETRIC, TAU, TRACES, Precision, operators_of
from torch import Tensor

from dgno.operators.assembly import PaperAssembly
from dgno.operators.dg import DGOperator
from dgno.operators.galerkin import Traces

every_flux = pytest.mark.parametrize("flux", FLUXES)
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
both_traces = pytest.mark.parametrize("traces", TRACES)
both_conventions = pytest.mark.parametrize("convention", CONVENTIONS)


def traces_of(layer: DGOperator, z: Tensor) -> Traces:
    """What the four sides of every element see."""
    size = (layer.element_size, layer.element_size)
    _, traces = layer.integral(layer.project(z)[1], layer.key_norm.stacked(), layer.value_norm.stacked(), size)
    return traces


def face_fluxes(layer: DGOperator, z: Tensor) -> Traces:
    """The flux through the left, right, top and bottom face of every element, in convention `paper`."""
    assert isinstance(layer.assembly, PaperAssembly)
    own = traces_of(layer, z)
    return Traces(*map(layer.assembly.flux, own, layer.assembly.neighbours(own)))


@every_boundary
@both_traces
@both_conventions
def test_average_and_jump_add_up(precision: Precision, boundary: str, traces: str, convention: str) -> None:
    """O6: K(avg_jump) = K(central) + K(jump) - K_vol at the same tau."""
    z = precision.field()
    both, average, jump = (
        operators_of(precision.layer(flux=flux, boundary=boundary, traces=traces, convention=convention), z)
        for flux in ("avg_jump", "central", "jump")
    )
    volume = operators_of(precision.layer(scope="none"), z)
    assert precision.equal(both, average + jump - volume)
    assert precision.differ(both, jump)


def mean_over_elements(K: Tensor) -> Tensor:
    return K.mean((1, 2))


@both_traces
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_the_jump_conserves(precision: Precision, boundary: str, traces: str) -> None:
    """O7: with jump, what an element gains its neighbour loses: the mean of K over elements is that of K_vol."""
    z, volume = precision.field(), precision.layer(scope="none")
    K = operators_of(precision.layer(flux="jump", boundary=boundary, traces=traces), z)
    assert precision.equal(mean_over_elements(K), mean_over_elements(operators_of(volume, z)))
    assert precision.differ(K, operators_of(volume, z))


@pytest.mark.parametrize(
    "flux, boundary", [("jump", "neumann"), *((flux, "periodic") for flux in FLUXES if flux != "jump")]
)
@both_traces
def test_walls_and_averages_do_not_conserve(precision: Precision, flux: str, boundary: str, traces: str) -> None:
    """O7, negative: in `paper`, Neumann walls take, and the other fluxes add the same to both sides."""
    z, volume = precision.field(), precision.layer(scope="none")
    K = operators_of(precision.layer(flux=flux, boundary=boundary, traces=traces), z)
    assert precision.differ(mean_over_elements(K), mean_over_elements(operators_of(volume, z)))


@every_flux
@both_traces
@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_the_released_assembly_conserves(precision: Precision, flux: str, boundary: str, traces: str) -> None:
    """O7 in `released`: +f and -f cancel for every flux, so the mean of K is that of K_vol."""
    z, volume = precision.field(), precision.layer(scope="none")
    K = operators_of(precision.layer(flux=flux, boundary=boundary, traces=traces, convention="released"), z)
    assert precision.equal(mean_over_elements(K), mean_over_elements(operators_of(volume, z)))
    assert precision.differ(K, operators_of(volume, z))


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (5, 1)], ids=str)
def test_the_global_operator_is_the_mean(precision: Precision, grid: tuple[int, int]) -> None:
    """O8: the mean of K_vol over the elements is K of GG."""
    z = precision.field(*grid)
    local, whole = operators_of(precision.layer(scope="none"), z), operators_of(precision.layer(scope="global"), z)
    assert whole.shape[1:3] == (1, 1)
    assert precision.equal(mean_over_elements(local), mean_over_elements(whole))


def seen_from_both_sides(fluxes: Traces) -> list[tuple[Tensor, Tensor]]:
    """Through every interior interface: the flux of the element before it, and that of the element after it."""
    return [(fluxes.right[:, :, :-1], fluxes.left[:, :, 1:]), (fluxes.bottom[:, :-1], fluxes.top[:, 1:])]


@both_traces
@pytest.mark.parametrize("flux", SYMMETRIC)
def test_averages_are_the_same_from_both_sides(precision: Precision, flux: str, traces: str) -> None:
    """O9: across a face, central and upwind give both elements the same."""
    fluxes = face_fluxes(precision.layer(flux=flux, boundary="periodic", traces=traces), precision.field())
    for before, after in seen_from_both_sides(fluxes):
        assert precision.equal(before, after)


@both_traces
def test_the_jump_is_opposite_from_both_sides(precision: Precision, traces: str) -> None:
    """O9: across a face, jump gives one element what it takes from the other."""
    fluxes = face_fluxes(precision.layer(flux="jump", boundary="periodic", traces=traces), precision.field())
    for before, after in seen_from_both_sides(fluxes):
        assert precision.equal(before, -after)
        assert before.abs().max() > 0.01


@every_flux
@both_traces
def test_periodic_walls_are_interior_faces(precision: Precision, flux: str, traces: str) -> None:
    """O9: across the periodic border, the last and the first element stand like neighbours."""
    layer = precision.layer(flux=flux, boundary="periodic", traces=traces)
    fluxes = face_fluxes(layer, precision.field())
    rolled = face_fluxes(layer, precision.field().roll((4, 4), (2, 3)))
    for f, r in zip(fluxes, rolled, strict=True):
        assert precision.equal(r, f.roll((1, 1), (1, 2)))


def at_walls(traces: Traces) -> list[Tensor]:
    """Of left, right, top and bottom: the faces that lie on the image border."""
    return [traces.left[:, :, 0], traces.right[:, :, -1], traces.top[:, 0], traces.bottom[:, -1]]


@both_traces
def test_no_jump_at_dirichlet_walls(precision: Precision, traces: str) -> None:
    """O10: the outside equals the inside, so the jump on border faces is exactly 0, and only there."""
    fluxes = face_fluxes(precision.layer(flux="jump", boundary="dirichlet", traces=traces), precision.field())
    assert all(not f.any() for f in at_walls(fluxes))
    assert all(before.all() for before, _ in seen_from_both_sides(fluxes))


@both_traces
@pytest.mark.parametrize("flux, factor", [("central", 0.5), ("jump", -TAU), ("avg_jump", 0.5 - TAU)])
def test_neumann_walls_see_zero(precision: Precision, flux: str, factor: float, traces: str) -> None:
    """O10: the outside is zero, so the flux of the trace a is a / 2, -tau a, or (1/2 - tau) a."""
    layer, z = precision.layer(flux=flux, boundary="neumann", traces=traces), precision.field()
    for f, a in zip(at_walls(face_fluxes(layer, z)), at_walls(traces_of(layer, z)), strict=True):
        assert precision.equal(f, factor * a)


@pytest.mark.parametrize("grid", [(1, 1), (1, 4), (3, 4)], ids=str)
def test_the_jump_of_cells_is_a_laplacian(precision: Precision, grid: tuple[int, int]) -> None:
    """O11: Cell, jump, Neumann: K = K_vol + tau * (the 5-point Laplacian of K_vol with a ring of zeros)."""
    z = precision.field(*grid)
    volume = operators_of(precision.layer(scope="none"), z)
    stencil = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=z.dtype)
    planes = volume.flatten(3).permute(0, 3, 1, 2).flatten(0, 1)[:, None]  # one plane of elements for every entry
    laplacian = F.conv2d(planes, stencil[None, None], padding=1)
    laplacian = laplacian.unflatten(0, (2, -1))[:, :, 0].permute(0, 2, 3, 1).reshape(volume.shape)
    K = operators_of(precision.layer(flux="jump", boundary="neumann", traces="cell"), z)
    assert precision.equal(K, volume + TAU * laplacian)


def test_conventions_meet_in_the_jump(precision: Precision) -> None:
    """With jump and Cell, `released` Neumann at tau is `paper` Dirichlet at -tau."""
    z = precision.field()
    released = precision.layer(flux="jump", boundary="neumann", traces="cell", convention="released")
    paper = precision.layer(flux="jump", boundary="dirichlet", traces="cell", tau=-TAU)
    assert precision.equal(operators_of(released, z), operators_of(paper, z))
