"""Scenes to blur, and a blur that asks nobody what lies beyond the border."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d


def boxes(shape: tuple[int, int] = (90, 101), count: int = 25, seed: int = 0) -> torch.Tensor:
    """(1, 1, h, w): boxes of 3 to 20 px on black, their edges half a pixel soft."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape)
    for _ in range(count):
        y, x = rng.integers(0, shape[0] - 4), rng.integers(0, shape[1] - 4)
        image[y : y + rng.integers(3, 20), x : x + rng.integers(3, 20)] = rng.uniform(0.2, 1)
    return torch.from_numpy(gaussian_filter(image, 0.5))[None, None].float()


def seen_through(psf: np.ndarray, scene: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blurred image and truth, both cut to where the whole PSF lies inside the scene."""
    r = len(psf) // 2
    planes = [convolve2d(plane, psf, mode="valid") for plane in scene.flatten(0, 1).double().numpy()]
    height, width = scene.shape[-2:]
    blurred = torch.from_numpy(np.stack(planes)).to(scene.dtype)
    return blurred.reshape(*scene.shape[:2], *blurred.shape[-2:]), scene[..., r : height - r, r : width - r]


def noisy(image: torch.Tensor, *, photons: float = 2000, read_noise: float = 0.005, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    x = image.double().numpy().clip(0)
    values = rng.poisson(x * photons) / photons + rng.normal(0, read_noise, x.shape)
    return torch.from_numpy(values).to(image.dtype)
