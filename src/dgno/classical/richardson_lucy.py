"""Richardson-Lucy deconvolution with a known, uniform PSF, through scikit-image."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from skimage import restoration
from torch import Tensor

from dgno.classical.planes import Gray, on_planes
from dgno.optics.psf import PSF


def richardson_lucy(blurred: Float[Tensor, "b c h w"], psf: PSF, *, num_iter: int = 30) -> Float[Tensor, "b c h w"]:
    """Restore an image blurred by a known PSF under photon noise:  x <- x * A^T(y / A x),  A = blur by `psf`.

    blurred : values around [0, 1]; negative ones count as 0
    psf : sampled at the pixel size of `blurred`
    num_iter : more sharpen more, and raise the noise
    Richardson 1972, doi:10.1364/JOSA.62.000055; Lucy 1974, doi:10.1086/111605.
    """

    def restore(plane: Gray) -> Gray:
        restored = restoration.richardson_lucy(plane.clip(0), psf, num_iter=num_iter, clip=False, filter_epsilon=1e-6)
        return np.asarray(restored, np.float64)

    return on_planes(restore, blurred, margin=len(psf))
