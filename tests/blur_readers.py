"""Readers of blur that need no training, and images that they can read."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from dgno.arrays import Image
from dgno.optics.blur_types import CELL, BlurReading

LEVELS = (0.8, 0.6, 0.4, 0.2)  # of the range: what `LevelReader` takes for in focus, defocus, motion, mixed


class LevelReader:
    """The type of a square is written in its brightness, see LEVELS; sigma is 2, length 13 and angle 30 everywhere."""

    def __init__(self, channels: int | None = None) -> None:
        self.channels = channels

    def __call__(self, x: Float[Tensor, "b c h w"]) -> BlurReading:
        means = functional.avg_pool2d(x.mean(1, keepdim=True), CELL)[:, 0]
        types = functional.one_hot((4.5 - means * 5).long().clamp(0, 3), 4).movedim(-1, 1).float()
        return BlurReading(types, torch.full_like(means, 2), torch.full_like(means, 13), torch.full_like(means, 30))


class SharpnessReader:
    """In focus where neighbouring pixels differ much for the contrast around, over REACH px; else out of focus."""

    halo = 2 * CELL + 1

    def __call__(self, x: Float[Tensor, "b c h w"]) -> BlurReading:
        gray = x.mean(1, keepdim=True)
        padded = functional.pad(gray, (1, 1, 1, 1), mode="reflect")
        change = (padded[..., 2:, 1:-1] - gray) ** 2 + (padded[..., 1:-1, 2:] - gray) ** 2
        sums = {"count_include_pad": False, "kernel_size": 5, "stride": 1, "padding": 2}
        energy = functional.avg_pool2d(functional.avg_pool2d(change, CELL), **sums)
        first = functional.avg_pool2d(functional.avg_pool2d(gray, CELL), **sums)
        second = functional.avg_pool2d(functional.avg_pool2d(gray**2, CELL), **sums)
        sharp = (energy / (second - first**2 + 1e-6) / 0.1).clamp(0, 1)[:, 0]
        nothing = torch.zeros_like(sharp)
        return BlurReading(torch.stack([sharp, 1 - sharp, nothing, nothing], 1), 3 * (1 - sharp), nothing, nothing)


def coded(types: np.ndarray, *, samples: int = 1, top: float = 255.0, dtype: str = "uint8", seed: int = 0) -> Image:
    """An image whose squares are of these types for `LevelReader`, with enough noise to be tissue everywhere."""
    levels = np.kron(np.array(LEVELS)[types], np.ones((CELL, CELL)))
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.uniform(-0.08, 0.08, [n // 4 for n in levels.shape]), np.ones((4, 4)))
    values = (levels + blocks + rng.uniform(-0.005, 0.005, levels.shape)) * top
    values = np.rint(values) if np.dtype(dtype).kind in "ui" else values
    pixels = values.astype(dtype)
    return Image(
        pixels if samples == 1 else np.stack([pixels] * samples, -1), "YX" if samples == 1 else "YXS", (0, top)
    )


def types_in_blocks(rows: int, columns: int) -> np.ndarray:
    """Numbers of types in four blocks of squares, in focus at the upper left."""
    types = np.zeros((rows, columns), int)
    types[: rows // 2, columns // 2 :] = 1
    types[rows // 2 :, : columns // 2] = 2
    types[rows // 2 :, columns // 2 :] = 3
    return types
