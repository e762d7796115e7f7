"""How the two images of a pair come to [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from dgno.arrays import Affine, Image, percentile_affine, range_affine
from dgno.data.loading import plane_of, refuse_misfit, refuse_unusable
from dgno.data.records import Record
from dgno.data.registration import inside, shifted
from dgno.errors import ConfigError, UnsupportedInput
from dgno.io.image import read_image

Plane = Shaped[np.ndarray, "h w c"]


@dataclass(frozen=True, eq=False)
class Scaled:
    """A plane in the dtype of its file, and the normalisation that is still to be applied."""

    plane: Plane
    affine: Affine

    def crop(self, rows: slice, columns: slice, *, channels: int) -> Float[np.ndarray, "rows columns {channels}"]:
        """A part of the plane in [0, 1]; gray is repeated for colour, and colours are averaged for gray."""
        part = self.plane[rows, columns].astype(np.float32)
        if channels == 1:
            part = part.mean(-1, keepdims=True)
        elif part.shape[-1] == 1:
            part = part.repeat(channels, axis=-1)
        return ((part - np.float32(self.affine.offset)) / np.float32(self.affine.scale)).astype(np.float32)


def load_scaled(record: Record, scale: str) -> tuple[Scaled, Scaled]:
    """Blurred and sharp, of one shape and on each other; `scale` is a name of `SCALES`.

    Raises InputError (NaN too), ConfigError (no blurred image, sizes that differ), and UnsupportedInput: channels that
    differ, and for "minmax" a constant image.
    """
    if record.input is None:
        hint = "give pairs, or train with [[sources]]: blur is simulated then"
        raise ConfigError("a sharp image without a blurred one", path=record.target, hint=hint)
    images = read_image(record.input), read_image(record.target)
    blurred = plane_of(images[0], record.input_plane, record.input)
    sharp = plane_of(images[1], record.target_plane, record.target)
    refuse_misfit(record, blurred.shape, sharp.shape)
    for image, path in zip(images, (record.input, record.target), strict=True):
        refuse_unusable(image, path)
    affines = SCALES[scale](_alone(images[0], blurred, record.input), _alone(images[1], sharp, record.target))
    rows, columns = inside(sharp.shape[:2], record.shift)
    blurred = shifted(blurred, record.shift)[rows, columns]
    return Scaled(blurred, affines[0]), Scaled(sharp[rows, columns], affines[1])


@dataclass(frozen=True, eq=False)
class _Alone:
    """One plane as an image of its own, and its file."""

    image: Image
    path: Path


def _alone(image: Image, plane: Plane, path: Path) -> _Alone:
    return _Alone(Image(plane, "YXS", image.value_range), path)


def _by_range(blurred: _Alone, sharp: _Alone) -> tuple[Affine, Affine]:
    """Black and white of the blurred image for both, as files of 16 bits may not tell theirs; of another dtype, each
    by its own."""
    first = range_affine(blurred.image)
    same = blurred.image.pixels.dtype == sharp.image.pixels.dtype
    return first, first if same else range_affine(sharp.image)


def _by_percentiles(blurred: _Alone, sharp: _Alone) -> tuple[Affine, Affine]:
    """The 0.1 and 99.9 percentiles of the blurred image, which is all that there is when it is to be restored."""
    affine = percentile_affine(blurred.image)
    return affine, affine


def _by_extremes(blurred: _Alone, sharp: _Alone) -> tuple[Affine, Affine]:
    """Each by its own smallest and largest value, as the DGNO paper does with BBBC006."""
    return _of_extremes(blurred), _of_extremes(sharp)


def _of_extremes(alone: _Alone) -> Affine:
    low, high = float(alone.image.pixels.min()), float(alone.image.pixels.max())
    if not low < high:
        hint = "leave the pair out, or scale by range"
        raise UnsupportedInput("a constant image has no minimum and maximum to scale by", path=alone.path, hint=hint)
    return Affine(low, high - low)


SCALES: dict[str, Callable[[_Alone, _Alone], tuple[Affine, Affine]]] = {
    "range": _by_range,
    "percentile": _by_percentiles,
    "minmax": _by_extremes,
}
