"""Layers with adapters in the place of plain ones: what they compute counts wherever parts run fused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fused_part import LAYERS, Part
from kernel_comparison import assert_agree, compiled_versions
from torch import Tensor, nn

from dgno.kernels import feed_forward_c
from dgno.operators.pointwise import Pointwise

pytestmark = pytest.mark.skipif(not compiled_versions(feed_forward_c), reason="the kernels were not compiled")


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 16, 8, 16, generator=torch.Generator().manual_seed(1))


class Adapted(Pointwise):
    """A linear map with a low-rank one beside it, as adapters are."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None)
        self.load_state_dict(layer.state_dict())
        self.down = nn.Parameter(torch.randn(2, layer.in_features))
        self.up = nn.Parameter(torch.randn(layer.out_features, 2))

    def forward(self, z: Tensor) -> Tensor:
        if z.ndim == 3:  # rows of a scan
            return F.linear(z, self.weight + self.up @ self.down, self.bias)
        return super().forward(z) + torch.einsum("oi,bihw->bohw", self.up @ self.down, z)


class AdaptedConvolution(nn.Conv2d):
    """A depth-wise convolution whose result is scaled by what is learnt."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(
            *(layer.in_channels, layer.in_channels, 3), padding=1, groups=layer.groups, bias=layer.bias is not None
        )
        self.load_state_dict(layer.state_dict())
        self.scale = nn.Parameter(1 + torch.rand(layer.in_channels, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * super().forward(z)


def merged(part: Part, name: str) -> Part:
    """The network with the adapter's map in the weights of the layer that it adapts."""
    torch.manual_seed(0)
    plain, adapter = Part().eval(), part.get_submodule(name)
    state = {key: value.detach().clone() for key, value in part.state_dict().items()}
    for extra in ("down", "up", "scale"):
        state.pop(f"{name}.{extra}", None)
    if isinstance(adapter, Adapted):
        state[f"{name}.weight"] += (adapter.up @ adapter.down).detach()
    else:
        assert isinstance(adapter, AdaptedConvolution)
        state[f"{name}.weight"] *= adapter.scale.detach()[..., None]
        if adapter.bias is not None:
            state[f"{name}.bias"] *= adapter.scale.detach()[:, 0, 0]
    plain.load_state_dict(state)
    return plain


@pytest.mark.parametrize("name", LAYERS)
def test_an_adapter_counts_and_is_trained(part: Part, x: Tensor, name: str) -> None:
    """In place of any layer: what comes out is that of the merged weights, and its parameters get gradients."""
    owner, _, last = name.rpartition(".")
    layer = part.get_submodule(name)
    adapter = AdaptedConvolution(layer) if isinstance(layer, nn.Conv2d) else Adapted(layer)
    with torch.no_grad():
        before = part(x)
        setattr(part.get_submodule(owner), last, adapter)
        exact = merged(part, name)(x)
        assert_agree(part(x), exact, 1e-4)
        assert (exact - before).abs().max() > 1e-3
    part.train(name.startswith("block.scan.routing")).requires_grad_(False)
    adapter.requires_grad_(True)
    part(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in adapter.parameters())
