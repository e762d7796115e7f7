"""A deeper network that goes on from a shallower one: the same function at first, and blocks that learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dgno.errors import CheckpointMismatch
from dgno.networks.config import DGNOConfig
from dgno.networks.deepening import deepened
from dgno.networks.presets import build
from dgno.weights.store import check_fit

SHALLOW = DGNOConfig(
    width=8, heads=2, blocks=(1, 2, 1, 1), convention="paper", scan_block=16, element_size=4, shallow_norm="none"
)
every_lifting = pytest.mark.parametrize("lifting", ["mamba", "nafnet", "restormer"])


@every_lifting
def test_added_blocks_are_the_identity_and_learn(lifting: str) -> None:
    """At every scale, at the end of its blocks; what they are made of gets a gradient."""
    torch.manual_seed(0)
    shallow = build(replace(SHALLOW, lifting=lifting)).eval()
    for name, parameter in shallow.named_parameters():
        if name.endswith(("beta", "gamma")):
            parameter.data.normal_(std=0.3)
    deep = build(replace(SHALLOW, lifting=lifting, blocks=(2, 3, 3, 2))).eval()
    x = torch.rand(1, 1, 48, 32)
    deep.load_state_dict(check_fit(deep, deepened(shallow.state_dict(), deep)))
    with torch.no_grad():
        torch.testing.assert_close(deep(x), shallow(x), rtol=0, atol=1e-6)
    deep(x).square().mean().backward()
    for level in (deep.lifting.level1, deep.lifting.level2, deep.lifting.level3, deep.lifting.latent):
        gradients = [parameter.grad for parameter in level[-1].parameters()]
        assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("other", [{"width": 16}, {"blocks": (1, 1, 1, 1)}, {"channels": 3}, {"iterations": 3}])
def test_another_network_does_not_fit(other: dict[str, object]) -> None:
    """Fewer blocks, other widths, more operator layers."""
    tensors, network = build(SHALLOW).state_dict(), build(replace(SHALLOW, **other))  # type: ignore[arg-type]
    with pytest.raises(CheckpointMismatch):
        check_fit(network, deepened(tensors, network))
