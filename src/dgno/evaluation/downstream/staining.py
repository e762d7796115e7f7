"""Immunohistochemistry with hematoxylin and DAB: nuclei, the positive ones among them, and the positive region.

Nuclei are extrema of the Laplacian of a Gaussian of the stains' density (Marr and Hildreth 1980,
doi:10.1098/rspb.1980.0020), positive where DAB is dense. It stands in for a trained detector, as `nuclei` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from skimage.feature import peak_local_max

from dgno.checks import refuse_number
from dgno.errors import ConfigError
from dgno.evaluation.downstream.stains import Picture, hematoxylin_and_dab

NUCLEUS = 3.5  # um, radius
LEAST = 0.1  # density of the faintest disk that is a nucleus
POSITIVE = 0.2  # density of DAB from which a nucleus, or a pixel of the region, is positive


@dataclass(frozen=True, eq=False)
class Staining:
    """What an image of H-DAB shows.

    nuclei : (row, column) in px
    positive : which of them are
    region : where DAB is dense
    """

    nuclei: Float[np.ndarray, "n 2"]
    positive: Bool[np.ndarray, " n"]
    region: Bool[np.ndarray, "h w"]

    @property
    def positive_rate(self) -> float | None:
        """PR = N+ / (N+ + N-); None without nuclei."""
        return float(self.positive.mean()) if len(self.positive) else None


def read_staining(picture: Picture, pixel_size: float) -> Staining:
    """Nuclei and positive region of an RGB image of H-DAB.

    pixel_size : um
    The Laplacian of a Gaussian of sigma = r / sqrt(2) answers strongest to a disk of radius r: 2/e of its density.
    """
    if problems := refuse_number("pixel_size", pixel_size, 0, above_lowest=True):
        raise ConfigError(problems[0])
    nuclear, dab = hematoxylin_and_dab(picture)
    radius = NUCLEUS / pixel_size
    sigma = radius / math.sqrt(2)
    answer = -(sigma**2) * ndimage.gaussian_laplace(nuclear + dab, sigma)
    peaks = peak_local_max(
        answer, min_distance=max(1, round(radius)), threshold_abs=LEAST * 2 / math.e, exclude_border=False
    )
    within = ndimage.gaussian_filter(dab, radius / 2)[tuple(peaks.T)]
    region = ndimage.gaussian_filter(dab, radius / 4) >= POSITIVE
    return Staining(peaks.astype(np.float64), within >= POSITIVE, region)


def dice(one: Bool[np.ndarray, "*shape"], other: Bool[np.ndarray, "*shape"]) -> float:
    """2 |A and B| / (|A| + |B|); 1 for two empty regions."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0
