"""Images of arrays, over all dtypes."""

from __future__ import annotations

import numpy as np

from dgno.arrays import (
    Image,
    identity_affine,
    percentile_affine,
    range_affine,
    restored_plane,
    to_tensor,
)
from dgno.value_ranges import guess_value_range

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]


AFFINES = [identity_affine, range_affine, percentile_affine]


def pixels(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Values over the whole range of a dtype, its extremes, -0.0 and subnormals included."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind in "ui":
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        extremes, values = [low, high, 0], rng.integers(low, high, shape, dtype=kind, endpoint=True)
    else:
        top = min(float(np.finfo(kind).max), 3.4e38)
        extremes = [-top, top, -0.0, float(np.finfo(kind).smallest_subnormal), 1.0]
        values = (rng.normal(size=shape) * 10.0 ** rng.integers(-30, 30, shape)).clip(-top, top).astype(kind)
    where = rng.integers(values.size, size=values.size // 3 + 1)
    values.flat[where] = rng.choice(np.array(extremes, kind), where.size)
    return values


def image_of(values: np.ndarray, axes: str = "") -> Image:
    return Image(values, axes or ("YXS" if values.ndim == 3 else "YX"), guess_value_range(values)[0])


def restored(image: Image, change, affine=range_affine):
    """What comes of the first plane when a restorer applies `change` to its tensor."""
    plane, normalisation = next(image.planes()), affine(image)
    given = to_tensor(plane, normalisation)
    return restored_plane(plane, given, change(given), affine=normalisation, ends=image.ends)
