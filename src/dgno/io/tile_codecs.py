"""Tiles as bytes: the compressions that slides are written in, and the order in which threads give them back.

Integers of 8 and 16 bits are stored as differences in TIFF (predictor 2, which all readers know).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import imagecodecs
import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Plane
from dgno.io.pyramid import TILE, Grid
from dgno.io.slide import SlideFacts
from dgno.io.tiff_write import CODECS, DEFLATE_LEVEL

SlideCompression = Literal["deflate", "lzw", "zstd", "none", "jpeg"]
ZSTD_LEVEL = 9
CHECKED = 16  # tiles of a level that are read back: the first, the last, and others at equal steps
AHEAD = 2  # tiles a thread
FAULT = "this is a fault of the disk or of dgno; please report it"
Encode = Callable[[Plane], bytes]

T = TypeVar("T")
R = TypeVar("R")


def padded(pixels: Plane, mode: Literal["constant", "edge"] = "constant") -> Shaped[np.ndarray, "tile tile c"]:
    """The tile in full size; what is added below and to the right is 0, or the edge again."""
    height, width = pixels.shape[:2]
    if (height, width) == (TILE, TILE):
        return np.ascontiguousarray(pixels)
    return np.pad(pixels, ((0, TILE - height), (0, TILE - width), (0, 0)), mode)


def has_predictor(dtype: np.dtype[Any], compression: SlideCompression) -> bool:
    """Are tiles of TIFF stored as differences?"""
    return compression in ("deflate", "lzw", "zstd") and dtype.kind in "ui" and dtype.itemsize <= 2


def tiff_encoder(facts: SlideFacts, compression: SlideCompression, quality: int) -> Encode:
    """What makes the bytes of a tile of TIFF, little endian."""

    def encode(pixels: Plane) -> bytes:
        if compression == "jpeg":
            return jpeg(padded(pixels, "edge"), quality)
        tile = padded(pixels)
        if tile.dtype.byteorder == ">":
            tile = tile.astype(tile.dtype.newbyteorder("<"))
        return compressed(imagecodecs.delta_encode(tile, axis=1) if is_difference else tile, compression)

    is_difference = has_predictor(facts.dtype, compression)
    return encode


def compressed(tile: np.ndarray, compression: SlideCompression) -> bytes:
    """The bytes of an array, as TIFF and Zarr have them in common."""
    data = tile.tobytes()
    if compression == "deflate":
        return bytes(imagecodecs.deflate_encode(data, level=DEFLATE_LEVEL))
    if compression == "zstd":
        return bytes(imagecodecs.zstd_encode(data, level=ZSTD_LEVEL))
    return bytes(imagecodecs.lzw_encode(data)) if compression == "lzw" else data


def jpeg(tile: Plane, quality: int) -> bytes:
    """8 bits: gray, or YCbCr with as many colour samples as pixels."""
    if tile.shape[2] == 1:
        return bytes(imagecodecs.jpeg8_encode(tile[..., 0], level=quality))
    data = imagecodecs.jpeg8_encode(tile, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling="444")
    return bytes(data)


def tiff_arguments(facts: SlideFacts, compression: SlideCompression) -> dict[str, Any]:  # Any: arguments of tifffile
    """What tifffile must know of tiles that come encoded."""
    if compression == "jpeg":
        return {"compression": "jpeg"} | ({"subsampling": (1, 1)} if facts.samples == 3 else {})
    return {"compression": CODECS[compression], "predictor": 2 if has_predictor(facts.dtype, compression) else None}


def in_order(work: Callable[[T], R], items: Iterable[T], pool: ThreadPoolExecutor | None, ahead: int) -> Iterator[R]:
    """`work` of each item in order, done by the threads of the pool, up to `ahead` items before they are asked for."""
    if pool is None:
        yield from map(work, items)
        return
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def checked_tiles(grid: Grid) -> frozenset[int]:
    """The numbers of the tiles that are read back."""
    return frozenset(int(number) for number in np.linspace(0, grid.count - 1, min(CHECKED, grid.count)))


def hash_of(pixels: np.ndarray) -> str:
    """The SHA-256 of pixels in the order of their axes."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
