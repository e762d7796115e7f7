"""Halos beyond 128 px: tiles of the measurement grow with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgno.evaluation.halo import LARGEST, SIDE, STEP, drawn_scenes, measure_halo, store_halo, tile_side
from dgno.networks.dgno import DGNO
from dgno.restoration.tiling import plan_cuts
from dgno.weights.store import load_weights, read_weights, save_weights


class Reaching(DGNO):
    """Every pixel becomes the mean of itself and the one that lies `reach` px above and to the left."""

    def __init__(self, reach: int, multiple: int) -> None:
        nn.Module.__init__(self)
        self.reach, self.multiple, self.is_local, self.halo, self.channels = reach, multiple, True, 0, 1

    def forward(self, x: Tensor) -> Tensor:
        r, (h, w) = self.reach, x.shape[-2:]
        wide = F.pad(x, (r, 0, r, 0), mode="replicate")
        return (x + wide[..., :h, :w]) / 2


@pytest.fixture(scope="module")
def scenes() -> list[Tensor]:
    return drawn_scenes(1, seeds=(0,))


@pytest.mark.parametrize("multiple", [8, 32, 96])
@pytest.mark.parametrize(("reach", "halo"), [(100, 112), (129, 144), (200, 208), (256, 256), (257, None)])
def test_a_wide_reach_is_found(scenes: list[Tensor], reach: int, halo: int | None, multiple: int) -> None:
    assert measure_halo(Reaching(reach, multiple), scenes) == halo


@pytest.mark.parametrize("multiple", [1, 8, 32, 64, 96])
@pytest.mark.parametrize("halo", range(STEP, LARGEST + 1, STEP))
def test_tiles_of_the_measurement_fit(halo: int, multiple: int) -> None:
    """Multiples of the network's, that leave something to keep and cut the drawn scenes."""
    side = tile_side(halo, multiple, 320)
    assert side % multiple == 0
    assert len(plan_cuts(SIDE, side, halo, multiple=multiple)) > 1


def test_scenes_that_no_tile_cuts_measure_nothing() -> None:
    """Then whole and tiles agree because they are one, which says nothing about the context."""
    assert measure_halo(Reaching(5, 8), [torch.rand(1, 1, 320, 400)]) is None


def test_weights_without_usable_halo_say_so(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their card, also where it claimed one; loaded, their network is not taken for local."""
    card, tensors = read_weights(weights)
    path = save_weights(tmp_path / "w.safetensors", tensors, replace(card, halo=32))
    monkeypatch.setattr("dgno.evaluation.halo.measure_halo", lambda network, scenes: None)
    assert store_halo(path) is None
    assert read_weights(path)[0].halo is None
    assert not load_weights(path)[0].is_local


def test_local_weights_without_measured_halo_are_measured(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As training leaves them: that loading takes them for not local is no measurement."""
    card, tensors = read_weights(weights)
    path = save_weights(tmp_path / "w.safetensors", tensors, replace(card, halo=None))
    monkeypatch.setattr("dgno.evaluation.halo.measure_halo", lambda network, scenes: 48)
    assert store_halo(path) == 48
    assert load_weights(path)[0].halo == 48
