"""Blind deconvolution: image and PSF from the image alone, by alternating Richardson-Lucy steps."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

from dgno.checks import refuse_count
from dgno.classical.convolution import Convolution
from dgno.classical.planes import check_finite_values
from dgno.classical.richardson_lucy import DARKEST, FAINTEST, Iteration
from dgno.errors import ConfigError
from dgno.optics.psf import PSF, gaussian

Plane = Float[Tensor, "h w"]
Object = Float[Tensor, "h2 w2"]


def blind_richardson_lucy(
    blurred: Float[Tensor, "b c h w"], *, radius: int = 8, num_iter: int = 5, inner: int = 10
) -> tuple[Float[Tensor, "b c h w"], list[PSF]]:
    """Restored images, and the PSF that was found for each of their planes.

    blurred : values around [0, 1]; negative ones count as 0
    radius : of the PSF in px; it begins as a Gaussian of a third of it
    num_iter : rounds, each of `inner` steps for the PSF and as many for the image. Few: in the end the method explains
        all blur by the image, or all detail by the PSF
    Fish et al. 1995, doi:10.1364/JOSAA.12.000058. Raises ConfigError, NonFiniteInput.
    """
    counts = (("radius", radius, 1), ("num_iter", num_iter, 0), ("inner", inner, 1))
    if problems := [problem for count in counts for problem in refuse_count(*count)]:
        raise ConfigError("blind deconvolution cannot run like this", why="; ".join(problems))
    check_finite_values(blurred)
    found = [_plane(plane.clamp(min=0), radius, num_iter, inner) for plane in blurred.flatten(0, 1)]
    return torch.stack([image for image, _ in found]).reshape(blurred.shape), [psf for _, psf in found]


def _plane(measured: Plane, radius: int, num_iter: int, inner: int) -> tuple[Plane, PSF]:
    k = np.pad(gaussian(radius / 3), radius)
    middle = len(k) // 2
    k = k[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
    psf: PSF = k / k.sum()
    x = F.pad(measured[None, None], (radius,) * 4, mode="replicate")[0, 0]
    for _ in range(num_iter):
        for _ in range(inner):
            psf = psf_step(psf, x, measured)
        iteration = Iteration(measured, Convolution(psf))
        for _ in range(inner):
            x = iteration.step(x, iteration.blur.apply(x))
    height, width = measured.shape
    return x[radius : radius + height, radius : radius + width], psf


def psf_step(psf: PSF, x: Object, measured: Plane) -> PSF:
    """k <- k / c * X^T(y / X k), with X k the image of the object x by k, and c = X^T 1; sum 1."""
    ratio = measured / Convolution(psf).apply(x).clamp(min=max(DARKEST * float(measured.max()), FAINTEST))
    change = _correlated(x, ratio, len(psf)) / _correlated(x, torch.ones_like(ratio), len(psf)).clamp(min=FAINTEST)
    new: PSF = psf * change.clamp(min=0).double().numpy()
    return new / new.sum() if new.sum() > 0 else psf


def _correlated(x: Object, ratio: Plane, side: int) -> Float[Tensor, "k k"]:
    """sum_q x(q - d) ratio(q) for every place d of the PSF: the transpose of the blur in its PSF."""
    shape = (next_fast_len(x.shape[-2], real=True), next_fast_len(x.shape[-1], real=True))
    placed = F.pad(ratio, (side - 1, 0, side - 1, 0))
    spectrum = torch.fft.rfft2(placed, s=shape) * torch.fft.rfft2(x, s=shape).conj()
    return torch.fft.irfft2(spectrum, s=shape)[:side, :side]
