"""Real images of scikit-image and a blurred version of each, made of whole numbers: the same on every machine."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from skimage import data

SIDE = (187, 203)  # odd, and large enough for every measure
SCENES = {
    "camera": (data.camera, (120, 150)),
    "coins": (data.coins, (60, 90)),
    "cell": (data.cell, (200, 200)),
    "astronaut": (data.astronaut, (20, 130)),
    "ihc": (data.immunohistochemistry, (150, 100)),
}
COLOURED = ("astronaut", "ihc")


def real_pair(name: str, dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """Blurred and sharp, (h, w) or (h, w, 3); uint16 stretches the values to 0 ... 65535, float32 to [0, 1]."""
    load, (top, left) = SCENES[name]
    sharp = load()[top : top + SIDE[0], left : left + SIDE[1]].astype(np.int64)
    noise = np.random.default_rng(7).integers(-9, 10, sharp.shape)
    blurred = (uniform_filter(sharp, (5, 5, 1)[: sharp.ndim]) + noise).clip(0, 255)
    full = {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    values = (blurred, sharp) if full == 255 else (x * (full / 255) for x in (blurred, sharp))
    blurred, sharp = (x.astype(dtype) for x in values)
    return blurred, sharp


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    """(h, w) or (h, w, c) -> (c, h, w), float64, values unchanged."""
    return torch.from_numpy(np.atleast_3d(pixels).transpose(2, 0, 1).astype(np.float64))
