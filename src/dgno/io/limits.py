"""How large an input may be. All of it is checked from headers, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from dgno.errors import InputTooLarge


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read.

    pixels : of one image in memory, over all its planes
    side : rows or columns
    channels : channels, or samples of a pixel
    directories : a TIFF file has fewer pages than this
    tags, tag_bytes : entries of one TIFF directory, and bytes of one of them
    ratio, ratio_bytes : decoded by encoded bytes of a strip, tile or stream that decodes to more than `ratio_bytes`
        (a small block harms nobody, and a black one is legal: deflate reaches 1030)
    metadata_bytes : an OME-XML, EXIF or ICC block
    file_bytes : a file of a format that is read as a whole (PNG, JPEG, BMP)
    """

    pixels: int = 2**29
    side: int = 2**31 - 1
    channels: int = 64
    directories: int = 100_000
    tags: int = 4096
    tag_bytes: int = 2**26
    ratio: float = 1000.0
    ratio_bytes: int = 2**26
    metadata_bytes: int = 2**24
    file_bytes: int = 2**32


DEFAULT_LIMITS = Limits()


def check_size(limits: Limits, width: int, height: int, *, planes: int = 1, samples: int = 1) -> None:
    """Refuse images beyond the limits (InputTooLarge)."""
    pixels = width * height * planes
    if pixels > limits.pixels:
        stack = f" x {planes} planes" if planes > 1 else ""
        what = f"{width} x {height}{stack} is {pixels:,} px; the limit is {limits.pixels:,} px"
        raise InputTooLarge(what, hint="cut the image, or restore it with --max-pixels if there is memory")
    if max(width, height) > limits.side:
        raise InputTooLarge(f"{width} x {height} px; the longest side allowed is {limits.side:,} px")
    if samples > limits.channels:
        raise InputTooLarge(f"{samples} channels; the limit is {limits.channels}")


def check_file(limits: Limits, size: int) -> None:
    """Refuse files that would be read as a whole, and are too large for that (InputTooLarge); size in bytes."""
    if size > limits.file_bytes:
        raise InputTooLarge(f"a file of {size:,} bytes; the limit is {limits.file_bytes:,}", hint="save it as TIFF")


def check_ratio(limits: Limits, decoded: int, encoded: int) -> None:
    """Refuse a block that would grow too much when decoded (InputTooLarge); sizes in bytes."""
    if decoded > limits.ratio_bytes and decoded > limits.ratio * encoded:
        what = f"a block of {encoded:,} bytes would decode to {decoded:,}, more than {limits.ratio:.0f} times as much"
        hint = "files that do so are made to fill memory; save the image again if you trust it"
        raise InputTooLarge(what, hint=hint)
