"""Pixels that are NaN or infinite: filled for the restorer, marked again after it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.ndimage import distance_transform_edt

from dgno.arrays import Image
from dgno.errors import ConfigError, NonFiniteInput

REFUSE, INPAINT, MASK = "refuse", "inpaint", "mask"
MODES = (REFUSE, INPAINT, MASK)


def fill(image: Image, mode: str, planes: Collection[int] | None = None) -> tuple[Image, Bool[np.ndarray, "*axes"]]:
    """The image with every non-finite pixel replaced by the nearest finite one of its plane, and where they were.

    mode : "refuse" leaves them, so that restoring refuses the image; "inpaint" and "mask" fill, see `mark`
    planes : numbers of those to restore, the others stay as they are; None: all
    """
    if mode not in MODES:
        raise ConfigError(f"nonfinite mode {mode!r}", hint=f"known: {', '.join(MODES)}")
    bad = ~np.isfinite(image.pixels) if image.pixels.dtype.kind == "f" else np.zeros(image.pixels.shape, bool)
    if mode == REFUSE or not bad.any():
        return image, np.zeros_like(bad)
    if bad.all():
        raise NonFiniteInput("every pixel is NaN or infinite", hint="there is nothing to restore")
    wanted = range(image.plane_count) if planes is None else planes
    bad = np.ascontiguousarray(bad)
    bad.reshape(image.plane_count, -1)[[i for i in range(image.plane_count) if i not in wanted]] = False
    filled = [_nearest(plane) if i in wanted else plane for i, plane in enumerate(image.planes())]
    return image.with_planes(filled), bad


def mark(restored: Image, original: Image, bad: Bool[np.ndarray, "*axes"], mode: str) -> Image:
    """What stands at the filled pixels in the output: after "inpaint" what stood there, after "mask" black.

    A note says how many they are.
    """
    if not bad.any():
        return restored
    black = original.value_range[0]
    pixels = put_back(restored.pixels, original.pixels, bad, mode, black)
    note = Filled(int(bad.sum()), mode, black).in_words()
    return replace(restored.with_pixels(pixels), notes=(*restored.notes, note))


def put_back(
    restored: Shaped[np.ndarray, "*axes"],
    original: Shaped[np.ndarray, "*axes"],
    bad: Bool[np.ndarray, "*axes"],
    mode: str,
    black: float,
) -> Shaped[np.ndarray, "*axes"]:
    """Restored pixels, with what `mark` wants where they are bad."""
    return np.where(bad, original if mode == INPAINT else np.asarray(black, original.dtype), restored)


@dataclass(frozen=True)
class Filled:
    """How many values were filled, and what became of them."""

    count: int
    mode: str
    black: float

    def in_words(self) -> str:
        """For a note."""
        stands = "are so in the output too" if self.mode == INPAINT else f"are {self.black:g}, black, in the output"
        return f"values that were NaN or infinite {stands}: {self.count:,}"


def _nearest(plane: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    filled = plane.copy()
    for c in range(plane.shape[2]):
        bad = ~np.isfinite(plane[..., c])
        if bad.all():
            filled[..., c] = 0
        elif bad.any():
            rows, columns = distance_transform_edt(bad, return_distances=False, return_indices=True)
            filled[..., c] = plane[rows, columns, c]
    return filled
