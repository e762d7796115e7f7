"""Sizes, costs and cards of weights and networks."""

from __future__ import annotations

import math
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dgno.errors import CheckpointError, UnknownWeights
from dgno.evaluation.inventory import card_facts, list_networks, list_weights, multiply_accumulates, verify
from dgno.networks import DGNOConfig, build
from dgno.networks.presets import NETWORKS
from dgno.weights import store
from dgno.weights.store import parameters

TINY = DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1))
CLASSES, STATES = 64, 8  # of the routing and of the scan


def block_by_hand(c: DGNOConfig, d: int) -> float:
    """Multiply-accumulates a pixel of one block in convolutions and linear maps, of those that see every pixel."""
    hidden = int(2.66 * d)
    feed_forward = d * 2 * hidden + 9 * 2 * hidden + hidden * d
    if c.lifting == "nafnet":
        return d * 2 * d + 9 * 2 * d + d * d + d * 2 * d + d * d  # in, 3 x 3 per channel, out; expand, contract
    if c.lifting == "restormer":
        return d * 3 * d + 9 * 3 * d + d * d + feed_forward
    routing = d * (d // 3) + (d // 3) * CLASSES
    return routing + d * 2 * d + 9 * 2 * d + 2 * d * d + feed_forward  # in, positional 3 x 3 per channel, out


def blocks_of(c: DGNOConfig, scale: int) -> int:
    """Of a scale, in the lifting and, in a plain U-Net, behind it."""
    return c.blocks[scale] + (c.iterations if c.scope == "blocks" and scale < 3 else 0)


def layers_by_hand(c: DGNOConfig) -> float:
    """Multiply-accumulates a full-scale pixel in convolutions and linear maps, read off the paper's drawing."""
    total = 9 * c.channels * c.width  # the embedding
    for scale in range(4):
        d, share = c.width * 2**scale, 1 / 4**scale
        total += share * blocks_of(c, scale) * block_by_hand(c, d)
        if scale < 3:
            total += share * 9 * d * d // 2  # down
            up = 9 * (2 * d) * (4 * d) / 4  # from the next scale, with a quarter of the pixels
            operator = 3 * d * d + 2 * d * d  # q, k, v; the two layers of the MLP
            operators = 0 if c.scope == "blocks" else c.iterations * operator
            total += share * (up + 2 * d * d + operators + 9 * d * c.channels)
        if scale in (1, 2):
            shallow = 9 * c.channels * d / 4 + d / 4 * d / 2 + 9 * (d / 2) ** 2 + d / 2 * d
            total += share * (shallow + 9 * 2 * d * d)
    return total


def pooled_by_hand(c: DGNOConfig, side: int) -> float:
    """The same for the linear map of NAFNet's channel attention: once a square, or once an image."""
    if c.lifting != "nafnet":
        return 0
    squares = (side / c.scan_block) ** 2 if c.scan_block else 1
    return squares * sum(blocks_of(c, scale) * (c.width * 2**scale) ** 2 for scale in range(4))


def products_by_hand(c: DGNOConfig) -> float:
    """The same for scans (projections; decay, input and output of 8 states), attention (q^T k and v A) and operators
    (k^T v and q K)."""
    total = 0.0
    for scale in range(4):
        d, share = c.width * 2**scale, 1 / 4**scale
        hidden, rank = 2 * d, math.ceil(2 * d / 16)
        kinds = {"mamba": hidden * (rank + 2 * STATES + rank + 3 * STATES), "restormer": 2 * d * (d // 2**scale)}
        total += share * blocks_of(c, scale) * kinds.get(c.lifting, 0)
        if scale < 3 and c.scope != "blocks":
            total += share * c.iterations * 2 * d * (d // c.heads)
    return total


@pytest.mark.parametrize("side", [256, 64])
@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, channels=3, blocks=(1, 2, 3, 1), iterations=3, traces="face", flux="avg_jump"),
        replace(TINY, width=16, heads=4, scope="none"),
        replace(NETWORKS["nano-cell"], channels=3),
        replace(TINY, lifting="nafnet"),
        replace(TINY, lifting="nafnet", scan_block=32, scope="blocks", iterations=3),
        replace(TINY, lifting="restormer", blocks=(1, 2, 1, 3)),
        replace(TINY, lifting="restormer", scan_block=32, scope="blocks"),
        replace(TINY, scope="blocks"),
    ],
    ids=["tiny", "rgb face", "uncoupled", "nano", "naf", "local naf U-Net", "restormer", "restormer U-Net", "U-Net"],
)
def test_multiply_accumulates_are_those_of_a_count_by_hand(config: DGNOConfig, side: int) -> None:
    layers, products = multiply_accumulates(build(config), side)
    assert layers == round(side**2 * layers_by_hand(config) + pooled_by_hand(config, side))
    assert products == round(side**2 * products_by_hand(config))


def test_counting_leaves_the_network_as_it_was() -> None:
    """No hooks stay, and what it computes is the same."""
    torch.manual_seed(0)
    network = build(TINY).eval()
    x = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        before = network(x)
        counts = [multiply_accumulates(network) for _ in range(2)]
        assert torch.equal(network(x), before)
    assert counts[0] == counts[1]
    assert not any(module._forward_hooks for module in network.modules())


def test_the_published_network_for_colours_has_12_79_million_parameters() -> None:
    with torch.device("meta"):  # no memory
        network = build(replace(NETWORKS["dgno-cell"], channels=3))
    assert parameters(network) == pytest.approx(12.79e6, rel=2e-3)


def test_every_preset_is_listed_with_its_size() -> None:
    rows = {row["name"]: row for row in list_networks()}
    assert rows.keys() == NETWORKS.keys()
    for name, config in NETWORKS.items():
        with torch.device("meta"):
            assert rows[name]["parameters"] == parameters(build(config))
        layers = 256**2 * layers_by_hand(config) + pooled_by_hand(config, 256)
        assert rows[name]["GMAC layers"] == pytest.approx(layers / 1e9, abs=0.006)
    assert rows["dgno-gg"]["flux"] == "none (GG)"


@pytest.fixture
def package(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that comes with the tiny weights, twice."""
    for name in ("a", "b"):
        shutil.copy(weights, tmp_path / f"{name}.safetensors")
    monkeypatch.setattr(store, "EMBEDDED", tmp_path)
    return tmp_path


def test_weights_are_listed_as_their_cards_say(package: Path) -> None:
    rows = list_weights()
    assert [row["name"] for row in rows] == ["a", "b"]
    facts = card_facts("a")
    assert (facts["file"], facts["for"], facts["normalisation"]) == ("a.safetensors", "test", "range")
    assert (facts["halo px"], facts["local"], facts["network width"], facts["training steps"]) == (None, False, 8, 0)
    assert rows[0]["parameters"] == facts["parameters"] == parameters(store.load_weights("a")[0])
    assert rows[0]["MB"] == pytest.approx((package / "a.safetensors").stat().st_size / 1e6, abs=0.005)


def test_whole_weights_verify(package: Path) -> None:
    assert verify() == {"a": "whole", "b": "whole"}
    assert verify("b") == {"b": "whole"}
    assert verify(package / "a.safetensors") == {str(package / "a.safetensors"): "whole"}


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_byte_is_found(package: Path, seed: int) -> None:
    """Anywhere in header or tensors, by name, by path, and among all of the package."""
    path = package / "b.safetensors"
    data = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    position = random.Random(seed).randrange(*((0, header) if seed % 2 else (header, len(data))))
    data[position] ^= 0x55
    path.write_bytes(data)
    for name in (None, "b", path):
        with pytest.raises(CheckpointError):
            verify(name)
    assert verify("a") == {"a": "whole"}


def test_weights_that_are_not_there_do_not_verify(package: Path) -> None:
    with pytest.raises(UnknownWeights, match="known: a, b"):
        verify("c")
