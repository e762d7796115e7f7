"""Two images to write, and the formats to write them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dgno.arrays import Image

GRAY = Image(np.arange(63, dtype=np.uint8).reshape(9, 7), "YX", (0, 255))


OTHER = Image(255 - GRAY.pixels, "YX", (0, 255))


SUFFIXES = [".tif", ".ome.tif", ".png", ".jpg", ".bmp"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
