"""Gradient magnitude similarity deviation: how unevenly edges were kept."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from dgno.metrics.comparable import Compared, refuse_other_shape, refuse_smaller

STABILITY = 170.0  # of images in [0, 255]
SMALLEST = 4  # px: two by two gradients


def gmsd(image: Compared, reference: Compared, data_range: float = 1.0) -> float:
    """Gradient magnitude similarity deviation (Xue et al. 2014, doi:10.1109/TIP.2013.2293423, Eq. 4-6); 0 if equal.

    As the authors' program: means of 2 x 2 px, gradients m by Prewitt's filters of 3 px (divided by 3), zeros outside,

        GMS = (2 m_a m_b + T) / (m_a^2 + m_b^2 + T),   T = 170 (data_range / 255)^2

    and the sample standard deviation of that map. Published for luma; here the mean over channels. Raises ConfigError
    if the shapes differ or a side is below 4 px.
    """
    refuse_other_shape(image, reference)
    refuse_smaller(image, SMALLEST, "GMSD")
    height, width = image.shape[-2:]
    a, b = (x.double().reshape(-1, 1, height, width) * (255 / data_range) for x in (image, reference))
    m_a, m_b = _gradient_magnitude(a), _gradient_magnitude(b)
    similarity = (2 * m_a * m_b + STABILITY) / (m_a**2 + m_b**2 + STABILITY)
    return float(similarity.flatten(1).std(dim=1, correction=1).mean())


def _gradient_magnitude(planes: torch.Tensor) -> torch.Tensor:
    """Planes (n, 1, h, w) -> (n, 1, ceil(h / 2), ceil(w / 2)); an odd last row or column is averaged with zeros."""
    height, width = planes.shape[-2:]
    half = F.avg_pool2d(F.pad(planes, (0, width % 2, 0, height % 2)), 2)
    across = torch.tensor([[1.0, 0.0, -1.0]] * 3, dtype=planes.dtype, device=planes.device) / 3
    gradients = F.conv2d(half, torch.stack((across, across.T))[:, None], padding=1)
    return gradients.square().sum(dim=1, keepdim=True).sqrt()
