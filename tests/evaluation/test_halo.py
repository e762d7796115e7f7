"""The context that tiles need, measured on restorers whose reach is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgno.evaluation.halo import LARGEST, SHARE, STEP, agreement, drawn_scenes, measure_halo, store_halo, tile_side
from dgno.networks.dgno import DGNO
from dgno.networks.presets import build
from dgno.weights.store import load_weights, read_weights, save_weights

TILE = 320


class Reaching(DGNO):
    """Every pixel becomes the mean of the four that lie `reach` px away; with the attributes of a network."""

    def __init__(self, reach: int, multiple: int = 8) -> None:
        nn.Module.__init__(self)
        self.reach, self.multiple, self.is_local, self.halo, self.channels = reach, multiple, True, 0, 1

    def forward(self, x: Tensor) -> Tensor:
        r, (h, w) = self.reach, x.shape[-2:]
        wide = F.pad(x, (r, r, r, r), mode="replicate")
        up, down = wide[..., :h, r : r + w], wide[..., 2 * r :, r : r + w]
        left, right = wide[..., r : r + h, :w], wide[..., r : r + h, 2 * r :]
        return (up + down + left + right) / 4


class Mean(Reaching):
    """Every pixel sees the whole plane."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean((-2, -1), keepdim=True)


@pytest.fixture(scope="module")
def scenes() -> list[Tensor]:
    return [torch.rand(1, 1, 640, 600, generator=torch.Generator().manual_seed(i)) for i in range(2)]


@pytest.mark.parametrize("multiple", [1, 32, 96])
@pytest.mark.parametrize(
    ("reach", "halo"), [(0, 16), (1, 16), (16, 16), (17, 32), (40, 48), (112, 112), (129, 144), (192, 192)]
)
def test_a_known_reach_is_found(scenes: list[Tensor], reach: int, halo: int, multiple: int) -> None:
    """The smallest multiple of 16 px that holds it, whatever multiple tiles must be of."""
    assert measure_halo(Reaching(reach, multiple), scenes, tile_size=TILE) == halo


def test_the_largest_reach_that_is_measured() -> None:
    """256 px, on scenes of the default size; one pixel more is too far."""
    scenes = drawn_scenes(1)
    assert measure_halo(Reaching(LARGEST), scenes) == LARGEST
    assert measure_halo(Reaching(LARGEST + 1), scenes) is None


def test_scenes_of_a_single_tile_say_nothing() -> None:
    """They would agree at any halo."""
    scene = torch.rand(1, 1, TILE, 500, generator=torch.Generator().manual_seed(0))
    assert measure_halo(Reaching(5), [scene], tile_size=TILE) is None


@pytest.mark.parametrize("multiple", [1, 8, 32, 64, 96, 128])
def test_tiles_of_the_measurement_can_be_planned(multiple: int) -> None:
    """At every halo that is tried: of the network's multiple, with something left to keep."""
    for halo in range(STEP, LARGEST + 1, STEP):
        side = tile_side(halo, multiple, TILE)
        assert side % multiple == 0
        assert side >= TILE
        assert side - 2 * halo >= max(multiple, 64)


def test_a_restorer_that_sees_everything_has_no_halo(scenes: list[Tensor]) -> None:
    assert measure_halo(Mean(0), scenes, tile_size=TILE) is None


def test_every_scene_counts(scenes: list[Tensor]) -> None:
    """On a constant plane any context suffices; beside it the other scene still decides."""
    flat = torch.full((1, 1, 640, 600), 0.5)
    assert measure_halo(Reaching(50), [flat], tile_size=TILE) == STEP
    assert measure_halo(Reaching(50), [flat, scenes[0]], tile_size=TILE) == 64


def test_agreement_is_the_share_of_equal_pixels(scenes: list[Tensor]) -> None:
    """All with enough context; without any, what lies within the reach of inner borders differs, and nothing else."""
    network, scene = Reaching(5), scenes[0]
    whole = network(scene)
    assert agreement(network, scene, whole, halo=8, tile_size=TILE) == 1
    assert agreement(network, scene, whole, halo=4, tile_size=TILE) < SHARE
    # tiles of 320 px without context meet at row and column 320: 5 px on both sides of it
    untouched = (640 - 10) * (600 - 10) / (640 * 600)
    assert agreement(network, scene, whole, halo=0, tile_size=TILE) == pytest.approx(untouched, abs=1e-3)


def test_scenes_are_drawn_alike_every_time() -> None:
    """Of the channels and the side that are asked for; two different ones, with structure and without NaN."""
    a, b = (drawn_scenes(3, side=96) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert [tuple(x.shape) for x in a] == [(1, 3, 96, 96)] * 2
    assert not torch.equal(a[0], a[1])
    for scene in a:
        assert scene.isfinite().all()
        assert -0.2 < scene.min() < scene.max() < 1.2
        assert scene.std() > 0.05


def test_the_default_scenes_are_cut_into_tiles_at_every_halo_that_is_tried() -> None:
    """A measurement on one tile would say nothing."""
    (scene,) = drawn_scenes(1, seeds=(0,))
    whole = Mean(0)(scene)
    for halo in range(STEP, LARGEST + 1, 4 * STEP):
        side = tile_side(halo, 32, TILE)
        assert side < min(scene.shape[-2:])
        assert agreement(Mean(0), scene, whole, halo=halo, tile_size=side) < SHARE


def test_the_halo_is_stored_beside_the_weights(weights: Path, tmp_path: Path) -> None:
    """Of a network that changes little, so that far pixels fall below the tolerance. Nothing else in the file changes,
    and the network that is loaded next is tiled by it."""
    card, tensors = read_weights(weights)
    assert card.halo is None
    assert not load_weights(weights)[0].is_local
    tensors = tensors | {"output_full.weight": tensors["output_full.weight"] / 1000}
    path = save_weights(tmp_path / "w.safetensors", tensors, card)
    halo = store_halo(path)
    again, after = read_weights(path)
    assert halo == STEP
    assert again == replace(card, halo=halo)
    assert all(torch.equal(after[name], tensors[name]) for name in tensors)
    network, _ = load_weights(path)
    assert (network.halo, network.is_local) == (halo, True)


def test_global_networks_keep_no_halo(weights: Path, tmp_path: Path) -> None:
    """Not even one that their card claims."""
    card, _ = read_weights(weights)
    config = replace(card.network, scan_block=None)
    torch.manual_seed(0)
    path = save_weights(tmp_path / "w.safetensors", build(config).state_dict(), replace(card, network=config, halo=32))
    assert store_halo(path) is None
    assert read_weights(path)[0].halo is None
