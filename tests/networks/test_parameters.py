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


def blocks_by_hand(config: DGNOConfig, counts: tuple[int, ...]) -> int:
    """Parameters of so many blocks of the lifting's kind at full scale, half, ...: weights of linear maps, depth-wise
    3 x 3 weights, and the vectors: biases, norms, scales, temperatures."""
    total = 0
    for scale, count in enumerate(counts):
        d, heads = config.width * 2**scale, 2**scale
        hidden = int(2.66 * d)
        nafnet = 2 * d * d + 9 * 2 * d + d * d + d * d + 2 * d * d + d * d + (2 + 2 + 1 + 1 + 2 + 1) * d + 4 * d + 2 * d
        restormer = 4 * d * d + 9 * 3 * d + 3 * hidden * d + 9 * 2 * hidden + 4 * d + heads
        total += count * {"nafnet": nafnet, "restormer": restormer}[config.lifting]
    return total


@pytest.mark.parametrize("lifting", ["nafnet", "restormer"])
@pytest.mark.parametrize("scope", ["elements", "blocks"])
def test_other_liftings_have_the_parameters_of_their_blocks(lifting: str, scope: str) -> None:
    """What is shared with the published network is as large as there; block and operator sizes come on top."""
    mamba = NETWORKS["dgno-cell"]
    parts = ("lifting.level", "lifting.latent", "operator_")
    shared = sum(
        math.prod(shape)
        for name, shape in shapes(mamba).items()
        if not name.startswith(parts) or name.split(".")[1] in ("up", "merge")
    )
    config = replace(mamba, lifting=lifting, scope=scope, blocks=(1, 2, 4, 3), iterations=3)
    top = blocks_by_hand(config, (3, 3, 3))
    if scope == "elements":  # q, k, v and the MLP with biases, weight and bias of two norms, tau
        top = sum(3 * (5 * d * d + 5 * d + 4 * d + 1) for d in (48, 96, 192))
    assert count(config) == shared + blocks_by_hand(config, config.blocks) + top


@pytest.mark.parametrize("kind", ["naf", "restormer"])
def test_liftings_are_compared_at_equal_size(kind: str) -> None:
    """With operators within 2 % of the published lifting's parameters, as plain U-Nets within 10 %."""
    names = {"naf": "nafnet"}
    for size, unet in (("dgno", f"{kind}-unet"), ("nano", f"nano-{kind}-unet")):
        wanted = count(NETWORKS[f"{size}-cell"])
        assert count(NETWORKS[f"{size}-{names.get(kind, kind)}"]) == pytest.approx(wanted, rel=0.02)
        assert count(NETWORKS[unet]) == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("name, most", [("small", 2_200_000), ("nano", 1_050_000)])
def test_our_networks_are_small(name: str, most: int) -> None:
    """About 2 M parameters at most for `small`, about 1 M for `nano`."""
    for variant in ("face", "cell"):
        assert count(NETWORKS[f"{name}-{variant}"]) <= most


OURS = [name for name in NETWORKS if name.startswith(("small-", "nano-"))]


@pytest.mark.parametrize("name", OURS)
def test_our_networks_are_local(name: str) -> None:
    """Ours follow the paper, scan in blocks, use no statistics of the whole image, and re-order the prompt."""
    config = NETWORKS[name]
    assert config.convention == "paper"
    assert config.scan_block is not None
    assert config.shallow_norm == "none"
    assert config.prompt_sorted
    assert build(config).is_local


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in OURS])
def test_the_published_networks_are_global(name: str) -> None:
    """The published lifting is global: its scan and its instance norm span the image, so tiles are not exact."""
    config = NETWORKS[name]
    assert config.convention == "released"
    assert config.scan_block is None
    assert config.shallow_norm == "instance"
    with torch.device("meta"):
        assert not build(config).is_local
