"""Blur as a linear operator: `apply` and `adjoint`, and nothing else."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from dgno.checks import refuse_choice
from dgno.errors import ConfigError
from dgno.optics.psf import PSF

Images = Float[Tensor, "*batch h w"]
Padded = Float[Tensor, "*batch h2 w2"]
Inside = Float[Tensor, "*batch h3 w3"]  # of the size of the image, or smaller
AnyPSF = Float64[np.ndarray, "_ _"]  # sides may differ within a list
READINGS = ("gather", "scatter")


class SpatiallyVaryingBlur:
    """Blur whose strength varies from pixel to pixel (DGNO paper, Eq. 1), in one of its two readings.

        gather    g(q) = sum_k w_k(q) (psf_k * h)(q)      the strength is that of the target pixel
        scatter   g(q) = sum_k (psf_k * (w_k h))(q)       the strength is that of the source, which h lights

    Between two strengths of a list of levels the two neighbouring PSFs are mixed, weights linear in the strength.
    A constant field needs one level and is a plain convolution, in both readings the same. Elsewhere they differ, most
    at steps of the field: gather keeps a flat image flat, scatter keeps the light of every point. For PSFs that are
    their own mirror images each is the other's adjoint, under every boundary but "replicate".

    field : (h, w) strength at each pixel, in the unit that `family` takes; its dtype, float32 or float64, is that of
        the weights. Gradients by it are the slopes between levels
    family : strength -> PSF
    reading : "gather", for the paper's "blur strength at each pixel" and for bright field, or "scatter", Eq. 1 to the
        letter, for specimens that glow
    boundary : "reflect" (half-sample symmetric), "replicate", "zero" or "circular". Beyond the border, scatter meets
        the continued image with the continued strengths. "valid" keeps only what no border touches: the result is
        smaller by the radius of the largest PSF on every side, the field still as large as the image
    levels : strengths at which PSFs are computed; by default log-spaced, see `blur_levels`
    """

    def __init__(
        self,
        field: Float[Tensor, "h w"],
        family: Callable[[float], PSF],
        *,
        reading: str = "gather",
        boundary: str = "reflect",
        levels: Sequence[float] | None = None,
    ) -> None:
        _refuse_dtype("a field", field)
        lowest, highest = map(float, field.detach().aminmax())
        strengths = blur_levels(lowest, highest) if levels is None else list(levels)
        if levels is None and field.requires_grad and len(strengths) == 1:  # a level on each side, for the slope
            strengths = [highest / 1.02, highest, highest * 1.02] if highest > 0 else [0.0, 0.3]
        _refuse_strengths(strengths, lowest, highest)
        weights = hat_weights(field, torch.tensor(strengths, dtype=torch.float64))
        self._mix(weights, [family(strength) for strength in strengths], reading, boundary)

    @classmethod
    def of_psfs(
        cls,
        weights: Float[Tensor, "n h w"],
        psfs: Sequence[AnyPSF],
        *,
        reading: str = "gather",
        boundary: str = "reflect",
    ) -> SpatiallyVaryingBlur:
        """The blur that mixes n given PSFs, for families with more than a strength, such as aberrations.

        weights : share of each PSF at each pixel, sum 1 at each
        psfs : of odd sides, not necessarily equal ones
        """
        blur = cls.__new__(cls)
        blur._mix(weights, psfs, reading, boundary)
        return blur

    def _mix(self, weights: Tensor, psfs: Sequence[AnyPSF], reading: str, boundary: str) -> None:
        _refuse_dtype("weights", weights)
        problems = refuse_choice("reading", reading, READINGS) + refuse_choice("boundary", boundary, BOUNDARIES)
        if len(weights) != len(psfs):
            problems.append(f"{len(weights)} weights for {len(psfs)} PSFs")
        if problems:
            raise ConfigError("no blur can be made of this", why="; ".join(problems))
        self.reading, self.boundary, self.weights = reading, boundary, weights
        self.radius = max(len(psf) for psf in psfs) // 2
        self.psfs = torch.from_numpy(np.stack([_embed(psf, self.radius) for psf in psfs]))  # (levels, k, k)

    def apply(self, h: Images) -> Inside:
        """The blurred image.

        Raises ConfigError for an image of another size than the field, smaller than a "valid" blur's PSF, or neither
        float32 nor float64.
        """
        _refuse_dtype("an image", h)
        if h.shape[-2:] != self.weights.shape[-2:]:
            sizes = f"{h.shape[-1]} x {h.shape[-2]} px, the field {self.weights.shape[-1]} x {self.weights.shape[-2]}"
            raise ConfigError("the image is not of the field's size", why=f"it has {sizes}")
        if min(h.shape[-2:]) <= 2 * self.margin:
            why = f"of {h.shape[-1]} x {h.shape[-2]} px nothing is left by a PSF of {2 * self.radius + 1} px"
            raise ConfigError("the image is too small for this blur", why=why, hint="let a boundary continue it")
        return self._gather(h) if self.reading == "gather" else self._scatter(h)

    @property
    def margin(self) -> int:
        """Pixels by which the result is smaller than the image, on every side."""
        return self.radius if self.boundary == "valid" else 0

    def _gather(self, h: Images) -> Inside:
        padded = _pad(h, self.radius, self.boundary)
        spectrum = torch.fft.rfft2(padded)
        rows, columns = (slice(self.margin, n - self.margin) for n in h.shape[-2:])
        g = torch.zeros_like(h[..., rows, columns])
        for weight, psf in zip(self.weights[:, rows, columns], self.psfs, strict=True):
            g = g + weight.to(h.dtype) * self._convolved(spectrum, psf, padded)
        return g

    def _scatter(self, h: Images) -> Inside:
        rows, columns = (slice(self.margin, n - self.margin) for n in h.shape[-2:])
        g = torch.zeros_like(h[..., rows, columns])
        for weight, psf in zip(self.weights, self.psfs, strict=True):
            padded = _pad(weight.to(h.dtype) * h, self.radius, self.boundary)
            g = g + self._convolved(torch.fft.rfft2(padded), psf, padded)
        return g

    def _convolved(self, spectrum: Tensor, psf: Float64[Tensor, "k k"], padded: Padded) -> Inside:
        """psf * image, from the spectrum of the padded image, where the whole PSF lies inside that."""
        shape = tuple(padded.shape[-2:])
        otf = torch.fft.rfft2(psf.to(padded.dtype), s=shape)  # the PSF lies at the origin's lower right
        return torch.fft.irfft2(spectrum * otf, s=shape)[..., 2 * self.radius :, 2 * self.radius :]

    def mean_psf(self) -> Float[Tensor, "k k"]:
        """The average PSF over all pixels."""
        return torch.einsum("l,lij->ij", self.weights.mean((-2, -1), dtype=torch.float64), self.psfs)

    def adjoint(self, g: Inside) -> Images:
        """The transpose of `apply`: <apply(h), g> = <h, adjoint(g)>."""
        _refuse_dtype("an image", g)
        image = g.new_zeros(*g.shape[:-2], *(n + 2 * self.margin for n in g.shape[-2:]))
        transpose = torch.func.vjp(self.apply, image)[1]
        return transpose(g)[0]


def blur_levels(lowest: float, highest: float, per_e: int = 10) -> list[float]:
    """Strengths between which PSFs may be interpolated: one if the field is constant, else log-spaced.

    Linear interpolation between log-spaced levels errs least for their number; below 0.3 px one linear segment reaches
    to the identity at 0. Between levels of ratio rho, a Gaussian blur of an image in [0, 1] is met within

        |error| <= 0.264 (rho - 1)^2

    at every pixel, gather: 0.003 for ten levels per factor e, and about 1/1024 in images of squares and lines, if all
    levels are sampled alike, see `gaussian`. (The error of linear interpolation is at most step^2 / 8 times the second
    derivative by sigma; the positive part of that of the PSF integrates to 2.109 / sigma^2.)
    """
    if not 0 <= lowest <= highest < math.inf:
        hint = "give levels of its own for a strength that may be negative, such as a defocus"
        raise ConfigError(f"strengths from {lowest} to {highest}", why="wanted finite ones, not negative", hint=hint)
    if highest <= 0 or highest - lowest < 1e-6 * highest:
        return [max(highest, 0.0)]
    start = max(lowest, 0.3)
    if highest <= start:
        return [lowest, highest]
    count = max(4, math.ceil(per_e * math.log(highest / start)))
    levels = [float(level) for level in np.geomspace(start, highest, count)]
    return levels if lowest >= start else [lowest, *levels]


def _refuse_dtype(name: str, tensor: Tensor) -> None:
    """Shares of 1 between PSFs are nothing in integers, and spectra are none in half precision."""
    if tensor.dtype not in (torch.float32, torch.float64):
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise ConfigError(f"{name} of {dtype}", why="wanted float32 or float64", hint="give it as .float()")


def _refuse_strengths(levels: Sequence[float], lowest: float, highest: float) -> None:
    if not math.isfinite(lowest) or not math.isfinite(highest):
        raise ConfigError("the field holds NaN or infinite strengths")
    if not levels or any(not low < high for low, high in itertools.pairwise(levels)):
        raise ConfigError(f"levels {list(levels)}", why="wanted at least one, each larger than the one before")
    slack = 1e-6 * max(abs(lowest), abs(highest))  # float32
    if not levels[0] - slack <= lowest <= highest <= levels[-1] + slack:
        why = f"the field reaches from {lowest} to {highest}, the levels from {levels[0]} to {levels[-1]}"
        raise ConfigError("no levels for all of the field", why=why, hint="give levels that enclose it, or none")


def hat_weights(field: Tensor, levels: Tensor) -> Float[Tensor, "levels h w"]:
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


def _pad(h: Images, r: int, boundary: str) -> Padded:
    """Extend by r pixels on every side, also where the image is smaller than that."""
    if boundary == "valid":
        return h
    if boundary == "zero":
        return F.pad(h, (r, r, r, r))
    for axis in (-1, -2):
        n = h.shape[axis]
        index = BOUNDARIES[boundary](torch.arange(-r, n + r), n)
        h = h.index_select(axis, index.to(h.device))
    return h


def _mirrored(index: Tensor, n: int) -> Tensor:
    """Half-sample symmetric: d c b a | a b c d | d c b a."""
    index = index % (2 * n)
    return torch.where(index < n, index, 2 * n - 1 - index)


BOUNDARIES: dict[str, Callable[[Tensor, int], Tensor]] = {  # which pixel continues an image of n pixels at an index
    "reflect": _mirrored,
    "replicate": lambda index, n: index.clamp(0, n - 1),
    "zero": lambda index, n: index,  # no pixel does
    "circular": lambda index, n: index % n,
    "valid": lambda index, n: index,  # none is needed
}
