"""Pictures whose pixels know where they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

Numbered = Callable[..., list[Path]]


@pytest.fixture
def numbered(tmp_path: Path) -> Numbered:
    """Write float images in [0, 1] of which no two pixels, in any of the files, have one value: pixel n is n / 2^20."""

    def write(count: int, shape: tuple[int, int] = (24, 30), pattern: str = "{:03d}.tif") -> list[Path]:
        numbers = np.arange(count * shape[0] * shape[1], dtype=np.float32).reshape(count, *shape)
        assert numbers.max() < 2**20
        paths = [tmp_path / pattern.format(i) for i in range(count)]
        for path, plane in zip(paths, numbers / 2**20, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, plane)
        return paths

    return write
