"""PSNR near the edges of the sharp image and away from them.

The paper (Fig. 6d) does not define its bands; this is the project's definition. Whether a table averages the PSNR of
images or pools their squared errors changes it, so a summary has both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch import Tensor

from dgno.metrics.comparable import Images
from dgno.metrics.pixel_errors import decibels, region_psnr

SIGMA = 1.0  # px, of the smoothing before the gradient
SMALLEST = 8  # px, of the edges that count
FLAT = 1e-6  # of the range: gradients below it are rounding


@dataclass(frozen=True)
class EdgeScore:
    """One image: PSNR in dB in the band and elsewhere, None where there is no such pixel; pixels of each."""

    edge: float | None
    elsewhere: float | None
    edge_pixels: int
    elsewhere_pixels: int

    @property
    def share(self) -> float:
        """The part of the image that the band takes."""
        return self.edge_pixels / (self.edge_pixels + self.elsewhere_pixels)


@dataclass(frozen=True)
class EdgeSummary:
    """One of the two regions over several images: mean PSNR, PSNR of the pooled squared errors, dB; images
    that count, and those that have no such region."""

    mean: float
    pooled: float
    n: int
    skipped: int


def edge_band(sharp: Images, radius: int = 3, *, data_range: float = 1.0) -> Bool[Tensor, "h w"]:
    """Where the edges of a sharp image are, and `radius` px around them.

    Mean of channels, Gaussian of sigma 1 px, Sobel magnitude, threshold by Otsu 1979 (doi:10.1109/TSMC.1979.4310076)
    over the values that are not 0, without components (8 neighbours) below 8 px, dilated by a disk. Flat images
    have no band.
    """
    plane = sharp.detach().double().reshape(-1, *sharp.shape[-2:]).mean(dim=0).cpu().numpy() / data_range
    smooth = ndimage.gaussian_filter(plane, SIGMA)
    magnitude = np.hypot(ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1))
    slopes = magnitude[magnitude > FLAT]
    if slopes.size == 0:
        return torch.zeros(plane.shape, dtype=torch.bool)
    labels, _ = ndimage.label(magnitude > threshold_otsu(slopes), structure=np.ones((3, 3)))
    large = np.bincount(labels.ravel()) >= SMALLEST
    large[0] = False
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return torch.from_numpy(ndimage.binary_dilation(large[labels], structure=x**2 + y**2 <= radius**2))


def edge_psnr(image: Images, reference: Images, radius: int = 3, *, data_range: float = 1.0) -> EdgeScore:
    """PSNR in the edge band of the reference, and in the rest of it; see `edge_band` and `region_psnr`."""
    band = edge_band(reference, radius, data_range=data_range).to(image.device)
    edge, elsewhere = (
        region_psnr(image, reference, region, data_range=data_range) if region.any() else None
        for region in (band, ~band)
    )
    inside = int(band.sum())
    return EdgeScore(edge, elsewhere, inside, band.numel() - inside)


def summarise_edges(scores: Sequence[EdgeScore]) -> tuple[EdgeSummary, EdgeSummary]:
    """The band and the rest over several images; NaN where no image has the region."""
    edges = [(s.edge, s.edge_pixels) for s in scores]
    rest = [(s.elsewhere, s.elsewhere_pixels) for s in scores]
    return _summary(edges), _summary(rest)


def _summary(regions: Sequence[tuple[float | None, int]]) -> EdgeSummary:
    there = [(psnr, pixels) for psnr, pixels in regions if psnr is not None]
    skipped = len(regions) - len(there)
    if not there:
        return EdgeSummary(math.nan, math.nan, 0, skipped)
    squares = sum(pixels * 10 ** (-psnr / 10) for psnr, pixels in there)  # of errors, in units of the range
    pooled = decibels(squares / sum(pixels for _, pixels in there), 1.0)
    return EdgeSummary(statistics.fmean(psnr for psnr, _ in there), pooled, len(there), skipped)
