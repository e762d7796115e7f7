"""Blur as a linear operator: `apply` and `adjoint`, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from dgno.optics.psf import PSF

Images = Float[Tensor, "*batch h w"]
PADDING = {"reflect": "reflect", "replicate": "replicate", "zero": "constant", "circular": "circular"}


class SpatiallyVaryingBlur:
    """Blur whose strength varies from pixel to pixel (DGNO paper, Eq. 1, read at the target pixel).

        g(q) = sum_k w_k(q) (psf_k * h)(q)

    Between two strengths of a list of levels the two neighbouring PSFs are mixed, weights linear in the strength.
    A constant field needs one level and is a plain convolution.

    field : (h, w) strength at each pixel, in the unit that `family` takes; its dtype is that of the weights
    family : strength -> PSF
    boundary : "reflect" (half-sample symmetric), "replicate", "zero" or "circular"
    levels : strengths at which PSFs are computed; by default log-spaced, ten for every factor e, at least four
    """

    def __init__(
        self,
        field: Float[Tensor, "h w"],
        family: Callable[[float], PSF],
        *,
        boundary: str = "reflect",
        levels: Sequence[float] | None = None,
    ) -> None:
        strengths = blur_levels(float(field.min()), float(field.max())) if levels is None else list(levels)
        self.boundary = boundary
        self.weights = _interpolation_weights(field, torch.tensor(strengths, dtype=torch.float64))
        psfs = [family(strength) for strength in strengths]
        self.radius = max(len(psf) for psf in psfs) // 2
        self.psfs = torch.from_numpy(np.stack([_embed(psf, self.radius) for psf in psfs]))  # (levels, k, k)

    def apply(self, h: Images) -> Images:
        """The blurred image."""
        r = self.radius
        padded = _pad(h, r, self.boundary)
        shape = tuple(padded.shape[-2:])
        spectrum = torch.fft.rfft2(padded)
        g = torch.zeros_like(h)
        for weight, psf in zip(self.weights, self.psfs, strict=True):
            otf = torch.fft.rfft2(psf.to(h.dtype), s=shape)  # the PSF lies at the origin's lower right
            blurred = torch.fft.irfft2(spectrum * otf, s=shape)[..., 2 * r :, 2 * r :]
            g = g + weight.to(h.dtype) * blurred
        return g

    def mean_psf(self) -> Float[Tensor, "k k"]:
        """The average PSF over all pixels."""
        return torch.einsum("l,lij->ij", self.weights.mean((-2, -1), dtype=torch.float64), self.psfs)

    def adjoint(self, g: Images) -> Images:
        """The transpose of `apply`: <apply(h), g> = <h, adjoint(g)>."""
        transpose = torch.func.vjp(self.apply, torch.zeros_like(g))[1]
        return transpose(g)[0]


def blur_levels(lowest: float, highest: float, per_e: int = 10) -> list[float]:
    """Strengths between which PSFs may be interpolated: one if the field is constant, else log-spaced.

    Linear interpolation between log-spaced levels errs least for their number; below 0.3 px one linear segment reaches
    to the identity at 0.
    """
    if highest <= 0 or highest - lowest < 1e-6 * highest:
        return [max(highest, 0.0)]
    start = max(lowest, 0.3)
    if highest <= start:
        return [lowest, highest]
    count = max(4, math.ceil(per_e * math.log(highest / start)))
    levels = [float(level) for level in np.geomspace(start, highest, count)]
    return levels if lowest >= start else [lowest, *levels]


def _interpolation_weights(field: Tensor, levels: Tensor) -> Float[Tensor, "levels h w"]:
    """Hat functions: at every pixel the two levels around its strength share the weight 1. In the field's dtype."""
    weights = torch.zeros(len(levels), *field.shape, dtype=field.dtype)
    if len(levels) == 1:
        return weights + 1
    exact = field.double().clamp(levels[0], levels[-1])
    upper = torch.searchsorted(levels, exact).clamp(1, len(levels) - 1)
    share = (exact - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
    weights.scatter_(0, upper[None], share[None].to(field.dtype))
    return weights.scatter_(0, upper[None] - 1, (1 - share)[None].to(field.dtype))


def _embed(psf: PSF, radius: int) -> Float64[np.ndarray, "side side"]:
    return np.pad(psf, radius - len(psf) // 2)


def _pad(h: Images, r: int, boundary: str) -> Float[Tensor, "*batch h2 w2"]:
    """Extend by r pixels on every side, in steps where the image is smaller than that."""
    if boundary == "reflect":
        return _reflect(_reflect(h, r, -1), r, -2)
    flat = h.reshape(-1, 1, *h.shape[-2:])
    return F.pad(flat, (r, r, r, r), mode=PADDING[boundary]).reshape(*h.shape[:-2], h.shape[-2] + 2 * r, -1)


def _reflect(h: Images, r: int, axis: int) -> Float[Tensor, "*batch h2 w2"]:
    """Half-sample symmetric extension (d c b a | a b c d | d c b a) along one axis."""
    n = h.shape[axis]
    index = torch.arange(-r, n + r) % (2 * n)
    return h.index_select(axis, torch.where(index < n, index, 2 * n - 1 - index).to(h.device))
