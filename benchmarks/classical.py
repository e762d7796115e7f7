"""Seconds per megapixel of the classical methods, side by side, and of scikit-image's Richardson-Lucy.

    python benchmarks/classical.py [SIDE] [ROUNDS]

A photograph of SIDE x SIDE px (default 256), blurred by a Gaussian-like disk of sigma 2 px, 2000 photons, read noise
0.005; for the methods that vary, a map from 1 to 3 px, and a lens with half a wave of coma. One thread.
"""

from __future__ import annotations

import functools
import sys

import numpy as np
import torch
from side_by_side import seconds
from skimage import data, restoration, transform

from dgno.classical.blind import blind_richardson_lucy
from dgno.classical.blind_sigma import blind_disk
from dgno.classical.richardson_lucy import richardson_lucy
from dgno.classical.ring import ring_deconvolve
from dgno.classical.stopping import discrepancy
from dgno.classical.wiener import unsupervised_wiener, wiener
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.diffraction import Microscope
from dgno.optics.noise import poisson_gaussian
from dgno.optics.psf import gaussian_disk
from dgno.optics.ring_blur import RingBlur
from dgno.optics.seidel import Seidel, seidel


def main(side: int, rounds: int) -> None:
    torch.set_num_threads(1)
    sharp = torch.from_numpy(transform.resize(data.camera(), (side, side), anti_aliasing=True))[None, None].float()
    psf = gaussian_disk(2.0)
    levels = list(np.geomspace(1, 3, 11))
    varying = SpatiallyVaryingBlur(
        torch.linspace(1, 3, side).expand(side, side), functools.lru_cache(gaussian_disk), levels=levels
    )
    lens = functools.partial(seidel, Microscope(0.5, 0.55, 0.4), Seidel(coma=0.5))
    ring = RingBlur(lens, (side, side))
    uniform = SpatiallyVaryingBlur(torch.zeros(side, side), lambda _: psf)
    y, of_map, of_lens = (_noisy(blur.apply(sharp)) for blur in (uniform, varying, ring))
    stopped = functools.partial(richardson_lucy, num_iter=100, accelerated=True, stop=discrepancy())
    plane = y[0, 0].clamp(min=0).numpy()
    methods = {
        "wiener": lambda: wiener(y, psf),
        "unsupervised wiener": lambda: unsupervised_wiener(y, psf),
        "richardson-lucy, 30 steps": lambda: richardson_lucy(y, psf),
        "  of scikit-image": lambda: restoration.richardson_lucy(plane, psf.astype(np.float32), num_iter=30),
        "  with total variation": lambda: richardson_lucy(y, psf, tv=0.002),
        "richardson-lucy, stopped": lambda: stopped(y, psf),
        "  varying, 11 levels": lambda: stopped(of_map, varying),
        f"  ring, {ring.count} images": lambda: stopped(of_lens, ring),
        "ring_deconvolve, 150 steps": lambda: ring_deconvolve(of_lens, ring),
        "blind": lambda: blind_disk(y),
        "blind, PSF too": lambda: blind_richardson_lucy(y),
    }
    print(f"{side} x {side} px, s/Mpx, median of {rounds} rounds")
    for name, value in seconds(methods, rounds=rounds).items():
        print(f"{name:<28}{value * 1e6 / side**2:9.2f}")


def _noisy(blurred: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return poisson_gaussian(blurred[0], photons=2000, read_noise=0.005, generator=generator)[None]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 256, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
