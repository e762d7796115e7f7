"""Images of random pixels, and when two are the same."""

from __future__ import annotations

import numpy as np

from dgno.arrays import Image
from dgno.value_ranges import guess_value_range


def pixels(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "f":
        return (rng.normal(size=shape) * 100).astype(kind)
    return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def image_of(dtype: str, axes: str, shape: tuple[int, ...], *, seed: int = 0, alpha: bool = False, **facts) -> Image:
    values = pixels(dtype, shape, seed)
    opacity = pixels(dtype, shape[:-1] if axes.endswith("S") else shape, seed + 1) if alpha else None
    return Image(values, axes, guess_value_range(values)[0], alpha=opacity, **facts)


def same(a: Image, b: Image) -> None:
    """Equal in everything that a user sees."""
    assert a.pixels.dtype == b.pixels.dtype
    assert a.axes == b.axes
    np.testing.assert_array_equal(a.pixels, b.pixels)
    np.testing.assert_array_equal(a.alpha, b.alpha)
    for name in ("value_range", "channel_names", "icc_profile", "alpha_kind"):
        assert getattr(a, name) == getattr(b, name), name
    assert a.stored.orientation == b.stored.orientation
    assert (a.pixel_size is None) == (b.pixel_size is None)
    if a.pixel_size and b.pixel_size:
        np.testing.assert_allclose(a.pixel_size, b.pixel_size, rtol=1e-5)
