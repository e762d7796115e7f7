"""How much context tiles need: measured with the trained network, stored beside its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dgno.networks.dgno import DGNO
from dgno.restoration.image import restore_plane, tiling_of
from dgno.restoration.tiling import plan_tiles
from dgno.weights.store import load_weights, read_weights, save_weights

TOLERANCE, SHARE = 2e-5, 0.999  # tiles agree with the whole within this on this share of the pixels
STEP, LARGEST = 16, 128  # px


def measure_halo(network: DGNO, scenes: list[Float[Tensor, "1 c h w"]], *, tile_size: int = 320) -> int | None:
    """The smallest multiple of 16 px of context at which tiles agree with whole scenes; None if 128 px are too few."""
    with torch.no_grad():
        wholes = [network(scene) for scene in scenes]
    for halo in range(STEP, LARGEST + 1, STEP):
        if all(
            agreement(network, s, whole, halo=halo, tile_size=tile_size) >= SHARE
            for s, whole in zip(scenes, wholes, strict=True)
        ):
            return halo
    return None


def agreement(
    network: DGNO, scene: Float[Tensor, "1 c h w"], whole: Float[Tensor, "1 c h w"], *, halo: int, tile_size: int
) -> float:
    """The share of pixels at which tiles give what the whole gives, within 2e-5."""
    height, width = scene.shape[-2:]
    tiles = plan_tiles((height, width), **tiling_of(network, tile_size, halo))
    return float(((restore_plane(scene, network, tiles) - whole).abs() <= TOLERANCE).float().mean())


def drawn_scenes(channels: int, side: int = 576, seeds: tuple[int, ...] = (0, 1)) -> list[Float[Tensor, "1 c h w"]]:
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
    """Measure the halo of weights and write it into their card. Networks that are not local keep none."""
    network, card = load_weights(path)
    halo = measure_halo(network, drawn_scenes(network.channels)) if network.is_local else None
    _, tensors = read_weights(path)
    save_weights(path, tensors, replace(card, halo=halo))
    return halo
