"""Networks in other dtypes than float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dgno.networks import NETWORKS, build

# of the range of an image; what is rounded at every layer adds up
NEAR = {torch.float64: 1e-5, torch.bfloat16: 0.05, torch.float16: 0.01}
NANO = [name for name in NETWORKS if name.startswith("nano")]


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build(NETWORKS[name]).eval()


def restored(name: str, dtype: torch.dtype) -> Tensor:
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    y: Tensor = network(name).to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    return y


@pytest.mark.parametrize("dtype", NEAR, ids=str)
@pytest.mark.parametrize("name", NANO)
def test_a_network_runs_in_every_dtype(name: str, dtype: torch.dtype) -> None:
    """`double()`, `half()` and `bfloat16()` give nearly what float32 gives, and can be trained."""
    y, float32 = restored(name, dtype), restored(name, torch.float32)
    assert (y.double() - float32.double()).abs().max() < NEAR[dtype]
    trained = network(name).to(dtype).train()
    trained(torch.rand(1, 1, 32, 32, dtype=dtype)).sum().backward()
    assert all(p.grad.isfinite().all() for p in trained.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["nano-face", "nano-nafnet"])
def test_gradients_are_those_of_differences(name: str) -> None:
    """At the image and at some parameters of the whole network, in float64."""
    double = network(name).double()
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    chosen = [p for p in double.parameters() if p.ndim == 1][:8]
    assert torch.autograd.gradcheck(lambda z, *_: double(z), (x, *chosen), fast_mode=True)
