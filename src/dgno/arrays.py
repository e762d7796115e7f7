"""Images as arrays: what pixels mean, and the only conversions between numpy and torch.

At the edges (files, the API) an image is a numpy array in its own dtype; inside, a float32 tensor (b, c, h, w) around
[0, 1]. Between the two stands an affine map, kept so that it can be inverted exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

Plane = Num[np.ndarray, "h w c"]


@dataclass(frozen=True)
class Image:
    """Pixels, and what they mean.

    pixels : array in the dtype of its file; its axes are named by `axes`
    axes : one letter an axis, as tifffile has them: Y, X, and S (colour samples, last), C (channels), Z, T, ... before
    value_range : the stored values of black and white, for instance (0, 4095) for 12 bits in a 16-bit file
    pixel_size : (row, column) in um; None where the file does not say, or says nonsense
    channel_names : one name a channel, or none
    icc_profile : the colour profile of the file, unchanged
    notes : what reading changed, in words for the user
    """

    pixels: np.ndarray
    axes: str = "YX"
    value_range: tuple[float, float] = (0.0, 1.0)
    pixel_size: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    notes: tuple[str, ...] = field(default=())

    def planes(self) -> Iterator[Plane]:
        """Views (h, w, c) of every plane, the first axes slowest: one channel each, or the colour samples together."""
        height, width = self.pixels.shape[self.axes.index("Y")], self.pixels.shape[self.axes.index("X")]
        samples = self.pixels.shape[-1] if self.axes.endswith("S") else 1
        yield from self.pixels.reshape(-1, height, width, samples)

    @property
    def is_colour(self) -> bool:
        """Has the image red, green and blue samples?"""
        return self.axes.endswith("S") and self.pixels.shape[-1] >= 3
