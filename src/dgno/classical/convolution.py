"""Blur by one PSF of an object that goes on, unseen, beyond the border of its image."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Complex, Float
from scipy.fft import next_fast_len
from torch import Tensor

from dgno.errors import ConfigError
from dgno.optics.psf import PSF

Object = Float[Tensor, "*batch h w"]
Seen = Float[Tensor, "*batch h2 w2"]


@runtime_checkable
class LinearBlur(Protocol):
    """What the classical methods need of a blur; the object may reach beyond the image, by as much on every side."""

    def apply(self, h: Object) -> Seen:
        """The blurred image of an object."""

    def adjoint(self, g: Seen) -> Object:
        """The transpose of `apply`."""


class Convolution:
    """g(q) = sum_p psf(q - p) h(p), for q where every p with light in q is part of the object.

    (.., h + 2 r, w + 2 r) -> (.., h, w), with r the radius of the PSF: nothing is assumed about what lies beyond the
    border of the image, so nothing there rings (Bertero and Boccacci 2005, doi:10.1051/0004-6361:20052717).

    psf : odd side, sum 1, sampled at the pixel size of the images
    """

    def __init__(self, psf: PSF) -> None:
        check_psf(psf)
        self.psf, self.radius = torch.from_numpy(np.ascontiguousarray(psf)), len(psf) // 2

    def apply(self, h: Object) -> Seen:
        """The part of the circular convolution that nothing wraps into."""
        otf, shape = self._otf(h)
        r, (height, width) = self.radius, h.shape[-2:]
        return torch.fft.irfft2(torch.fft.rfft2(h, s=shape) * otf, s=shape)[..., 2 * r : height, 2 * r : width]

    def adjoint(self, g: Seen) -> Object:
        """The correlation with the PSF."""
        r = self.radius
        padded = torch.nn.functional.pad(g, (2 * r, 0, 2 * r, 0))
        otf, shape = self._otf(padded)
        whole = torch.fft.irfft2(torch.fft.rfft2(padded, s=shape) * otf.conj(), s=shape)
        return whole[..., : padded.shape[-2], : padded.shape[-1]]

    def _otf(self, h: Object) -> tuple[Complex[Tensor, "s1 s2"], tuple[int, int]]:
        """Spectrum of the PSF, which begins at the origin, on a grid that is quick to transform."""
        shape = (next_fast_len(h.shape[-2], real=True), next_fast_len(h.shape[-1], real=True))
        return torch.fft.rfft2(self.psf.to(h), s=shape), shape


def as_blur(blur: PSF | LinearBlur) -> LinearBlur:
    """A blur of a PSF; a blur as it is."""
    return Convolution(blur) if isinstance(blur, np.ndarray) else blur


def check_psf(psf: np.ndarray) -> None:
    """Refuse (ConfigError) what is no PSF: an even side, NaN, negative values, a sum that is not 1."""
    came = ""
    if psf.ndim != 2 or psf.shape[0] != psf.shape[1] or len(psf) % 2 == 0:
        came = f"its shape is {psf.shape}, wanted a square of odd side"
    elif not np.isfinite(psf).all() or psf.min() < 0:
        came = "it has values that are negative, NaN or infinite"
    elif abs(psf.sum() - 1) > 1e-6:
        came = f"its sum is {psf.sum():.6g}, wanted 1"
    if came:
        raise ConfigError("this is no PSF", why=came, hint="crop it around its middle, and divide it by its sum")
