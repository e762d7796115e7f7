"""Data sets of a few small files, laid out as they are published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tifffile
from skimage.io import imsave


def touch(root: Path, *names: str) -> Path:
    """Empty files: layouts are read by names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def save(path: Path, pixels: np.ndarray) -> Path:
    """A real image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, metadata=None)
    else:
        imsave(path, pixels, check_contrast=False)
    return path


def texture(seed: int, shape: tuple[int, ...] = (64, 80), dtype: str = "uint8") -> np.ndarray:
    """Structure at all scales, over the whole range of the type; another for every seed."""
    rng = np.random.default_rng(seed)
    rows, columns = (np.fft.fftfreq(n)[:, None] if i == 0 else np.fft.fftfreq(n) for i, n in enumerate(shape[:2]))
    falling = 1 / (np.hypot(rows, columns) + 0.02)
    planes = [
        np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape[:2])) * falling).real
        for _ in range(shape[2] if len(shape) == 3 else 1)
    ]
    image = np.stack(planes, axis=-1).reshape(shape)
    image = (image - image.min()) / np.ptp(image)
    return (image * np.iinfo(dtype).max).astype(dtype)


def bbbc006_planes(root: Path, planes: Iterable[int], wells: Iterable[str] = ("a01", "p24")) -> Path:
    """As released: a folder a plane; the GUID of a name is another in every plane."""
    return touch(
        root,
        *(
            f"BBBC006_v1_images_z_{z:02d}/mcf-z-stacks-03212011_{well}_s{site}_w{channel}{z:08x}-77d3-4b8e.tif"
            for z in planes for well in wells for site in (1, 2) for channel in (1, 2)
        ),
    )  # fmt: skip
