"""A camera's noise that does not depend on how an image is cut into tiles: keyed by the pixel's place."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.special import ndtri, pdtrik
from torch import Tensor

from dgno.errors import ConfigError
from dgno.optics.noise import refuse_camera

BLOCK = 64  # px; each block of the whole image has random numbers of its own
MANY = 1e3  # photons from which on the quantile's series is exact to the count, but for 3 pixels in 10^5
Counts = Float64[np.ndarray, "*pixels"]
Numbers = Float64[np.ndarray, "h w"]


def tile_noise(
    x: Float[Tensor, "*batch h w"], origin: tuple[int, int], *, photons: float, read_noise: float, seed: int
) -> Float[Tensor, "*batch h w"]:
    """`poisson_gaussian` of a part of an image: equal pixels of overlapping parts get equal noise.

    x : intensities, 1 at full scale; negative values count as 0 photons. Each channel, the last axis before h and w,
        has numbers of its own; all images of a batch share them
    origin : (row, col) of the part's first pixel in the whole image
    photons, read_noise : see `dgno.optics.noise.poisson_gaussian`
    Counts are the quantiles of Poisson's distribution at a random share, so that one number a pixel is enough.
    """
    if min(origin) < 0:
        raise ConfigError(f"a tile that begins at {origin}", why="places in an image are not negative")
    refuse_camera(photons, read_noise)
    channels = x.shape[-3] if x.ndim > 2 else 1
    numbers = [_numbers(origin, (x.shape[-2], x.shape[-1]), (seed, channel)) for channel in range(channels)]
    shares, normal = np.stack(numbers, axis=1) if x.ndim > 2 else numbers[0]
    light = x.double().cpu().numpy()
    if not np.isinf(photons):
        light = _counts(light.clip(min=0) * photons, shares) / photons
    return torch.from_numpy(light + read_noise * normal).to(x.device, x.dtype)


def _counts(mean: Counts, shares: Float64[np.ndarray, ...]) -> Counts:
    """The quantiles of Poisson's distributions of these means."""
    spread, counts = np.broadcast_to(shares, mean.shape), np.empty_like(mean)
    is_many = mean >= MANY
    counts[is_many] = _quantiles_of_many(mean[is_many], spread[is_many])
    with np.errstate(invalid="ignore"):
        counts[~is_many] = pdtrik(spread[~is_many], mean[~is_many])  # inverse in the count; slow where that is large
        counts = np.ceil(counts).clip(min=0)
    result: Counts = np.where((mean == 0) | (shares <= np.exp(-mean)), 0.0, counts)
    return result


def _quantiles_of_many(mean: Counts, shares: Counts) -> Counts:
    """Cornish and Fisher's series to 1 / sqrt(mean), with the half count and the variance 1/12 of whole numbers."""
    z, deviation = ndtri(shares), np.sqrt(mean)
    quantiles: Counts = mean + z * deviation + (z**2 - 4) / 6 - (z**3 + 2 * z) / (72 * deviation)
    return quantiles


def _numbers(origin: tuple[int, int], shape: tuple[int, int], key: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """For every pixel of the part a uniform and a normal random number."""
    first = [place // BLOCK for place in origin]
    last = [(place + n - 1) // BLOCK for place, n in zip(origin, shape, strict=True)]
    rows = [
        np.concatenate([_block(key, row, col) for col in range(first[1], last[1] + 1)], axis=2)
        for row in range(first[0], last[0] + 1)
    ]
    top, left = (place - BLOCK * block for place, block in zip(origin, first, strict=True))
    uniform, normal = np.concatenate(rows, axis=1)[:, top : top + shape[0], left : left + shape[1]]
    return uniform, normal


def _block(key: tuple[int, int], row: int, col: int) -> Float64[np.ndarray, "2 b b"]:
    rng = np.random.default_rng([*key, row, col])
    return np.stack([rng.random((BLOCK, BLOCK)), rng.standard_normal((BLOCK, BLOCK))])
