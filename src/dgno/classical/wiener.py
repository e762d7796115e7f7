"""Wiener deconvolution with a known, uniform PSF, through scikit-image."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from skimage import restoration
from torch import Tensor

from dgno.checks import refuse_number
from dgno.classical.convolution import check_psf
from dgno.classical.planes import Gray, on_planes
from dgno.errors import ConfigError
from dgno.optics.psf import PSF


def wiener(blurred: Float[Tensor, "b c h w"], psf: PSF, *, balance: float = 5e-4) -> Float[Tensor, "b c h w"]:
    """Wiener deconvolution with a Laplacian as prior:  X = conj(H) Y / (|H|^2 + balance |L|^2).

    blurred : values around [0, 1]; restored ones may leave it
    psf : sampled at the pixel size of `blurred`
    balance : larger ones smooth more; 3e-4 to 5e-4 suits little noise
    Hunt 1973, doi:10.1109/TC.1973.5009169.
    """
    if problems := refuse_number("balance", balance, 0, above_lowest=True):
        raise ConfigError(problems[0])
    check_psf(psf)

    def restore(plane: Gray) -> Gray:
        return np.asarray(restoration.wiener(plane, psf, balance, clip=False), np.float64)

    return on_planes(restore, blurred, margin=len(psf))


def unsupervised_wiener(blurred: Float[Tensor, "b c h w"], psf: PSF, *, seed: int = 0) -> Float[Tensor, "b c h w"]:
    """Wiener-Hunt deconvolution that estimates its own balance (Orieux et al. 2010, doi:10.1364/JOSAA.27.001593).

    blurred : values around [0, 1]
    psf : sampled at the pixel size of `blurred`
    seed : of the Gibbs sampler that estimates the balance
    """
    check_psf(psf)

    def restore(plane: Gray) -> Gray:
        restored, _ = restoration.unsupervised_wiener(plane, psf, rng=seed, clip=False)
        return np.asarray(restored, np.float64)

    return on_planes(restore, blurred, margin=len(psf))
