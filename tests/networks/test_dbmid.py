"""The restoration network of DBMID: its size, its shapes, how far it sees, and what it can learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from dgno.errors import ConfigError
from dgno.evaluation.inventory import layer_products
from dgno.networks.dbmid import DBMID_NETWORKS, DBMIDConfig, DBMIDNet, reach

SMALL = DBMIDConfig(channels=1, widths=(4, 6, 8), kernel=3)
each = pytest.mark.parametrize("inner", ["residual", "plain"])


def drawn(config: DBMIDConfig, seed: int = 0) -> DBMIDNet:
    torch.manual_seed(seed)
    return DBMIDNet(config).eval()


@pytest.mark.parametrize(("kernel", "parameters", "tera"), [(3, 2_511_491, 1.30), (5, 6_971_011, 3.60)])
@each
def test_the_published_sizes(kernel: int, parameters: int, tera: float, inner: str) -> None:
    """2.511 and 6.971 M parameters; 1.30 and 3.60 T multiply-accumulates at 1920 x 1920; 21 + 21 convolutions."""
    with torch.device("meta"):
        network = DBMIDNet(DBMIDConfig(kernel=kernel, inner=inner))
        products = layer_products(network, torch.zeros(1, 3, 1920, 1920))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert products / 1e12 == pytest.approx(tera, abs=0.01)
    assert sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in network.modules()) == 42


@each
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (7, 30), (33, 18)])
def test_any_size_comes_back(size: tuple[int, int], inner: str) -> None:
    assert drawn(replace(SMALL, inner=inner))(torch.rand(2, 1, *size)).shape == (2, 1, *size)


@each
def test_without_its_last_kernel_it_is_the_identity(inner: str) -> None:
    network, x = drawn(replace(SMALL, inner=inner)), torch.rand(1, 1, 20, 24)
    for output in network.outputs:
        for parameter in output.parameters():
            parameter.data.zero_()
    assert torch.equal(network(x), x)
    assert not drawn(replace(SMALL, global_residual=False)).outputs


@each
@pytest.mark.parametrize("kernel", [3, 5])
def test_no_pixel_sees_farther_than_said(kernel: int, inner: str) -> None:
    side = 2 * reach(kernel) + 9
    network = drawn(replace(SMALL, kernel=kernel, inner=inner, widths=(4, 4, 4))).double()
    for module in network.modules():  # all that is there lets something through
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.data.abs_()
    x = torch.rand(1, 1, side, 8, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0, side // 2, 4].backward()
    assert x.grad is not None
    seen = x.grad.abs().amax((0, 1, 3)).nonzero()
    assert 0 < (seen - side // 2).abs().max() <= reach(kernel)


def test_every_parameter_is_used() -> None:
    for inner in ("residual", "plain"):
        network = drawn(replace(SMALL, inner=inner)).train()
        (network(torch.rand(1, 1, 32, 32)) ** 2).sum().backward()
        unused = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not [name for name in unused if name.endswith("weight")]


def test_mirrored_sums_are_what_makes_plain_another_network() -> None:
    plain, residual = drawn(replace(SMALL, inner="plain")), drawn(SMALL)
    residual.load_state_dict(plain.state_dict())
    x = torch.rand(1, 1, 16, 16)
    assert not torch.allclose(plain(x), residual(x))


def test_it_learns_one_image() -> None:
    network = drawn(SMALL).train()
    torch.manual_seed(1)
    sharp = torch.rand(1, 1, 24, 24)
    blurred = nn.functional.avg_pool2d(sharp, 3, 1, 1)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    first = last = 0.0
    for step in range(60):
        loss = nn.functional.mse_loss(network(blurred), sharp)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < 0.5 * first


@pytest.mark.parametrize(("field", "value"), [
    ("channels", 2), ("kernel", 4), ("inner", "dense"), ("widths", (8, 0, 8)),
])  # fmt: skip
def test_what_cannot_be_built_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(DBMID_NETWORKS["dbmid-3"], **{field: value})
