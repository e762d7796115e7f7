"""Small slides, and ways to break them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

APERIO = "Aperio Image Library v11.2.1\r\n900x700 (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990|Filename = made up"


def tissue(height: int = 700, width: int = 900, *, samples: int = 3, dtype: str = "uint8") -> np.ndarray:
    """Smooth structures with some noise, in all values of the dtype, (h, w[, samples])."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (9 + s) + s) * np.cos(y / (13 - s)) for s in range(samples)]
    unit = np.stack(waves, -1) * 0.4 + 0.5 + rng.normal(scale=0.02, size=(height, width, samples))
    top = float(np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else 1.0
    pixels = (unit.clip(0, 1) * top).astype(dtype)
    return pixels if samples > 1 else pixels[..., 0]


def write_pyramid(
    path: Path,
    full: np.ndarray,
    *,
    subifds: bool = True,
    levels: int = 3,
    tile: tuple[int, int] = (64, 64),
    photometric: str = "rgb",
    description: str | None = None,
    **options: Any,  # whatever TiffWriter takes
) -> list[np.ndarray]:
    """A pyramid, each level every second pixel of the one before; gives the levels."""
    pixels = [full[:: 2**level, :: 2**level] for level in range(levels)]
    kept = {key: options.pop(key) for key in ("bigtiff", "ome", "byteorder") if key in options}
    metadata = options.pop("metadata", None)
    with tifffile.TiffWriter(path, **kept) as writer:
        common: dict[str, Any] = {"tile": tile, "photometric": photometric, **options}
        writer.write(
            pixels[0], subifds=levels - 1 if subifds else 0, metadata=metadata, description=description, **common
        )
        for level in pixels[1:]:
            writer.write(level, subfiletype=1 if subifds else 0, metadata=None, **common)
    return pixels


def write_svs(path: Path, *, compression: str = "jpeg") -> np.ndarray:
    """A slide as Aperio's scanners write it: tiles, a thumbnail, a second level, label and macro."""
    full = tissue()
    with tifffile.TiffWriter(path) as writer:
        tiled: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": compression, "metadata": None}
        writer.write(full, description=APERIO, **tiled)
        writer.write(full[::4, ::4], photometric="rgb", metadata=None, description="Aperio Image Library\r\nthumbnail")
        writer.write(full[::2, ::2], description="Aperio Image Library\r\n900x700 -> 450x350", **tiled)
        writer.write(full[:99, :88], photometric="rgb", metadata=None, subfiletype=1,
                     description="Aperio Image Library\r\nlabel 88x99")  # fmt: skip
        writer.write(full[:50, :120], photometric="rgb", metadata=None, subfiletype=9,
                     description="Aperio Image Library\r\nmacro 120x50")  # fmt: skip
    return full


def block_place(path: Path, number: int, *, page: int = 0) -> tuple[int, int]:
    """Place and length of a strip or tile."""
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[page].dataoffsets[number], tiff.pages[page].databytecounts[number]


def change(path: Path, edit: Callable[[bytearray], object], *, to: Path | None = None) -> Path:
    """Change the bytes of a file, or of its copy."""
    data = bytearray(path.read_bytes())
    edit(data)
    target = to or path
    target.write_bytes(data)
    return target


def forget_block(path: Path, number: int, *, page: int = 0) -> None:
    """Make a tile one that was never stored: no place, no bytes."""
    with tifffile.TiffFile(path) as tiff:
        tags = [tiff.pages[page].tags[code] for code in (324, 325)]
        spots = [
            (tag.valueoffset + number * tag.valuebytecount // tag.count, tag.valuebytecount // tag.count)
            for tag in tags
        ]

    def edit(data: bytearray) -> None:
        for place, length in spots:
            data[place : place + length] = bytes(length)

    change(path, edit)
