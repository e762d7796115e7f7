"""O16: every fast path of the operator layer equals the plain reference, values and gradients."""

from __future__ import annotations

import pytest
import torch
from operator_layers import BOUNDARIES, CONVENTIONS, FLUXES, TRACES, make_layer
from torch import Tensor

from dgno.kernels import backends, dg_operator_c
from dgno.operators.dg import DGOperator

SCOPES = ("none", "global")


def results(layer: DGOperator, z: Tensor) -> list[Tensor]:
    """The result, and the gradients of a random projection of it at the input and at every parameter."""
    z = z.detach().requires_grad_()
    out = layer(z)
    probe = torch.randn(out.shape, generator=torch.Generator().manual_seed(7)).to(z.dtype)
    return [out.detach(), *torch.autograd.grad(out, [z, *layer.parameters()], probe)]


def assert_fast_is_plain(layer: DGOperator, heads_width: int, z: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = layer.element_size**2 if layer.element_size else z.shape[2] * z.shape[3]
    monkeypatch.delenv("DGNO_OPERATOR", raising=False)
    assert backends.choose_operator(z.device, z.dtype, heads_width, tokens).name == "c"
    fast = results(layer, z)
    monkeypatch.setenv("DGNO_OPERATOR", "reference")
    plain = results(layer.double(), z.double())
    for ours, exact in zip(fast, plain, strict=True):
        assert (ours - exact).abs().max() <= 1e-4 * exact.abs().max()


@pytest.fixture(autouse=True)
def _needs_compiled_kernels() -> None:
    try:
        dg_operator_c.load()
    except OSError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("traces", TRACES)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_compiled_layers_are_the_plain_ones(
    flux: str, boundary: str, traces: str, convention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O16: float32 through the compiled kernels against float64 through plain tensor code, for every choice."""
    layer = make_layer(flux=flux, boundary=boundary, traces=traces, convention=convention)
    z = torch.randn(2, 16, 12, 8, generator=torch.Generator().manual_seed(1))
    assert_fast_is_plain(layer, 4, z, monkeypatch)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dim, heads", [(48, 16), (96, 16), (192, 16), (16, 4), (32, 4), (64, 4)], ids=str)
def test_compiled_layers_of_every_preset_are_the_plain_ones(
    scope: str, dim: int, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O16: the head widths of the published and of our networks at all three scales, LG and GG."""
    layer = make_layer(dim=dim, heads=heads, element_size=8, scope=scope)
    z = torch.randn(1, dim, 16, 24, generator=torch.Generator().manual_seed(1))
    assert_fast_is_plain(layer, dim // heads, z, monkeypatch)


@pytest.mark.parametrize("traces", TRACES)
def test_memory_layout_does_not_matter(traces: str) -> None:
    """Maps in plain and in channels-last memory give the same."""
    layer = make_layer(flux="avg_jump", boundary="dirichlet", traces=traces)
    z = torch.randn(2, 16, 12, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(z.contiguous(memory_format=torch.channels_last)), layer(z))
