"""Wiener deconvolution with a known, uniform PSF, through scikit-image."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from skimage import restoration
from skimage.restoration import uft
from torch import Tensor

from dgno.checks import refuse_number
from dgno.classical.convolution import check_psf
from dgno.classical.noise_level import estimate_noise
from dgno.classical.planes import Gray, on_planes
from dgno.classical.spectrum import faded_spectrum
from dgno.errors import ConfigError
from dgno.optics.psf import PSF

BALANCES = tuple(float(b) for b in np.geomspace(1e-3, 100, 26))  # with less, the unknown border rings


def wiener(blurred: Float[Tensor, "b c h w"], psf: PSF, *, balance: float | None = None) -> Float[Tensor, "b c h w"]:
    """Wiener deconvolution with a Laplacian as prior:  X = conj(H) Y / (|H|^2 + balance |L|^2).

    blurred : values around [0, 1]; restored ones may leave it
    psf : sampled at the pixel size of `blurred`
    balance : larger ones smooth more; 5e-4 where there is almost no noise. By default chosen for every plane, from its
        estimated noise, see `balance_of_noise`
    Hunt 1973, doi:10.1109/TC.1973.5009169.
    """
    if balance is not None and (problems := refuse_number("balance", balance, 0, above_lowest=True)):
        raise ConfigError(problems[0])
    check_psf(psf)

    def restore(plane: Gray) -> Gray:
        chosen = balance_of_noise(plane, psf) if balance is None else balance
        return np.asarray(restoration.wiener(plane, psf, chosen, clip=False), np.float64)

    return on_planes(restore, blurred, margin=len(psf))


def balance_of_noise(plane: Gray, psf: PSF) -> float:
    """The balance under which the image's spectrum is most likely, if images have spectra c / |L|^2 and noise is white:

        E |Y|^2 = variance (1 + |H|^2 / (balance |L|^2))

    among `BALANCES`; the variance is that of `estimate_noise`. (Whittle's likelihood; the prior of Wiener's formula.)
    """
    variance = float(estimate_noise(torch.from_numpy(plane)).variance(torch.from_numpy(plane).clamp(min=0)).mean())
    passed = np.abs(uft.ir2tf(psf, plane.shape)) ** 2
    flat = np.abs(uft.laplacian(2, plane.shape)[0]) ** 2
    spectrum = faded_spectrum(plane)
    seen = flat > 1e-12 * flat.max()  # not the mean, of which the prior says nothing
    power, weight, ratio = spectrum.power[seen], spectrum.weight[seen], passed[seen] / flat[seen]

    def unlikeliness(balance: float) -> float:
        expected = variance * (1 + ratio / balance)
        return float((weight * (power / expected + np.log(expected))).sum())

    return min(BALANCES, key=unlikeliness)


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
