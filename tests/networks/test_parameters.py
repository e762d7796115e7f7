"""How many parameters the networks have, and what decides that."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import pytest
import torch

from dgno.networks.config import DGNOConfig
from dgno.networks.presets import NETWORKS, build


@functools.cache
def shapes(config: DGNOConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # no memory
        return {name: tuple(p.shape) for name, p in build(config).named_parameters()}


def count(config: DGNOConfig) -> int:
    return sum(math.prod(shape) for shape in shapes(config).values())


@pytest.mark.parametrize("channels, parameters", [(1, 12_794_888), (3, 12_803_100)])
@pytest.mark.parametrize("name", ["dgno-face", "dgno-cell"])
def test_the_published_networks_have_their_size(name: str, channels: int, parameters: int) -> None:
    """12.79 M parameters, the paper says; counted: 12,794,888 for gray and 12,803,100 for RGB, tau included."""
    assert count(replace(NETWORKS[name], channels=channels)) == parameters


@pytest.mark.parametrize("flux", ["central", "upwind", "upwind_frobenius"])
@pytest.mark.parametrize("name", ["dgno-face", "dgno-cell"])
def test_fluxes_without_tau_have_six_fewer(name: str, flux: str) -> None:
    """One tau in each of two layers at three resolutions."""
    assert count(replace(NETWORKS[name], flux=flux)) == 12_794_888 - 6


def test_all_operators_have_the_same_parameters() -> None:
    """GG = LG = Cell = Face up to tau, name by name and shape by shape."""
    networks = [NETWORKS[name] for name in ("dgno-face", "dgno-cell", "dgno-gg", "dgno-lg")]
    without_tau = [{n: s for n, s in shapes(config).items() if not n.endswith(".tau")} for config in networks]
    assert all(other == without_tau[0] for other in without_tau)
    assert count(NETWORKS["dgno-gg"]) == count(NETWORKS["dgno-lg"]) == 12_794_888 - 6


@pytest.mark.parametrize("field, value", [("boundary", "periodic"), ("convention", "paper"), ("scan_block", 64)])
def test_rules_without_parameters(field: str, value: object) -> None:
    """Border, convention, blocks of the scan and the order of prompts change what is computed, not what is learnt."""
    assert shapes(replace(NETWORKS["dgno-cell"], **{field: value})) == shapes(NETWORKS["dgno-cell"])


@pytest.mark.parametrize("name, most", [("small", 2_200_000), ("nano", 1_050_000)])
def test_our_networks_are_small(name: str, most: int) -> None:
    """About 2 M parameters at most for `small`, about 1 M for `nano`."""
    for variant in ("face", "cell"):
        assert count(NETWORKS[f"{name}-{variant}"]) <= most


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("dgno-")])
def test_our_networks_are_local(name: str) -> None:
    """Ours follow the paper, scan in blocks, use no statistics of the whole image, and re-order the prompt."""
    config = NETWORKS[name]
    assert config.convention == "paper"
    assert config.scan_block is not None
    assert config.shallow_norm == "none"
    assert config.prompt_sorted
    assert build(config).is_local


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("dgno-")])
def test_the_published_networks_are_global(name: str) -> None:
    """The published lifting is global: its scan and its instance norm span the image, so tiles are not exact."""
    config = NETWORKS[name]
    assert config.convention == "released"
    assert config.scan_block is None
    assert config.shallow_norm == "instance"
    with torch.device("meta"):
        assert not build(config).is_local
