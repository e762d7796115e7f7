"""How close a restored image comes to its reference: one measure, or one family of them, per file.

Tensors (..., h, w) with values in [0, data_range], where all leading axes are channels of one image and are averaged,
unless a function says otherwise. Computed in float64. Which measure with which settings a published number stands
for is told by the named protocols of `dgno.evaluation.protocols`.
"""

from __future__ import annotations

from dgno.metrics.edge_band import EdgeScore, EdgeSummary, edge_band, edge_psnr, summarise_edges
from dgno.metrics.gradient_similarity import gmsd
from dgno.metrics.perceptual import lpips
from dgno.metrics.pixel_errors import affine_psnr, mae, psnr, region_psnr
from dgno.metrics.structural_similarity import GAUSSIAN, REPLICATED, UNIFORM, VOLUME, Window, ms_ssim, ssim

__all__ = [
    "GAUSSIAN",
    "REPLICATED",
    "UNIFORM",
    "VOLUME",
    "EdgeScore",
    "EdgeSummary",
    "Window",
    "affine_psnr",
    "edge_band",
    "edge_psnr",
    "gmsd",
    "lpips",
    "mae",
    "ms_ssim",
    "psnr",
    "region_psnr",
    "ssim",
    "summarise_edges",
]
