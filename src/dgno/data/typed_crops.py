"""Crops whose type of blur is known, from sharp images: what a classifier of blur learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from dgno.data.batching import stacked
from dgno.data.scenes import MARGIN, SimulatedPairs
from dgno.optics.blur_types import BLUR_TYPES, CELL, IN_FOCUS, TypedRange
from dgno.optics.exposure import Scene
from dgno.optics.fields import voronoi
from dgno.optics.partly import PartOptics

IGNORED = -100  # the type of what has none: squares without structure, and those on a border
PARTLY = 0.4  # share of the blurred crops in which a part is in focus
FLAT = 0.012  # standard deviation in a sharp square below which there is nothing to see
SHARPEST_DEFOCUS, SHORTEST_MOTION = 0.8, 3.0  # px; less than both is neither in focus nor blurred
SPLIT_AT = 0.5  # a border lies where the mask crosses it
SOFT, SOFTEST = 0.45, 1.2  # share of the crops that are softer along an axis; px, the standard deviation at most
JPEG = 0.5  # share of the crops that were compressed
Squares = Float[Tensor, "rows columns"]


class TypedCrops:
    """Crops of sharp images, blurred by all types, with what is known of the blur.

    Content is a function of (seed, step, slot), as of `SimulatedPairs`, which it is drawn by.
    """

    def __init__(self, pairs: SimulatedPairs, blur: TypedRange) -> None:
        self.pairs, self.blur = pairs, blur

    @property
    def is_empty(self) -> bool:
        """Is there nothing to draw from?"""
        return self.pairs.is_empty

    def batch(
        self, crop: int, size: int, *, seed: int, step: int, slots: Sequence[int] | None = None
    ) -> tuple[Tensor, ...]:
        """Crops (size, channels, crop, crop), and what `sample` gives beside each."""
        return stacked(self.sample, crop, size, seed=seed, step=step, slots=slots)

    def sample(self, crop: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """A crop; its type; and, in squares of CELL px: types, sigma, length, cos and sin of twice the angle.

        Widths are 0 where there is no such blur or nothing to see; types are then IGNORED.
        """
        scene = softened(self.pairs.scene(crop, rng), rng)
        shape = (scene.shape[1], scene.shape[2])
        name, exposure = self.blur.draw_typed(shape, rng)
        weight = torch.ones(shape)
        if name != IN_FOCUS and rng.random() < PARTLY:
            weight = voronoi(shape, 0.0, 1.0, rng).gt(SPLIT_AT).float()
            weight = F.avg_pool2d(weight[None, None], 5, stride=1, padding=2, count_include_pad=False)[0, 0]
            exposure = replace(exposure, optics=PartOptics(exposure.optics, weight))
        if rng.random() < JPEG:
            exposure = replace(exposure, camera=replace(exposure.camera, quality=int(rng.integers(60, 100))))
        inside = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
        maps = {key: values[inside] for key, values in exposure.optics.maps().items()}
        truth = squares_of(name, maps, weight[inside], scene[inside])
        whole = BLUR_TYPES.index(name) if bool((weight[inside] == 1).all()) else IGNORED
        return exposure.of(scene)[inside].clamp(0, 1), torch.tensor(whole), *truth


def softened(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene as by a camera that is softer along an axis, or along both: that is neither defocus nor motion."""
    for axis in (-2, -1):
        if rng.random() < SOFT:
            sigma = float(rng.uniform(0, SOFTEST))
            scene = torch.from_numpy(gaussian_filter1d(scene.numpy(), sigma, axis=axis, mode="reflect"))
    return scene


def squares_of(
    name: str, maps: Mapping[str, Float[Tensor, "_ h w"]], weight: Float[Tensor, "h w"], sharp: Scene
) -> tuple[Int[Tensor, "rows columns"], Squares, Squares, Float[Tensor, "2 rows columns"]]:
    """What is known of the blur in squares of CELL px, see `TypedCrops.sample`."""

    def mean(values: Float[Tensor, "h w"]) -> Squares:
        return F.avg_pool2d(values[None, None], CELL)[0, 0]

    zeros = mean(torch.zeros_like(weight))
    sigma = mean(maps["sigma"][0]) if name != IN_FOCUS and "sigma" in maps else zeros
    length = mean(maps["motion"][0]) if "motion" in maps else zeros
    angle = torch.deg2rad(2 * maps["motion"][1, 0, 0]) if "motion" in maps else torch.zeros(())
    share = mean(weight)
    seen = structure(sharp) > FLAT
    is_blurred = (share > 0.99) & ((sigma >= SHARPEST_DEFOCUS) | (length >= SHORTEST_MOTION))
    is_sharp = (share < 0.01) | (torch.full_like(share, float(name == IN_FOCUS)) > 0)
    types = torch.full(share.shape, IGNORED)
    types[is_blurred & seen] = BLUR_TYPES.index(name)
    types[is_sharp & seen] = BLUR_TYPES.index(IN_FOCUS)
    told = (is_blurred & seen).float()
    turn = torch.stack([angle.cos(), angle.sin()])[:, None, None].expand(2, *share.shape).float()
    return types, sigma * told, length * told, turn


def structure(sharp: Scene) -> Squares:
    """Standard deviation of the values around every square, 3 x 3 squares together."""
    gray = sharp.mean(0, keepdim=True)[None]
    mean, square = (F.avg_pool2d(F.avg_pool2d(v, CELL), 3, 1, 1, count_include_pad=False) for v in (gray, gray**2))
    return (square - mean**2).clamp_min(0).sqrt()[0, 0]
