"""Read and write images: TIFF, BigTIFF, OME-TIFF, ImageJ hyperstacks, PNG, JPEG, BMP.

Reading goes by the contents of a file, not by its name, and gives all or an error of ours. Writing is atomic and
lossless (JPEG excepted), and what is written is read back and compared before it takes its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

from dgno.arrays import Image
from dgno.errors import ConfigError, InputError, OutputError
from dgno.io.atomic import write_atomically
from dgno.io.bmp import encoded_bmp, read_bmp
from dgno.io.jpeg import encoded_jpeg, read_jpeg
from dgno.io.limits import DEFAULT_LIMITS, Limits, check_file
from dgno.io.opening import Opened, extension_note, open_input
from dgno.io.output import check_output, losses
from dgno.io.png import encoded_png, read_png
from dgno.io.provenance import encoded
from dgno.io.tiff_read import read_tiff
from dgno.io.tiff_write import Compression, write_tiff

StrPath = str | os.PathLike[str]
UNLIMITED = Limits(
    pixels=2**60, ratio_bytes=2**60, tag_bytes=2**40, metadata_bytes=2**40, channels=2**31, file_bytes=2**60
)
BILEVEL = "true and false are written as 255 and 0"
FAULT = "this is a fault of the disk or of dgno; please report it"

__all__ = ["check_output", "read_image", "read_images", "write_image", "write_images"]


def read_images(path: StrPath, *, limits: Limits = DEFAULT_LIMITS) -> list[Image]:
    """All images of a file at full resolution; formats other than TIFF have one.

    Pages of one size make one image with axes; pages of several sizes make several. Pyramid levels, thumbnails, label
    and macro pictures of slides are left out. Pixels come as stored, in their own dtype; what was changed or guessed
    is in `notes`. The orientation is kept as a tag. Every failure is an InputError or OutOfMemory that names the file.
    """
    with open_input(path) as opened:
        images = _decoded(opened, limits)
        notes = extension_note(opened.path, opened.format)
    return [replace(image, notes=(*notes, *image.notes)) for image in images]


def read_image(path: StrPath, *, limits: Limits = DEFAULT_LIMITS) -> Image:
    """The first image of a file, with a note if it has more; see `read_images`."""
    images = read_images(path, limits=limits)
    note = () if len(images) == 1 else (f"the first of the {len(images)} images of the file",)
    return replace(images[0], notes=(*note, *images[0].notes))


def write_images(
    path: StrPath,
    images: Sequence[Image],
    *,
    overwrite: bool = False,
    inputs: Iterable[StrPath] = (),
    compression: Compression = "deflate",
    provenance: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Write images to one file, in the format that its name asks for; several need TIFF.

    overwrite : replace a file of that name
    inputs : files that are never replaced, whatever name leads to them
    compression : of TIFF: "deflate", "lzw", "zstd" or "none"; ImageJ files are never compressed
    provenance : what made the images, by key; see `read_provenance`
    Returns notes on what the format does not keep. Every failure is an OutputError or OutOfMemory; then nothing has
    changed on the disk. Equal arguments give equal bytes.
    """
    if not images:
        raise ConfigError("there is no image to write")
    path, notes = Path(path), [BILEVEL for image in images if image.pixels.dtype == bool]
    images = [storable(image) for image in images]
    kind = check_output(path, images=images, inputs=inputs, overwrite=overwrite)
    notes += [note for image in images for note in losses(image, kind)]

    def write(file: BinaryIO) -> None:
        if kind.endswith("tiff"):
            write_tiff(file, images, kind, compression=compression, provenance=provenance)
        else:
            file.write(_encoded(images[0], kind, encoded(provenance)))

    write_atomically(path, write, lambda temporary: _check_written(temporary, images, kind))
    return tuple(dict.fromkeys(notes))


def write_image(
    path: StrPath,
    image: Image,
    *,
    overwrite: bool = False,
    inputs: Iterable[StrPath] = (),
    compression: Compression = "deflate",
    provenance: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Write one image; see `write_images`."""
    return write_images(
        path, [image], overwrite=overwrite, inputs=inputs, compression=compression, provenance=provenance
    )


def _decoded(opened: Opened, limits: Limits) -> list[Image]:
    if opened.format == "tiff":
        return read_tiff(opened, limits)
    check_file(limits, opened.size)
    return [{"png": read_png, "jpeg": read_jpeg, "bmp": read_bmp}[opened.format](opened, limits)]


def storable(image: Image) -> Image:
    """The image as files hold it: true and false become 255 and 0."""
    if image.pixels.dtype != bool:
        return image
    alpha = image.alpha.astype(np.uint8) * 255 if image.alpha is not None else None
    return replace(image, pixels=image.pixels.astype(np.uint8) * 255, alpha=alpha, value_range=(0.0, 255.0))


def _encoded(image: Image, kind: str, provenance: bytes) -> bytes:
    if kind == "bmp":
        return encoded_bmp(image, provenance)
    return encoded_png(image, provenance) if kind == "png" else encoded_jpeg(image, provenance)


def _check_written(path: Path, images: Sequence[Image], kind: str) -> None:
    """Read back what was written: the same pixels and alpha, in the same dtype (JPEG: the same shape)."""
    try:
        with open_input(path) as opened:
            found = _decoded(opened, UNLIMITED)
    except InputError as error:
        raise OutputError("what was written cannot be read back", why=error.why or error.what, hint=FAULT) from error
    if len(found) != len(images) or not all(_is_same(a, b, kind) for a, b in zip(found, images, strict=True)):
        raise OutputError("what was written does not read back the same", hint=FAULT)


def _is_same(found: Image, image: Image, kind: str) -> bool:
    """Axes of length 1 are dropped by reading, and the alpha of gray images in BMP makes them colour images."""
    pixels = image.pixels
    if kind == "bmp" and image.alpha is not None and not image.is_colour:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    pairs = [(found.pixels, pixels)]
    if image.alpha is not None and found.alpha is not None:
        pairs.append((found.alpha, image.alpha))
    if (found.alpha is None) != (image.alpha is None) or any(a.dtype != b.dtype or a.size != b.size for a, b in pairs):
        return False
    return kind == "jpeg" or all(np.array_equal(_bytes(a), _bytes(b)) for a, b in pairs)


def _bytes(array: np.ndarray) -> UInt8[np.ndarray, " n"]:
    """The bytes of an array, so that NaN equals NaN and -0.0 is not 0.0."""
    return np.ascontiguousarray(array).ravel().view(np.uint8)
