"""How much context tiles need: measured with the trained network, stored beside its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dgno.errors import CheckpointMismatch
from dgno.networks.dbmid import DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.networks.presets import build
from dgno.restoration.image import restore_plane, tiling_of
from dgno.restoration.tiling import plan_tiles
from dgno.weights.store import check_fit, read_weights, save_weights

TOLERANCE, SHARE = 2e-5, 0.999  # tiles agree with the whole within this on this share of the pixels
STEP, LARGEST = 16, 256  # px
KEPT = 64  # px between the halos of a tile, at least
SIDE = 736  # px, of the scenes: 160 more than the largest tile of networks of multiple 32


def measure_halo(
    network: DGNO | DBMIDNet, scenes: list[Float[Tensor, "1 c h w"]], *, tile_size: int = 320
) -> int | None:
    """The smallest multiple of 16 px of context at which tiles agree with whole scenes.

    tile_size : px; larger tiles are taken where less than 64 px would be left to keep
    None if 256 px are too few, or if the scenes are not larger than the tiles that this takes: weights without usable
    halo, whose tiles need fading.
    """
    with torch.no_grad():
        wholes = [network(scene) for scene in scenes]
    for halo in range(STEP, LARGEST + 1, STEP):
        side = tile_side(halo, network.multiple, tile_size)
        if any(side >= min(scene.shape[-2:]) for scene in scenes):
            return None
        if all(
            agreement(network, s, whole, halo=halo, tile_size=side) >= SHARE
            for s, whole in zip(scenes, wholes, strict=True)
        ):
            return halo
    return None


def tile_side(halo: int, multiple: int, wanted: int) -> int:
    """The side of tiles to measure a halo with: a multiple of the network's, with something left to keep, px."""
    least = max(wanted, 2 * halo + max(KEPT, multiple))
    return -(-least // multiple) * multiple


def agreement(
    network: DGNO | DBMIDNet,
    scene: Float[Tensor, "1 c h w"],
    whole: Float[Tensor, "1 c h w"],
    *,
    halo: int,
    tile_size: int,
) -> float:
    """The share of pixels at which tiles give what the whole gives, within 2e-5."""
    height, width = scene.shape[-2:]
    tiles = plan_tiles((height, width), **tiling_of(network, tile_size, halo))
    return float(((restore_plane(scene, network, tiles) - whole).abs() <= TOLERANCE).float().mean())


def drawn_scenes(channels: int, side: int = SIDE, seeds: tuple[int, ...] = (0, 1)) -> list[Float[Tensor, "1 c h w"]]:
    """Drawn scenes for the measurement: smooth ground, edges, fine texture, and camera noise."""
    return [_scene(channels, side, np.random.default_rng(seed)) for seed in seeds]


def _scene(channels: int, side: int, rng: np.random.Generator) -> Float[Tensor, "1 c h w"]:
    ground = sum(gaussian_filter(rng.standard_normal((side, side)), s, mode="wrap") * s for s in (2, 8, 32))
    ground = (ground - ground.min()) / (ground.max() - ground.min())
    for _ in range(60):
        y, x = rng.integers(0, side, 2)
        h, w = rng.integers(4, 40, 2)
        ground[y : y + h, x : x + w] = rng.random()
    blurred = gaussian_filter(ground, 1.5)
    planes = [blurred * rng.uniform(0.6, 1) + rng.normal(0, 0.01, blurred.shape) for _ in range(channels)]
    return torch.from_numpy(np.stack(planes)[None]).float()


def store_halo(path: Path) -> int | None:
    """Measure the halo of weights and write it into their card; tell it.

    None says that the weights have no usable halo, because the network is not local or needs more context than 256 px.
    """
    card, tensors = read_weights(path)
    network = build(card.network)  # not by `load_weights`, which takes weights without measured halo for not local
    network.load_state_dict(check_fit(network, tensors, path=path))
    network.eval()
    if not isinstance(network, DGNO | DBMIDNet):
        raise CheckpointMismatch("the weights do not restore", path=path, hint="no halo is measured for them")
    halo = measure_halo(network, drawn_scenes(network.channels)) if network.is_local else None
    save_weights(path, tensors, replace(card, halo=halo))
    return halo
