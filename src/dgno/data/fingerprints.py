"""What an image is recognised by after mild compression, blur, a change of brightness or contrast, a flip or a turn.

The image is averaged down to a grid, its coarsest shades (vignetting, background) are taken off, and what is left is
scaled to length 1; the product of two such vectors is their normalised correlation: 1 for images that differ by gain
and offset only, about 0 for others. A coarse grid finds candidates fast, a fine one decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.ndimage import gaussian_filter

FINE, COARSE = 32, 16  # cells of a side
SHADES = 1 / 8  # of the side: Gaussian width of what counts as background
FLAT = 1e-3  # of the largest value: images whose detail is less are told nothing by


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """coarse, fine : vectors of length 1; of zeros where the image is flat"""

    coarse: Float[np.ndarray, "COARSE COARSE"]
    fine: Float[np.ndarray, "FINE FINE"]

    @property
    def is_flat(self) -> bool:
        """Has the image no structure that it could be recognised by?"""
        return not self.fine.any()


def fingerprint(plane: Shaped[np.ndarray, "h w c"]) -> Fingerprint:
    """The fingerprint of a plane of any size, dtype and number of samples."""
    gray = plane.mean(-1, dtype=np.float64)
    fine = grid_means(gray, FINE)
    coarse = grid_means(fine, COARSE)
    if not np.all(np.isfinite(fine)) or _detail(fine).std() < FLAT * max(float(np.abs(fine).max()), 1e-12):
        return Fingerprint(np.zeros((COARSE, COARSE), np.float32), np.zeros((FINE, FINE), np.float16))
    return Fingerprint(_unit(_detail(coarse)).astype(np.float32), _unit(_detail(fine)).astype(np.float16))


def grid_means(gray: Float[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "{side} {side}"]:
    """Means over a grid of side x side cells of (almost) equal size; of a smaller image pixels are repeated."""
    for axis, n in enumerate(gray.shape):
        edges = np.rint(np.linspace(0, n, side + 1)).astype(int)
        starts = np.minimum(edges[:-1], n - 1)
        counts = np.maximum(np.diff(edges), 1)
        gray = np.add.reduceat(gray, starts, axis=axis) / (counts[:, None] if axis == 0 else counts)
    return gray


def similarity(a: Fingerprint, b: Fingerprint) -> float:
    """The largest correlation of the fine grids, over the flips and quarter turns of `b`."""
    ours = a.fine.astype(np.float32).ravel()
    return max(float(ours @ turned.astype(np.float32).ravel()) for turned in turns(b.fine))


def turns(grid: Shaped[np.ndarray, "h w *c"]) -> Iterator[Shaped[np.ndarray, "rows columns *c"]]:
    """The eight flips and quarter turns of a grid or an image."""
    for quarters in range(4):
        turned = np.rot90(grid, quarters)
        yield turned
        yield turned[:, ::-1]


def _detail(grid: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """What is left without the quadratic surface nearest to it, which vignetting is, and without coarse shades."""
    at = np.linspace(-1, 1, len(grid))
    y, x = (axis.ravel() for axis in np.meshgrid(at, at, indexing="ij"))
    surface = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)).Q
    grid = grid - (surface @ (surface.T @ grid.ravel())).reshape(grid.shape)
    detail = grid - gaussian_filter(grid, SHADES * len(grid), mode="nearest")
    return detail - detail.mean()


def _unit(grid: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    return grid / max(float(np.linalg.norm(grid)), 1e-12)
