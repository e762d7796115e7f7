"""Blind deconvolution with a PSF of one unknown, its width, which the image's spectrum tells."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.classical.noise_level import estimate_noise
from dgno.classical.planes import check_finite_values
from dgno.classical.richardson_lucy import richardson_lucy
from dgno.classical.spectrum import faded_spectrum
from dgno.classical.stopping import StopRule, discrepancy
from dgno.errors import ConfigError
from dgno.optics.psf import PSF, gaussian_disk

Plane = Float[Tensor, "h w"]
SIGMAS = tuple(float(sigma) for sigma in np.geomspace(0.3, 8, 84))  # px; 4 % apart, so that zeros of disks are met
PRIORS = np.geomspace(1e-9, 10, 11)  # weights of the prior that are tried; the best counts
TINY = 1e-300
LARGEST = 512  # px a side: more tells little more


def blind_disk(
    blurred: Float[Tensor, "b c h w"],
    *,
    sigmas: Sequence[float] = SIGMAS,
    num_iter: int = 50,
    stop: StopRule | None = None,
) -> Float[Tensor, "b c h w"]:
    """Richardson-Lucy with the Gaussian-like disk whose width fits the image best; one width for all channels.

    blurred : values around [0, 1]
    sigmas : standard deviations to choose from, px
    num_iter, stop : see `richardson_lucy`, which runs accelerated; by default until it fits within the noise
    """
    check_finite_values(blurred)
    rule = discrepancy() if stop is None else stop

    def restored(image: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        psf = _disk(estimate_sigma(image[0].mean(0), sigmas=sigmas))
        return richardson_lucy(image, psf, num_iter=num_iter, accelerated=True, stop=rule)

    return torch.cat([restored(image) for image in blurred.split(1)])


@functools.lru_cache(maxsize=2 * len(SIGMAS))
def _disk(sigma: float) -> PSF:
    return gaussian_disk(sigma)


def estimate_sigma(
    blurred: Plane, *, sigmas: Sequence[float] = SIGMAS, family: Callable[[float], PSF] = _disk
) -> float:
    """The width whose Wiener filter W best restores the blurred image without its noise, as far as can be told from the
    noisy image y alone: the smallest

        SURE = |H W y - y|^2 / n + 2 variance tr(H W) / n,    H W = |H|^2 / (|H|^2 + prior |nu|^2),

    over sigma and prior (blur-SURE: Xue and Blu 2015, doi:10.1109/TIP.2014.2380174, for images whose spectrum falls as
    1 / |nu|^2). The variance is that of `estimate_noise`, the image is faded out towards its border.

    blurred : a plane with values around [0, 1], of which at most the middle 512 x 512 px are looked at; below 16 px a
        side nothing can be told, and the answer is the smallest
    sigmas : to choose from, px
    family : sigma -> PSF
    """
    if not sigmas:
        raise ConfigError("no width to choose from", why="sigmas is empty")
    if min(blurred.shape) < 16:
        return min(sigmas)
    blurred = _middle(blurred)
    variance = float(estimate_noise(blurred).variance(blurred.clamp(min=0)).mean())
    power, weight, square = faded_spectrum(blurred.double().numpy())
    usable = [s for s in sigmas if len(family(s)) <= min(blurred.shape)] or [min(sigmas)]

    def risk(sigma: float) -> float:
        passed = np.abs(np.fft.rfft2(family(sigma), s=tuple(blurred.shape))) ** 2
        filters = (passed / (passed + prior * square + TINY) for prior in PRIORS)
        return min(float((weight * ((1 - f) ** 2 * power + 2 * variance * f)).sum()) for f in filters)

    return min(usable, key=risk)


def _middle(plane: Plane) -> Float[Tensor, "h2 w2"]:
    top, left = (max(0, (n - LARGEST) // 2) for n in plane.shape)
    return plane[top : top + LARGEST, left : left + LARGEST]
