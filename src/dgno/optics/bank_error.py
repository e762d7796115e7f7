"""How far a blur made of few PSFs is from the exact one, found at random pixels computed exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.optics.blur import BOUNDARIES, SpatiallyVaryingBlur
from dgno.optics.psf import PSF

COUNT = 64
Scene = Float[Tensor, "c h w"]


def bank_error(
    blur: SpatiallyVaryingBlur, scene: Scene, exact: Callable[[int, int], PSF], rng: np.random.Generator
) -> float:
    """Largest error at 64 random pixels, where peak light is 1.

    exact : (row, col) -> the PSF of that pixel, computed for it alone
    gather: |blurred - sum_p exact(q - p) scene(p)| at pixels q of the scene. scatter: a pixel takes light of as many
    PSFs as it has neighbours; compared is the image of one bright point instead, its largest difference.
    """
    height, width = scene.shape[-2:]
    places = list(zip(rng.integers(0, height, COUNT).tolist(), rng.integers(0, width, COUNT).tolist(), strict=True))
    if blur.reading == "scatter":
        return max(_of_a_point(blur, place, exact(*place)) for place in places)
    blurred = blur.apply(scene).double()
    light = scene.double()
    return max(
        float((blurred[:, y, x] - at_one_pixel(light, exact(y, x), (y, x), blur.boundary)).abs().max())
        for y, x in places
    )


def at_one_pixel(scene: Scene, psf: PSF, place: tuple[int, int], boundary: str) -> Float[Tensor, " c"]:
    """sum_p psf(q - p) scene(p) at the pixel q, the scene continued beyond its border."""
    reach = len(psf) // 2
    around = scene
    weights = torch.from_numpy(psf[::-1, ::-1].copy()).to(scene.dtype)
    for axis, middle in ((-2, place[0]), (-1, place[1])):
        n = scene.shape[axis]
        index = torch.arange(middle - reach, middle + reach + 1)
        inside = (index >= 0) & (index < n)
        index = BOUNDARIES[boundary](index, n).clamp(0, n - 1)
        around = around.index_select(axis, index)
        if boundary == "zero":
            weights = weights * (inside[:, None] if axis == -2 else inside)
    return (around * weights).sum((-2, -1))


def _of_a_point(blur: SpatiallyVaryingBlur, place: tuple[int, int], exact: PSF) -> float:
    mixed = torch.einsum("l,lij->ij", blur.weights[:, place[0], place[1]].double(), blur.psfs).numpy()
    half = max(len(mixed), len(exact)) // 2
    mixed, exact = (np.pad(psf, half - len(psf) // 2) for psf in (mixed, exact))
    return float(np.abs(mixed - exact).max())
