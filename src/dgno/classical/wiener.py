"""Wiener deconvolution with a known, uniform PSF, through scikit-image."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from skimage import restoration
from torch import Tensor

from dgno.classical.planes import Gray, on_planes
from dgno.optics.psf import PSF


def unsupervised_wiener(blurred: Float[Tensor, "b c h w"], psf: PSF, *, seed: int = 0) -> Float[Tensor, "b c h w"]:
    """Wiener-Hunt deconvolution that estimates its own balance (Orieux et al. 2010, doi:10.1364/JOSAA.27.001593).

    blurred : values around [0, 1]
    psf : sampled at the pixel size of `blurred`
    seed : of the Gibbs sampler that estimates the balance
    """

    def restore(plane: Gray) -> Gray:
        restored, _ = restoration.unsupervised_wiener(plane, psf, rng=seed, clip=False)
        return np.asarray(restored, np.float64)

    return on_planes(restore, blurred, margin=len(psf))
