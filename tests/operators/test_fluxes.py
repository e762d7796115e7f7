"""Laws of the numerical fluxes by themselves: consistency, symmetry, and what tau and the statistics do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dgno.operators.fluxes import AverageJump, Central, Jump, Upwind, frobenius_norm, mean_entry

AVERAGES = {"central": Central(), "avg_jump": AverageJump(), "upwind": Upwind(), "frobenius": Upwind(frobenius_norm)}
every_average = pytest.mark.parametrize("flux", AVERAGES.values(), ids=AVERAGES)


@pytest.fixture
def traces() -> tuple[Tensor, Tensor]:
    """Both sides of 5 x 2 faces, operators of 3 x 3."""
    random = torch.Generator().manual_seed(0)
    own, neighbour = torch.randn(2, 5, 2, 3, 3, generator=random)
    return own, neighbour


@every_average
def test_equal_traces_give_that_trace(flux: nn.Module, traces: tuple[Tensor, Tensor]) -> None:
    """Consistency: the average and upwind fluxes of equal sides are that side."""
    torch.testing.assert_close(flux(traces[0], traces[0]), traces[0])


def test_equal_traces_do_not_jump(traces: tuple[Tensor, Tensor]) -> None:
    """Consistency: the jump of equal sides is exactly 0."""
    assert not Jump()(traces[0], traces[0]).any()


def test_the_jump_is_antisymmetric(traces: tuple[Tensor, Tensor]) -> None:
    """F(a, b) = -F(b, a) for the jump, with the sign that brings the two sides together."""
    own, neighbour = traces
    flux = Jump(0.25)
    assert torch.equal(flux(own, neighbour), -flux(neighbour, own))
    before = (own - neighbour).norm()
    own, neighbour = own + flux(own, neighbour), neighbour + flux(neighbour, own)
    assert (own - neighbour).norm() < 0.6 * before


@pytest.mark.parametrize("flux", [Central(), Upwind(), Upwind(frobenius_norm)], ids=["central", "mean", "frobenius"])
def test_averages_are_symmetric(flux: nn.Module, traces: tuple[Tensor, Tensor]) -> None:
    """F(a, b) = F(b, a) for central and upwind."""
    torch.testing.assert_close(flux(*traces), flux(*traces[::-1]))


@pytest.mark.parametrize("statistic", [mean_entry, frobenius_norm])
def test_upwind_takes_the_larger_side(statistic: object) -> None:
    """Where the statistics of two sides differ much, upwind is the side with the larger one."""
    flux = Upwind(statistic)  # type: ignore[arg-type]
    strong, weak = torch.full((3, 3), 100.0), torch.full((3, 3), 1.0)
    torch.testing.assert_close(flux(strong, weak), strong)
    torch.testing.assert_close(flux(weak, strong), strong)


def test_equal_statistics_make_upwind_central(traces: tuple[Tensor, Tensor]) -> None:
    """Traces of mean 0, as before training, make the paper's upwind central; the Frobenius norm tells them apart."""
    own, neighbour = (t - mean_entry(t) for t in traces)
    torch.testing.assert_close(Upwind()(own, neighbour), Central()(own, neighbour))
    assert not torch.allclose(Upwind(frobenius_norm)(own, neighbour), Central()(own, neighbour), atol=1e-3)


def test_tau_is_learnt_or_fixed() -> None:
    """tau starts as given, is one number, and has a gradient unless it is fixed."""
    assert Jump().tau.item() == 0.25
    for flux in (Jump(0.5), AverageJump(0.5)):
        assert flux.tau.shape == ()
        flux(torch.ones(3, 3), torch.zeros(3, 3)).sum().backward()
        assert flux.tau.grad == -9
    assert not Jump(0.5, learnt=False).tau.requires_grad
    assert not AverageJump(0.5, learnt=False).tau.requires_grad


def test_statistics() -> None:
    """The mean over the entries, and the root of the sum of their squares; one per operator."""
    trace = torch.tensor([[3.0, 0.0], [0.0, 4.0]]).expand(5, 2, 2)
    assert torch.equal(mean_entry(trace), torch.full((5, 1, 1), 7 / 4))
    torch.testing.assert_close(frobenius_norm(trace), torch.full((5, 1, 1), 5.0))


def test_operators_that_are_zero_have_a_gradient() -> None:
    """The Frobenius norm at 0 has the finite gradient 0."""
    own = torch.zeros(3, 3, requires_grad=True)
    Upwind(frobenius_norm)(own, torch.ones(3, 3)).sum().backward()
    assert own.grad is not None
    assert own.grad.isfinite().all()
