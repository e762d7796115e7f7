"""Structural similarity with the windows that published numbers were computed with, and its multi-scale form.

Wang et al. 2004, doi:10.1109/TIP.2003.819861, Eq. 13:

    SSIM = mean over windows of (2 m_a m_b + C1) (2 s_ab + C2) / ((m_a^2 + m_b^2 + C1) (s_a^2 + s_b^2 + C2))

with means m, variances s^2 and covariance s_ab inside the window, C1 = (0.01 data_range)^2, C2 = (0.03 data_range)^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from dgno.errors import ConfigError
from dgno.metrics.comparable import Compared, Images, refuse_other_shape, refuse_smaller

Volumes = Float[Tensor, "n 1 c h w"]
Means = Float[Tensor, "n 1 c2 rows columns"]  # one value a window
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of MS-SSIM, full resolution first


@dataclass(frozen=True)
class Window:
    """The window of SSIM.

    side : px
    sigma : px, of a Gaussian window; None for a uniform one
    unbiased : divide variances by n - 1 samples, as scikit-image does by default; else by n
    padded : windows around every pixel, outside repeats the border; else only windows inside the image
    over_channels : the window reaches `side` channels deep as well, outside repeats the first and the last
    """

    side: int
    sigma: float | None = None
    unbiased: bool = False
    padded: bool = False
    over_channels: bool = False

    def line(self) -> Float[Tensor, " side"]:
        """The weights along one axis, of sum 1."""
        t = torch.arange(self.side, dtype=torch.float64) - self.side // 2
        weights = torch.ones_like(t) if self.sigma is None else torch.exp(-(t**2) / (2 * self.sigma**2))
        return weights / weights.sum()


GAUSSIAN = Window(11, 1.5)  # Wang et al. 2004; BasicSR, pytorch-msssim
UNIFORM = Window(7, unbiased=True)  # the default of scikit-image; Restormer's evaluation
REPLICATED = Window(11, 1.5, padded=True)  # BasicSR in Restormer's copy, of luma
SMALLEST_OF_SCALES = GAUSSIAN.side * 2 ** (len(SCALES) - 1)  # px
VOLUME = Window(11, 1.5, padded=True, over_channels=True)  # BasicSR in Restormer's copy, of colours


def ssim(
    image: Compared,
    reference: Compared,
    data_range: float = 1.0,
    *,
    window: Window = GAUSSIAN,
    region: Bool[Tensor, "h2 w2"] | None = None,
) -> float:
    """Structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861), the mean over windows and channels.

    By default with a Gaussian window of 11 px and sigma 1.5, population covariance, windows inside the image only;
    that is scikit-image with gaussian_weights=True, sigma=1.5, use_sample_covariance=False, and 5 px of its map cut.
    region : (h, w), True where windows count by the pixel in their middle; None: all windows
    Raises ConfigError if the shapes differ, the images are smaller than the window, or no window counts.
    """
    refuse_other_shape(image, reference)
    refuse_smaller(image, window.side, "SSIM")
    luminance, structure = _maps(_volumes(image, window), _volumes(reference, window), data_range, window)
    similarity = luminance * structure
    if region is None:
        return float(similarity.mean())
    reach = 0 if window.padded else window.side // 2
    inner = region[reach : region.shape[0] - reach, reach : region.shape[1] - reach]
    if not inner.any():
        raise ConfigError("no window of SSIM lies in the region", hint="skip such images, and tell how many they are")
    return float(similarity[..., inner].mean())


def ms_ssim(image: Compared, reference: Compared, data_range: float = 1.0) -> float:
    """Multi-scale structural similarity (Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216, Eq. 7), Gaussian window.

    Five scales, each the mean of 2 x 2 px of the one before (an odd last row or column is dropped); contrast and
    structure of every scale and the whole SSIM of the last one, each averaged over windows and channels, to the powers
    SCALES and multiplied. Negative means count as 0. torchmetrics differs by up to 1e-4: in the last scale it takes
    windows beyond the image as well, which is mirrored there. pytorch-msssim multiplies per channel and averages then,
    which differs for colours. Raises ConfigError if the shapes differ or a side is below 176 px, where
    the last scale is smaller than the window.
    """
    refuse_other_shape(image, reference)
    refuse_smaller(image, SMALLEST_OF_SCALES, "MS-SSIM")
    a, b = _volumes(image, GAUSSIAN), _volumes(reference, GAUSSIAN)
    product = 1.0
    for i, exponent in enumerate(SCALES):
        luminance, structure = _maps(a, b, data_range, GAUSSIAN)
        last = i == len(SCALES) - 1
        factor = float((luminance * structure if last else structure).mean())
        product *= max(factor, 0.0) ** exponent
        a, b = (F.avg_pool3d(x, (1, 2, 2)) for x in (a, b))
    return product


def _volumes(x: Images, window: Window) -> Volumes:
    """Every plane alone, or planes of one image as a volume where the window reaches over channels."""
    channels = x.shape[-3] if window.over_channels and x.ndim > 2 else 1
    return x.double().reshape(-1, 1, channels, *x.shape[-2:])


def _maps(a: Volumes, b: Volumes, data_range: float, window: Window) -> tuple[Means, Means]:
    """Of every window: the factor of means, and that of contrast and structure; both (n, 1, c, rows, columns)."""
    samples = window.side**2
    spread = samples / (samples - 1) if window.unbiased else 1.0
    mean_a, mean_b = _windowed(a, window), _windowed(b, window)
    variance_a = spread * (_windowed(a * a, window) - mean_a**2)
    variance_b = spread * (_windowed(b * b, window) - mean_b**2)
    covariance = spread * (_windowed(a * b, window) - mean_a * mean_b)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variance_a + variance_b + c2)


def _windowed(x: Volumes, window: Window) -> Means:
    """Weighted mean over the window around each pixel that has a whole one, after padding."""
    line, reach = window.line().to(x.device), window.side // 2
    deep = reach if window.over_channels else 0
    if window.padded:
        x = F.pad(x, (reach, reach, reach, reach, deep, deep), mode="replicate")
    x = F.conv3d(F.conv3d(x, line.view(1, 1, 1, -1, 1)), line.view(1, 1, 1, 1, -1))
    return F.conv3d(x, line.view(1, 1, -1, 1, 1)) if window.over_channels else x
