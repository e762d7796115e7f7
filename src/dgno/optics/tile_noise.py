"""A camera's noise that does not depend on how an image is cut into tiles: keyed by the pixel's place."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.special import pdtrik
from torch import Tensor

from dgno.errors import ConfigError

BLOCK = 64  # px; each block of the whole image has random numbers of its own
Numbers = Float64[np.ndarray, "h w"]


def tile_noise(
    x: Float[Tensor, "*batch h w"], origin: tuple[int, int], *, photons: float, read_noise: float, seed: int
) -> Float[Tensor, "*batch h w"]:
    """`poisson_gaussian` of a part of an image: equal pixels of overlapping parts get equal noise.

    x : intensities, 1 at full scale; negative values count as 0 photons. All channels of a pixel share its numbers
    origin : (row, col) of the part's first pixel in the whole image
    photons, read_noise : see `dgno.optics.noise.poisson_gaussian`
    Counts are the quantiles of Poisson's distribution at a random share, so that one number a pixel is enough.
    """
    if min(origin) < 0:
        raise ConfigError(f"a tile that begins at {origin}", why="places in an image are not negative")
    shares, normal = _numbers(origin, (x.shape[-2], x.shape[-1]), seed)
    mean = (x.double().clamp_min(0) * photons).cpu().numpy()
    with np.errstate(invalid="ignore"):
        counts = np.ceil(pdtrik(np.broadcast_to(shares, mean.shape), mean)).clip(min=0)  # inverse in the count
    counts = np.where((mean == 0) | (shares <= np.exp(-mean)), 0.0, counts)
    return (torch.from_numpy(counts / photons + read_noise * normal)).to(x.device, x.dtype)


def _numbers(origin: tuple[int, int], shape: tuple[int, int], seed: int) -> tuple[Numbers, Numbers]:
    """For every pixel of the part a uniform and a normal random number."""
    first = [place // BLOCK for place in origin]
    last = [(place + n - 1) // BLOCK for place, n in zip(origin, shape, strict=True)]
    rows = [
        np.concatenate([_block(seed, row, col) for col in range(first[1], last[1] + 1)], axis=2)
        for row in range(first[0], last[0] + 1)
    ]
    top, left = (place - BLOCK * block for place, block in zip(origin, first, strict=True))
    uniform, normal = np.concatenate(rows, axis=1)[:, top : top + shape[0], left : left + shape[1]]
    return uniform, normal


def _block(seed: int, row: int, col: int) -> Float64[np.ndarray, "2 b b"]:
    rng = np.random.default_rng([seed, row, col])
    return np.stack([rng.random((BLOCK, BLOCK)), rng.standard_normal((BLOCK, BLOCK))])
