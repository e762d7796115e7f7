"""Blur of a lens with an axis: the PSF changes with the distance from it, and turns with the direction.

A linear revolution-invariant system (Kohli et al. 2025, Nature Methods 22, 1311): the PSF of the field point (r, psi)
is that of (r, 0), turned by psi. That work resamples object and PSFs to polar coordinates and keeps the spectrum of one
PSF for each radius, 2.2 GB for 512 x 512 px. Here nothing is resampled: all PSFs k_{r, psi} of the field are written
as mixtures of few images, by a singular value decomposition of PSFs on rings,

    k_{r, psi}(d) = sum_n w_n(r, psi) e_n(d),    so that    g = sum_n e_n * (w_n h)

with * the convolution, and w_n interpolated by splines between the rings, where it varies slowly, and along them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.fft import next_fast_len
from torch import Tensor

from dgno.checks import refuse_count, refuse_number
from dgno.errors import ConfigError
from dgno.optics.psf import PSF

Object = Float[Tensor, "*batch h w"]
Seen = Float[Tensor, "*batch h2 w2"]
FieldPSF = Callable[[tuple[float, float]], PSF]  # (row, col) from the axis in half sides of the field -> its PSF
Stack = Float64[np.ndarray, "rings angles k k"]
Squares = Sequence[Float64[np.ndarray, "_ _"]]  # of sides of their own
Square = Float64[np.ndarray, "side side"]
WRAPPED = 4  # angles repeated on each side, for the spline


class RingBlur:
    """g(q) = sum_p k_p(q - p) h(p): every point of the object with the PSF of its own place (Eq. 1, "scatter").

    psf : of a lens, such as `lambda place: seidel(microscope, coefficients, place)`; mirrored and transposed places
        must have the mirrored and transposed PSF, and only places in one eighth of the field are computed
    shape : (height, width) of the images in px; the axis is in their middle, 1 half side is half of the longer side
    margin : px by which the object reaches beyond the image on each side; outside of it all is dark
    rings, angles : at which PSFs are computed, along the radius from axis to corner, and around it (a multiple of 8)
    tolerance : share of the PSFs' energy (sum of squares) that the mixture may miss
    dtype : of the weights; images have it too

    With 1 wave of coma and 0.5 of astigmatism the defaults come within 75 dB (of the peak) of the superposition of all
    points at 128 px; distortion, which shifts PSFs apart, wants more rings and angles (1 wave: 51 dB).
    Memory: `count` weights of the object's size and as many spectra.
    """

    def __init__(
        self,
        psf: FieldPSF,
        shape: tuple[int, int],
        *,
        margin: int = 0,
        rings: int = 12,
        angles: int = 32,
        tolerance: float = 1e-4,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        problems = (
            refuse_count("rings", rings, 4) + refuse_count("angles", angles, 8) + refuse_count("margin", margin, 0)
        )
        problems += refuse_number("tolerance", tolerance, 0, 1) + refuse_count("shortest side", min(shape), 1)
        if angles % 8:
            problems.append(f"angles is {angles}, wanted a multiple of 8")
        if problems:
            raise ConfigError("no ring blur can be made of this", why="; ".join(problems))
        self.shape, self.margin = shape, margin
        rows, columns = (_places(n, margin, max(shape)) for n in shape)
        radii = np.linspace(0, math.hypot(rows[-1], columns[-1]), rings)
        images, mixture = _compress(_ring_psfs(psf, radii, angles), tolerance)
        weights = _interpolate(mixture, radii, rows, columns)
        self.weights = torch.from_numpy(weights).to(dtype)  # (count, h, w) of the object
        self.radius = min(images.shape[-1] // 2, max(shape) + margin - 1)  # farther no light of the object goes
        middle, r = images.shape[-1] // 2, self.radius
        kernels = torch.from_numpy(images[:, middle - r : middle + r + 1, middle - r : middle + r + 1]).to(dtype)
        self.grid = tuple(next_fast_len(n + 2 * margin + 2 * r, real=True) for n in shape)
        self.spectra = torch.fft.rfft2(kernels, s=self.grid)  # kernels begin at the origin: shifted by r

    @property
    def count(self) -> int:
        """How many images the PSFs are mixed of."""
        return len(self.weights)

    def apply(self, h: Object) -> Seen:
        """(.., height + 2 margin, width + 2 margin) -> (.., height, width)."""
        spectrum = sum(
            torch.fft.rfft2(weight * h, s=self.grid) * kernel
            for weight, kernel in zip(self.weights, self.spectra, strict=True)
        )
        (top, bottom), (left, right) = self._seen()
        return torch.fft.irfft2(spectrum, s=self.grid)[..., top:bottom, left:right]

    def adjoint(self, g: Seen) -> Object:
        """The transpose of `apply`."""
        (top, bottom), (left, right) = self._seen()
        placed = g.new_zeros(*g.shape[:-2], *self.grid)
        placed[..., top:bottom, left:right] = g
        spectrum = torch.fft.rfft2(placed)
        height, width = self.weights.shape[-2:]
        return sum(
            weight * torch.fft.irfft2(spectrum * kernel.conj(), s=self.grid)[..., :height, :width]
            for weight, kernel in zip(self.weights, self.spectra, strict=True)
        )

    def _seen(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of the image on the grid."""
        start = self.margin + self.radius
        return (start, start + self.shape[0]), (start, start + self.shape[1])


def _places(length: int, margin: int, longest: int) -> Float64[np.ndarray, " n"]:
    """Distances of pixels from the axis along one side of the object, in half sides of the field."""
    return (np.arange(-margin, length + margin) - (length - 1) / 2) / (longest / 2)


def _ring_psfs(psf: FieldPSF, radii: Float64[np.ndarray, " rings"], angles: int) -> Stack:
    """PSFs on rings; those of the first eighth turn are computed, the others are their mirror images."""
    computed = [[psf(_at(r, 2 * math.pi * i / angles)) for i in range(angles // 8 + 1)] for r in radii.tolist()]
    side = max(len(k) for ring in computed for k in ring)
    return np.stack([np.stack([_turned(ring, i, angles, side) for i in range(angles)]) for ring in computed])


def _at(radius: float, angle: float) -> tuple[float, float]:
    return radius * math.sin(angle), radius * math.cos(angle)


def _turned(eighth: Squares, i: int, angles: int, side: int) -> Square:
    """PSF number i around a ring, of this side, from those of the first eighth turn."""
    quarter = angles // 4
    turns, rest = divmod(i, quarter)
    within = min(rest, quarter - rest)
    k = np.pad(eighth[within], (side - len(eighth[within])) // 2)
    k = k if rest == within else k.T  # mirrored at the diagonal
    return np.rot90(k, -turns)  # angles run from columns to rows, rot90 from rows to columns


def _compress(
    psfs: Stack, tolerance: float
) -> tuple[Float64[np.ndarray, "n k k"], Float64[np.ndarray, "rings angles n"]]:
    """The fewest images whose mixtures miss no more than `tolerance` of the PSFs' energy (Eckart and Young 1936)."""
    rings, angles, side, _ = psfs.shape
    flat = psfs.reshape(rings * angles, -1)
    energies, left = np.linalg.eigh(flat @ flat.T)  # squares of the singular values, ascending
    missed = 1 - np.cumsum(energies[::-1]) / energies.sum()
    count = int(np.argmax(missed <= max(tolerance, 1e-10))) + 1
    left = left[:, ::-1][:, :count]
    return (left.T @ flat).reshape(count, side, side), left.reshape(rings, angles, count)


def _interpolate(
    mixture: Float64[np.ndarray, "rings angles n"],
    radii: Float64[np.ndarray, " rings"],
    rows: Float64[np.ndarray, " h"],
    columns: Float64[np.ndarray, " w"],
) -> Float64[np.ndarray, "n h w"]:
    """The mixture at every pixel: cubic splines in radius and angle, the angle periodic."""
    angles = mixture.shape[1]
    around = 2 * math.pi * np.arange(-WRAPPED, angles + WRAPPED) / angles
    wrapped = np.concatenate([mixture[:, -WRAPPED:], mixture, mixture[:, :WRAPPED]], axis=1)
    radius, angle = np.hypot(rows[:, None], columns), np.arctan2(rows[:, None], columns) % (2 * math.pi)
    from scipy.interpolate import RectBivariateSpline  # here: it takes a quarter of a second, and networks do without

    maps = [RectBivariateSpline(radii, around, values).ev(radius, angle) for values in np.moveaxis(wrapped, -1, 0)]
    return np.stack(maps)
