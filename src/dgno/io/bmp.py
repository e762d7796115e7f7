"""BMP, read and written here: the versions of Windows 2 to 5 and OS/2, palettes, RLE, and channels of any bits up to 8.

Libraries were tried and left: imagecodecs divides by zero on a legal file with a channel of 0 bits, which ends the
process, and Pillow drops some alpha channels without a word and refuses 12 readable ones of our 66 odd files.
The layout is that of `BITMAPFILEHEADER` and `BITMAPV5HEADER` in the Windows documentation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from dgno.arrays import Image
from dgno.errors import OutputFormat, TruncatedInput, UnreadableInput, UnsupportedCodec, UnsupportedInput
from dgno.io import pixel_size
from dgno.io.colour import apply_palette, is_identity, joined, palette_note, split_alpha, widened
from dgno.io.limits import Limits, check_ratio, check_size
from dgno.io.opening import Opened
from dgno.io.run_length import decoded_runs
from dgno.stored import Stored

OS2_1 = 12
INFO_SIZES = (OS2_1, 16, 40, 52, 56, 64, 108, 124)
PLAIN, RLE8, RLE4, BITFIELDS, JPEG, PNG, ALPHA_BITFIELDS = range(7)
HUFFMAN_OS2, RLE24_OS2 = 3, 4
SUPPORTED_BITS = (1, 2, 4, 8, 16, 24, 32)
MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
EMBEDDED = b"DEBM"  # 'MBED', the least significant byte first
UNITS, MOST = {1: pixel_size.METRE}, 2**31 - 1  # the unit of densities, and the largest
LONGEST_FILE = 2**32 - 1
OURS = b"dgno "  # begins what we write between palette and pixels, which a header may leave out of account


@dataclass(frozen=True)
class Header:
    """What stands before the pixels; offsets in bytes from the start of the file."""

    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    pixels_at: int
    palette_at: int
    colours: int
    entry: int
    masks: tuple[int, int, int, int]
    density: tuple[int, int]
    icc: tuple[int, int]


def read_bmp(opened: Opened, limits: Limits) -> Image:
    """The image of a BMP file: gray, RGB or RGBA of 8 bits; palettes and fewer bits are expanded with a note."""
    data = opened.file.read(LONGEST_FILE)
    header = read_header(data)
    check_size(limits, header.width, header.height)
    check_ratio(limits, header.width * header.height, len(data))
    notes: list[str] = []
    if header.bits <= 8:
        pixels = _through_palette(_indices(data, header, notes), data, header, notes)
    else:
        pixels = _direct(data, header, notes)
    pixels = pixels if header.top_down else pixels[::-1]
    pixels, letter, alpha = split_alpha(pixels if pixels.ndim == 3 else pixels[..., None])
    size, size_notes = (
        pixel_size.from_density(*header.density, pixel_size.METRE, source="BMP") if any(header.density) else (None, ())
    )
    return Image(
        pixels,
        "YX" + letter,
        (0.0, 255.0),
        size,
        icc_profile=data[header.icc[0] : sum(header.icc)] or None,
        alpha=alpha,
        notes=(*notes, *size_notes),
        stored=Stored("bmp", resolution=pixel_size.per_centimetre(*header.density)),
    )


def read_header(data: bytes) -> Header:
    """The header of a BMP file; refuses what makes no sense and what no decoder knows."""
    info_size = _number(data, 14, 4)
    if info_size not in INFO_SIZES:
        raise UnreadableInput(f"a BMP header of {info_size} bytes", why=f"known are {INFO_SIZES}")
    end = 14 + info_size
    if end > len(data):
        raise _truncated(end, data)
    if info_size == OS2_1:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        fields = (0, 0, 0, 0, 0)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
        fields = struct.unpack_from("<IIiiI", data, 30) if info_size >= 40 else (0, 0, 0, 0, 0)
    compression, _, x, y, colours = fields
    _check_kind(info_size, width, height, bits, compression)
    masks, end = _masks(data, info_size, bits, compression, end)
    return Header(
        width,
        abs(height),
        height < 0,
        bits,
        compression,
        _number(data, 10, 4),
        end,
        (colours or 2**bits) if bits <= 8 else 0,
        3 if info_size == OS2_1 else 4,
        masks,
        (x, y),
        _profile(data, info_size),
    )


def _check_kind(info_size: int, width: int, height: int, bits: int, compression: int) -> None:
    if width <= 0 or height == 0 or bits not in SUPPORTED_BITS:
        raise UnreadableInput("the BMP header makes no sense", why=f"{width} x {height} px of {bits} bits")
    os2 = info_size in (16, 64)
    if (os2 and compression in (HUFFMAN_OS2, RLE24_OS2)) or compression in (JPEG, PNG) or compression > ALPHA_BITFIELDS:
        names = {HUFFMAN_OS2: "Huffman", RLE24_OS2: "RLE24"} if os2 else {JPEG: "JPEG", PNG: "PNG"}
        name = names.get(compression, f"number {compression}")
        raise UnsupportedCodec(f"BMP compression {name}", hint="save the image uncompressed, or as PNG")
    wanted = {RLE8: (8,), RLE4: (4,), BITFIELDS: (16, 32), ALPHA_BITFIELDS: (16, 32)}.get(compression, SUPPORTED_BITS)
    if bits not in wanted:
        raise UnreadableInput("the BMP header makes no sense", why=f"compression {compression} of {bits} bits")


def _masks(data: bytes, info_size: int, bits: int, compression: int, end: int) -> tuple[tuple[int, int, int, int], int]:
    """Bit masks of red, green, blue and alpha, and where the header ends: old headers have them behind it."""
    if compression not in (BITFIELDS, ALPHA_BITFIELDS):
        return MASKS.get(bits, (0, 0, 0, 0)), end
    count = 4 if compression == ALPHA_BITFIELDS or info_size >= 56 else 3
    if 54 + 4 * count > len(data):
        raise _truncated(54 + 4 * count, data)
    masks = struct.unpack_from(f"<{count}I", data, 54) + (0,) * (4 - count)
    for mask in masks:
        if mask.bit_count() > 8:
            raise UnsupportedInput("a BMP image of more than 8 bits a channel", hint="save it as PNG or TIFF")
        if mask & (mask + (mask & -mask)) or mask >> bits:
            raise UnreadableInput("the BMP header makes no sense", why=f"bit mask {mask:#x} in {bits} bits")
    return masks, end if info_size > 40 else 54 + 4 * count


def _profile(data: bytes, info_size: int) -> tuple[int, int]:
    """Place and length of an embedded ICC profile."""
    if info_size < 124 or data[70:74] != EMBEDDED:
        return 0, 0
    place, length = struct.unpack_from("<II", data, 126)
    return (14 + place, length) if 14 + place + length <= len(data) else (0, 0)


def _indices(data: bytes, header: Header, notes: list[str]) -> UInt8[np.ndarray, "h w"]:
    """Palette indices, first row of the file first."""
    if header.compression in (RLE8, RLE4):
        indices, missing = decoded_runs(data[header.pixels_at :], header.width, header.height, header.bits)
        if missing:
            notes.append(f"{missing} px that the file leaves out have the first colour of its palette")
        return indices
    rows = _rows(data, header)
    if header.bits == 8:
        return rows[:, : header.width]
    places = np.arange(8 - header.bits, -1, -header.bits, dtype=np.uint8)
    values: np.ndarray = (rows[..., None] >> places) & np.uint8(2**header.bits - 1)
    return values.reshape(len(rows), -1)[:, : header.width]


def _through_palette(indices: UInt8[np.ndarray, "h w"], data: bytes, header: Header, notes: list[str]) -> np.ndarray:
    end = header.palette_at + header.colours * header.entry
    if end > len(data):
        raise UnreadableInput(f"a BMP palette of {header.colours:,} colours does not fit into the file")
    entries = np.frombuffer(data[header.palette_at : end], np.uint8).reshape(-1, header.entry)[: 2**header.bits]
    if (largest := int(indices.max())) >= len(entries):
        raise UnreadableInput(f"a pixel has colour {largest} of a palette of {len(entries)}")
    palette = entries[:, 2::-1]  # blue comes first
    if not is_identity(palette):
        notes.append(palette_note(palette) if header.bits > 1 else "1-bit image expanded to 8 bits")
    return apply_palette(indices, palette)


def _direct(data: bytes, header: Header, notes: list[str]) -> UInt8[np.ndarray, "h w c"]:
    """RGB or RGBA of pixels without palette."""
    rows = _rows(data, header)
    if header.bits == 24:
        return rows[:, : 3 * header.width].reshape(len(rows), -1, 3)[..., ::-1]
    words = rows.view("<u2" if header.bits == 16 else "<u4")[:, : header.width]
    masks = header.masks if header.masks[3] else header.masks[:3]
    if any(mask.bit_count() != 8 for mask in masks):
        notes.append("channels of fewer than 8 bits expanded to 8 bits")
    channels = [widened((words & mask) >> max(_lowest(mask), 0), mask.bit_count()) for mask in masks]
    return np.stack(channels, axis=-1)


def _rows(data: bytes, header: Header) -> UInt8[np.ndarray, "h stride"]:
    """The bytes of every row, padded to 4."""
    stride = (header.width * header.bits + 31) // 32 * 4
    end = header.pixels_at + stride * header.height
    if end > len(data):
        raise _truncated(end, data)
    return np.frombuffer(data[header.pixels_at : end], np.uint8).reshape(header.height, stride)


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _number(data: bytes, place: int, size: int) -> int:
    if place + size > len(data):
        raise _truncated(place + size, data)
    return int.from_bytes(data[place : place + size], "little")


def _truncated(wanted: int, data: bytes) -> TruncatedInput:
    why = f"at least {wanted:,} bytes wanted, the file has {len(data):,}"
    return TruncatedInput("the BMP file ends before its contents", why=why)


def check_bmp(image: Image) -> None:
    """Refuse an image that BMP cannot hold (OutputFormat)."""
    if image.pixels.dtype not in (np.uint8, np.bool_):
        raise OutputFormat(
            f"BMP holds 8 bits, not {image.pixels.dtype}", hint="write .png, which holds uint16, or .tif"
        )
    if image.axes not in ("YX", "YXS") or image.samples not in (1, 3):
        raise OutputFormat(f"BMP cannot hold axes {image.axes}", hint="write .ome.tif")
    if image.alpha is not None and image.alpha_kind == "premultiplied":
        raise OutputFormat("BMP cannot hold colours that are multiplied by their alpha", hint="write .tif")
    if image.stored.orientation != 1:
        raise OutputFormat("BMP cannot hold the orientation of this image", hint="write .png, .jpg or .tif")
    if image.pixels.size + (image.alpha.size if image.alpha is not None else 0) > LONGEST_FILE // 2:
        raise OutputFormat("BMP cannot hold an image of this size", hint="write .tif")


def text_of(data: bytes) -> bytes | None:
    """The provenance that `encoded_bmp` was given; None if this is not its file."""
    header = read_header(data)
    between = data[header.palette_at + header.colours * header.entry : header.pixels_at]
    if not between.startswith(OURS):
        return None
    _rows(data, header)  # refuses a file that was cut off
    return between.removeprefix(OURS)


def encoded_bmp(image: Image, provenance: bytes) -> bytes:
    """The file of an image: 8 bits with a palette of grays, 24 bits, or 32 bits with an alpha mask (version 4).

    provenance : text, stored between palette and pixels
    """
    samples = joined(image.pixels, image.axes, image.alpha)
    if samples.shape[-1] == 2:
        samples = samples[..., [0, 0, 0, 1]]
    if samples.shape[-1] >= 3:
        samples = samples[..., [2, 1, 0, 3][: samples.shape[-1]]]  # blue comes first
    height, width, count = samples.shape
    rows = np.zeros((height, (width * count + 3) // 4 * 4), np.uint8)
    rows[:, : width * count] = samples[::-1].reshape(height, -1)
    extra = b"".join(bytes([gray, gray, gray, 0]) for gray in range(256)) if count == 1 else b""
    info_size, compression = (108, BITFIELDS) if count == 4 else (40, PLAIN)
    density = pixel_size.whole_density(image.pixel_size, image.stored.resolution, UNITS, MOST)
    x, y, _ = density or (0, 0, 1)
    info = struct.pack("<IiiHHIIiiII", info_size, width, height, 1, 8 * count, compression, rows.size, x, y, 0, 0)
    if count == 4:
        info += struct.pack("<IIII4s48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")  # sRGB
    if provenance:
        extra += OURS + provenance + b" " * (-len(OURS + provenance) % 4)
    start = 14 + len(info) + len(extra)
    return b"".join([struct.pack("<2sIHHI", b"BM", start + rows.size, 0, 0, start), info, extra, rows.tobytes()])
