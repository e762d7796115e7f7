"""Laws of the other liftings, with operators and as plain U-Nets: exact tiles, memory layout, gradients, sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dgno.evaluation.halo import SHARE, agreement, drawn_scenes
from dgno.networks.config import DGNOConfig
from dgno.networks.dgno import DGNO
from dgno.networks.naf_block import NAFBlock
from dgno.networks.presets import build

LOCAL = DGNOConfig(
    width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper", scan_block=16, element_size=4, shallow_norm="none"
)
KINDS = {
    f"{lifting} {scope}": replace(LOCAL, lifting=lifting, scope=scope)
    for lifting in ("mamba", "nafnet", "restormer")
    for scope in ("elements", "blocks")
}
every_kind = pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)


def make(config: DGNOConfig) -> DGNO:
    """With random numbers, also where parameters start at 0."""
    torch.manual_seed(0)
    network = build(config).eval()
    for name, parameter in network.named_parameters():
        if name.endswith(("beta", "gamma")):
            parameter.data.normal_(std=0.3)
    return network


@every_kind
def test_tiles_equal_the_whole(config: DGNOConfig) -> None:
    """With squares of 16 px and 96 px of context, on 99.9 % of the pixels within 2e-5."""
    (scene,) = drawn_scenes(1, side=256, seeds=(0,))
    network = make(config)
    assert network.is_local
    with torch.no_grad():
        assert agreement(network, scene, network(scene), halo=96, tile_size=224) >= SHARE


@every_kind
def test_memory_layout_does_not_matter(config: DGNOConfig) -> None:
    """Channels-last or contiguous: images and parameters give the same numbers."""
    network, x = make(replace(config, channels=3)), torch.rand(2, 3, 48, 32)
    with torch.no_grad():
        expected = network(x)
        last = network(x.contiguous(memory_format=torch.channels_last))
        contiguous = network.to(memory_format=torch.contiguous_format)(x)
    torch.testing.assert_close(last, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(contiguous, expected, rtol=0, atol=1e-5)


@every_kind
@pytest.mark.parametrize("scan_block", [16, None], ids=["squares", "whole"])
def test_every_parameter_is_learnt(config: DGNOConfig, scan_block: int | None) -> None:
    """From the first step on, but inside NAFNet's blocks, which start as the identity: there two scales come first."""
    torch.manual_seed(0)
    network = build(replace(config, scan_block=scan_block)).train()
    sum(y.square().mean() for y in network.at_all_scales(torch.rand(1, 1, 32, 32))).backward()
    lifeless = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    scaled = {f"{name}." for name, module in network.named_modules() if isinstance(module, NAFBlock)}
    scales = {f"{name}{scale}" for name in scaled for scale in ("beta", "gamma")}
    inside = {name for name, _ in network.named_parameters() if name.startswith(tuple(scaled))}
    assert lifeless == inside - scales


@every_kind
@pytest.mark.parametrize(("h", "w"), [(1, 1), (17, 40), (65, 31)])
def test_any_size_is_restored(config: DGNOConfig, h: int, w: int) -> None:
    x = torch.rand(1, 1, h, w)
    with torch.no_grad():
        y = make(config)(x)
    assert y.shape == x.shape
    assert y.isfinite().all()


@pytest.mark.parametrize("lifting", ["nafnet", "restormer"])
@pytest.mark.parametrize("scan_block", [16, None])
def test_channel_statistics_are_those_of_squares_or_of_the_image(lifting: str, scan_block: int | None) -> None:
    """A brighter far half changes what the whole image is pooled or attended to, and nothing where squares are."""
    network = make(replace(LOCAL, lifting=lifting, scan_block=scan_block))
    assert network.is_local is (scan_block is not None)

    def corner(far: float) -> Tensor:
        x = torch.full((1, 1, 32, 256), 0.3)
        x[..., 160:] = far
        with torch.no_grad():
            return network(x)[..., :16]

    difference = (corner(0.3) - corner(0.9)).abs().max()
    assert bool(difference < 1e-6) is (scan_block is not None)
