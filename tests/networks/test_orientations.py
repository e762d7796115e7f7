"""Laws of the mean over all orientations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dgno.arrays import Image, from_tensor
from dgno.evaluation.halo import SHARE, TOLERANCE, drawn_scenes
from dgno.networks.config import DGNOConfig
from dgno.networks.dbmid import DBMIDConfig
from dgno.networks.orientations import ORIENTATIONS, AllOrientations, turned, turned_back
from dgno.networks.presets import build
from dgno.restoration.image import as_is, restore_image

LOCAL = DGNOConfig(
    width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper", scan_block=16, element_size=4, shallow_norm="none"
)
every_orientation = pytest.mark.parametrize("how", ORIENTATIONS)


def in_all(config: DGNOConfig | DBMIDConfig) -> AllOrientations:
    torch.manual_seed(0)
    return AllOrientations(build(config)).eval()


def test_there_are_eight_orientations() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert len({str(turned(x, *how).tolist()) for how in ORIENTATIONS}) == 8


@every_orientation
def test_turning_back_undoes_turning(how: tuple[int, bool]) -> None:
    x = torch.rand(2, 3, 4, 5)
    assert torch.equal(turned_back(turned(x, *how), *how), x)


@every_orientation
def test_a_turned_image_gives_the_turned_result(how: tuple[int, bool]) -> None:
    """To rounding, which a near-tie of the routing magnifies on few pixels; of the network alone it is not so."""
    network, x = in_all(LOCAL), torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        wanted, found = turned(network(x), *how), network(turned(x, *how))
        alone = (turned(network.network(x), *how) - network.network(turned(x, *how))).abs()
    assert ((found - wanted).abs() < 1e-5).float().mean() > 0.999
    assert how == (0, False) or (alone > 1e-4).float().mean() > 0.1


def test_it_is_the_mean_over_the_orientations() -> None:
    """Of sides that are multiples: the answers one by one, turned back."""
    network, x = in_all(replace(LOCAL, channels=3)), torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        answers = [turned_back(network.network(turned(x, *how)), *how) for how in ORIENTATIONS]
        torch.testing.assert_close(network(x), torch.stack(answers).mean(0))


@pytest.mark.parametrize("size", [(32, 32), (45, 70), (1, 3)])
def test_any_size_is_kept(size: tuple[int, int]) -> None:
    network = in_all(LOCAL)
    with torch.no_grad():
        assert network(torch.rand(1, 1, *size)).shape == (1, 1, *size)


def test_tiles_equal_the_whole() -> None:
    """With squares of 16 px and 96 px of context, also where the sides are no multiples."""
    (scene,) = drawn_scenes(1, side=250, seeds=(0,))
    network, image = in_all(LOCAL), Image(from_tensor(scene)[..., 0], "YX")
    whole, tiled = (
        restore_image(image, network, tile_size=side, overlap=96, normalize=as_is).pixels for side in (0, 224)
    )
    assert (abs(tiled - whole) <= TOLERANCE).mean() >= SHARE


def test_the_networks_of_dbmid_can_be_asked_so_too() -> None:
    network, x = in_all(DBMIDConfig()), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(network(x.flip(3)), network(x).flip(3), rtol=0, atol=1e-5)
