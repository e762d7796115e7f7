"""Small checkpoints in the published naming, and small weights of ours."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from dgno.networks.config import DGNOConfig
from dgno.networks.presets import NETWORKS, build
from dgno.weights.official import our_name

GOLDEN = Path(__file__).parents[1] / "golden"
CELL, FACE = "full_cell_jump_neumann_gray", "full_face_avgjump_dirichlet_rgb"
TINY = DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1))
TINY_FACE = replace(TINY, channels=3, traces="face", flux="avg_jump", boundary="dirichlet")


def released_shapes(name: str) -> dict[str, list[int]]:
    """Names and shapes of a published full-size network."""
    shapes: dict[str, list[int]] = json.loads((GOLDEN / f"{name}.keys.json").read_text())
    return shapes


@cache
def our_shapes(config: DGNOConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # no memory
        return {name: tuple(tensor.shape) for name, tensor in build(config).state_dict().items()}


def released_checkpoint(config: DGNOConfig) -> dict[str, Tensor]:
    """Random tensors under the published names and in the published shapes, of a network of one block a scale."""
    full = NETWORKS["dgno-face" if config.traces == "face" else "dgno-cell"]
    full = replace(full, channels=3 if config.traces == "face" else 1)
    published = released_shapes(FACE if config.traces == "face" else CELL)
    random = torch.Generator().manual_seed(0)
    params = {}
    for name, shape in published.items():
        if "face_idx_" in name:
            params[name] = torch.arange(shape[0])
        elif our_name(name) in our_shapes(config):
            ours = our_shapes(config)[our_name(name)]
            params[name] = torch.randn(_with_ones(ours, our_shapes(full)[our_name(name)], shape), generator=random)
    return params


def _with_ones(ours: tuple[int, ...], ours_at_full_size: tuple[int, ...], published: list[int]) -> list[int]:
    """Our shape with axes of length 1 where the published one has more axes than ours."""
    left = list(zip(ours, ours_at_full_size, strict=True))
    return [left.pop(0)[0] if left and left[0][1] == n else 1 for n in published]


def tiny_network(config: DGNOConfig = TINY) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(config).eval()
