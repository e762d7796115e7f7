"""Read and write images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image as Pillow

from dgno.arrays import Image


def read_image(path: str | Path) -> Image:
    """Read an image."""
    path = Path(path)
    pixels = tifffile.imread(path) if path.suffix.lower() in (".tif", ".tiff", ".svs") else np.asarray(Pillow.open(path))
    if pixels.ndim == 3 and pixels.shape[-1] == 4:
        pixels = pixels[..., :3]
    axes = "YXS" if pixels.ndim == 3 and pixels.shape[-1] == 3 else "ZYX"[-pixels.ndim :]
    top = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "ui" else 1.0
    return Image(pixels, axes, (0.0, top))
