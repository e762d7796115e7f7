"""Random pixels of a dtype."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(0)


def pixels(dtype: str, *shape: int) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return RNG.normal(size=shape).astype(kind)
    return RNG.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)
