"""The operator layer against its equations, written out token by token."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from dgno.operators.dg import DGOperator
from dgno.operators.pointwise import Pointwise

P, HEADS, D = 4, 2, 3
DIM = HEADS * D


def test_one_element_is_the_equations() -> None:
    """z -> mlp(q K + z) + z, K = k^T v / p^2 per head, k and v normalised per token and head with the unbiased std."""
    torch.manual_seed(0)
    layer = DGOperator(DIM, HEADS, element_size=P).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    z = torch.randn(1, DIM, P, P, dtype=torch.float64)
    pixels = z[0].flatten(1).T  # tokens in raster order
    q, k, v = (pixels @ layer.qkv.weight.T + layer.qkv.bias).chunk(3, dim=1)

    def normalise(t: torch.Tensor, norm: torch.nn.Module, head: int) -> torch.Tensor:
        t = t[:, head * D : (head + 1) * D]
        t = (t - t.mean(1, keepdim=True)) / (t.std(1, keepdim=True, unbiased=True) + 1e-5)
        return norm.weight[head] * t + norm.bias[head]

    integrals = []
    for head in range(HEADS):
        kernel = normalise(k, layer.key_norm, head).T @ normalise(v, layer.value_norm, head) / P**2
        integrals.append(q[:, head * D : (head + 1) * D] @ kernel)
    first, second = layer.mlp[0], layer.mlp[2]
    hidden = F.gelu((torch.cat(integrals, 1) + pixels) @ first.weight.T + first.bias)
    expected = hidden @ second.weight.T + second.bias + pixels
    torch.testing.assert_close(layer(z)[0].flatten(1).T, expected, rtol=1e-10, atol=1e-10)


def test_a_pointwise_layer_is_a_convolution_of_one_pixel() -> None:
    """Pointwise is F.conv2d with its weight as a 1x1 kernel, with and without bias."""
    for bias in (True, False):
        layer = Pointwise(5, 7, bias=bias)
        z = torch.randn(2, 5, 4, 8)
        torch.testing.assert_close(layer(z), F.conv2d(z, layer.weight[:, :, None, None], layer.bias))


def test_norms_start_as_the_identity() -> None:
    """Weight 1 and bias 0, of shape (heads, 1, d) as published; two numbers for every head and channel."""
    layer = DGOperator(DIM, HEADS)
    for norm in (layer.key_norm, layer.value_norm):
        assert torch.equal(norm.weight, torch.ones(HEADS, 1, D))
        assert torch.equal(norm.bias, torch.zeros(HEADS, 1, D))
        assert norm.stacked().shape == (2, HEADS, D)


def test_scopes_have_the_same_parameters() -> None:
    """A layer without fluxes and one of a single element hold what any other holds, but tau."""
    local, whole = DGOperator(DIM, HEADS, element_size=P), DGOperator(DIM, HEADS, element_size=None)
    assert {n: p.shape for n, p in local.named_parameters()} == {n: p.shape for n, p in whole.named_parameters()}
