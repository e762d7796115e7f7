"""Open a slide, whatever it is; and tell slides from images."""

from __future__ import annotations

import os
from pathlib import Path

from dgno.errors import InputError
from dgno.io.block_slide import CACHE_BYTES
from dgno.io.limits import DEFAULT_LIMITS, Limits
from dgno.io.opening import open_input
from dgno.io.slide import OnBadTile, Slide
from dgno.io.slide_tiff import TiffSlide
from dgno.io.tiff_structure import NDPI, SUB_DIRECTORIES, TILES, Directory, Structure

StrPath = str | os.PathLike[str]
WIDTH, HEIGHT, PHOTOMETRIC, SAMPLES = 256, 257, 262, 277
LARGE = 2**26  # px of a plane above which an image is read as a slide


def open_slide(
    path: StrPath,
    *,
    on_bad_tile: OnBadTile = "fail",
    limits: Limits = DEFAULT_LIMITS,
    cache_bytes: int = CACHE_BYTES,
) -> Slide:
    """The slide at `path`: a TIFF file, what OpenSlide reads, or the folder of an OME-Zarr. Close it, or use `with`.

    on_bad_tile : "fail": a broken tile raises UnreadableInput with its place; "mask": it comes as `fill`, and is
        listed in `bad_tiles`
    limits : `pixels` bounds single pieces, not the slide
    cache_bytes : decoded pieces that are kept
    Every failure is an InputError or OutOfMemory that names the file.
    """
    with open_input(Path(path)) as opened:
        return TiffSlide(opened, on_bad_tile=on_bad_tile, limits=limits, cache_bytes=cache_bytes)


def is_slide(path: StrPath, *, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Is this to be read as a slide: of a scanner, tiled, a pyramid, larger than 2^26 px a plane, or an OME-Zarr?

    Goes by the contents. False for what cannot be opened at all: reading it as an image says why.
    """
    try:
        with open_input(Path(path)) as opened:
            if opened.format != "tiff":
                return False
            structure = Structure(opened.file, opened.size, limits)
            return _is_tiff_slide(structure, structure.first)
    except InputError:
        return False


def _is_tiff_slide(structure: Structure, page: Directory) -> bool:
    def value(tag: int) -> int:
        numbers = structure.integers(page[tag]).tolist() if tag in page else []
        return int(numbers[0]) if numbers else 0

    if NDPI in page or structure.description().startswith(b"Aperio") or value(WIDTH) * value(HEIGHT) > LARGE:
        return True
    is_pyramid = SUB_DIRECTORIES in page
    has_alpha = value(PHOTOMETRIC) == 2 and value(SAMPLES) == 4
    return is_pyramid or (TILES in page and not has_alpha and value(PHOTOMETRIC) != 3)
