"""How noisy an image is, from the image alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

BINS = 16
FEWEST = 64  # pixels in a bin
NORMAL_MEDIAN = 0.6745  # median |n| of normal noise of standard deviation 1


@dataclass(frozen=True)
class Noise:
    """Variance of a pixel of expected value x: gain x + floor. For a camera, 1 / photons and the read noise squared."""

    gain: float = 0.0
    floor: float = 0.0

    def variance(self, expected: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
        return (self.gain * expected + self.floor).clamp(min=1e-12)


def estimate_noise(image: Float[Tensor, "h w"]) -> Noise:
    """Poisson-Gaussian noise of a blurred image, whose finest detail is noise alone.

    n = image * [1 -2 1; -2 4 -2; 1 -2 1] removes what is locally a quadratic surface and has 36 times the variance of
    the noise (Immerkaer 1996, doi:10.1006/cviu.1996.0060). In bins of equal brightness that variance is taken from the
    median |n|, which edges hardly move, and fitted by gain * brightness + floor, both >= 0. Images below 8 px a side,
    and those that are smooth to the last digit, count as free of noise.
    """
    if min(image.shape) < 8:
        return Noise()
    line = torch.tensor([1.0, -2.0, 1.0]).to(image)
    detail = F.conv2d(image[None, None], torch.outer(line, line)[None, None]).flatten().abs()
    brightness = F.avg_pool2d(image[None, None], 3, 1).flatten()
    bins = brightness.argsort().tensor_split(max(1, min(BINS, len(detail) // FEWEST)))
    means = np.array([float(brightness[b].mean()) for b in bins]).clip(min=0)
    variances = np.array([(float(detail[b].median()) / NORMAL_MEDIAN) ** 2 / 36 for b in bins])
    if variances.max() <= 0:
        return Noise()
    weight = 1 / variances.clip(min=1e-3 * variances.max())  # an estimated variance errs in proportion to itself
    from scipy.optimize import nnls  # here: it takes a quarter of a second, and networks do without

    (gain, floor), _ = nnls(np.stack([means, np.ones_like(means)], 1) * weight[:, None], variances * weight)
    return Noise(float(gain), float(floor))
