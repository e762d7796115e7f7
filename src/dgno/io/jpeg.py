"""JPEG (ITU T.81): segments are read here, pixels are decoded and encoded by libjpeg-turbo (imagecodecs).

libjpeg fills what is missing with gray and says nothing, so the end of the file is looked for before decoding.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import imagecodecs
import numpy as np

from dgno.arrays import Image
from dgno.errors import OutputFormat, TruncatedInput, UnreadableInput, UnsupportedCodec, UnsupportedInput
from dgno.io import exif, pixel_size
from dgno.io.limits import Limits, check_ratio, check_size
from dgno.io.opening import Opened
from dgno.stored import Stored

FRAMES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC9: "arithmetic", 0xCA: "arithmetic progressive"}
OTHER_FRAMES = {0xC3: "lossless", 0xC5: "differential", 0xC6: "differential", 0xC7: "differential", 0xCB: "lossless"}
START, END, SCAN, COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
APP0, APP1, APP2 = 0xE0, 0xE1, 0xE2
LONGEST_SIDE = 65_500  # of libjpeg
MOST_SCANS = 200  # a progressive image has about ten; thousands over a large image would take hours
MOST_SEGMENTS = 100_000
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not: filled bytes (0, 0xFF), restart markers (0xD0 to 0xD7)
UNITS = {1: pixel_size.INCH, 2: pixel_size.CENTIMETRE}  # of JFIF, by number
LENGTHS, MOST = {number: pixel_size.UNITS[unit] for number, unit in UNITS.items()}, 0xFFFF
QUALITY = 95
ICC, EXIF = b"ICC_PROFILE\0", b"Exif\0\0"
LONGEST_SEGMENT = 65_533


@dataclass
class Header:
    """What stands before the pixels."""

    width: int = 0
    height: int = 0
    bits: int = 8
    components: int = 0
    density: tuple[int, int, int] = (0, 0, 0)  # unit, x, y
    exif: bytes = b""
    comment: bytes = b""
    icc: list[bytes] = field(default_factory=list)  # number of the piece, one byte, and the piece


def read_jpeg(opened: Opened, limits: Limits) -> Image:
    """The image of a JPEG file: gray or RGB (YCbCr is converted), 8 or 12 bits; the orientation is kept as a tag."""
    data = opened.file.read()
    header = read_header(data)
    if header.components == 4:
        hint = "convert it to RGB first"
        raise UnsupportedInput("a JPEG image in CMYK, whose colours are inks", hint=hint)
    check_size(limits, header.width, header.height)
    check_ratio(limits, header.width * header.height * header.components, len(data))
    pixels = imagecodecs.jpeg8_decode(data)
    unit, x, y = header.density
    size, size_notes = (
        pixel_size.from_density(x, y, LENGTHS[unit], source="JFIF density") if unit in UNITS else (None, ())
    )
    turned = exif.orientation(header.exif)
    return Image(
        pixels,
        "YXS" if pixels.ndim == 3 else "YX",
        (0.0, 2.0**header.bits - 1),
        size,
        icc_profile=b"".join(piece[1:] for piece in sorted(header.icc)) or None,
        notes=(*size_notes, *exif.orientation_note(turned)),
        stored=Stored(
            "jpeg",
            orientation=turned,
            resolution=(x, y, UNITS[unit]) if unit in UNITS else None,
            exif=header.exif,
        ),
    )


def read_header(data: bytes) -> Header:
    """The segments before the pixels; refuses broken, truncated and undecodable files."""
    header, scans = Header(), 0
    for marker, payload in _segments(data):
        if marker in OTHER_FRAMES:
            raise UnsupportedCodec(f"{OTHER_FRAMES[marker]} JPEG", hint="save the image as PNG or TIFF")
        if marker in FRAMES:
            _read_frame(header, payload)
        elif marker in (APP0, APP1, APP2, COMMENT):
            _read_metadata(header, marker, payload)
        scans += marker == SCAN
        if scans > MOST_SCANS:
            raise UnreadableInput(f"a JPEG file of more than {MOST_SCANS} scans")
    if not (header.width and header.height and header.components and scans):
        raise UnreadableInput("a JPEG file without a complete header")
    return header


def check_jpeg(image: Image) -> None:
    """Refuse an image that JPEG cannot hold (OutputFormat)."""
    if image.pixels.dtype not in (np.uint8, np.bool_):
        hint = "write .png, which holds uint16, or .tif"
        raise OutputFormat(f"JPEG holds 8 bits, not {image.pixels.dtype}", hint=hint)
    if image.axes not in ("YX", "YXS") or image.samples not in (1, 3):
        raise OutputFormat(f"JPEG cannot hold axes {image.axes}", hint="write .ome.tif")
    if image.alpha is not None:
        raise OutputFormat("JPEG cannot hold an alpha channel", hint="write .png or .tif")
    if max(image.pixels.shape[:2]) > LONGEST_SIDE:
        raise OutputFormat(f"JPEG cannot hold sides above {LONGEST_SIDE:,} px", hint="write .png or .tif")


def encoded_jpeg(image: Image, provenance: bytes) -> bytes:
    """The file of an image, quality 95 without chroma subsampling; `provenance` is text, stored as a comment."""
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(image.pixels), QUALITY, subsampling="444", optimize=True)
    place = 4 + int.from_bytes(data[4:6], "big") if data[3] == APP0 else 2  # ours replaces the JFIF segment
    return b"".join([data[:2], _jfif(image), *_metadata(image, provenance), data[place:]])


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and payload of every segment up to the end marker; refuses files without one."""
    place = 2
    for _ in range(MOST_SEGMENTS):
        found = MARKER.search(data, place)
        if found is None:
            wanted = f"no end marker within its {len(data):,} bytes"
            raise TruncatedInput("the JPEG file ends before its contents", why=wanted)
        marker, place = data[found.start() + 1], found.end()
        if marker == END:
            return
        length = int.from_bytes(data[place : place + 2], "big")
        if length < 2 or place + length > len(data):
            wanted = f"at least {place + max(length, 2):,} bytes wanted, the file has {len(data):,}"
            raise TruncatedInput("the JPEG file ends before its contents", why=wanted)
        yield marker, data[place + 2 : place + length]
        place += length
    raise UnreadableInput(f"a JPEG file of more than {MOST_SEGMENTS:,} segments")


def _read_frame(header: Header, payload: bytes) -> None:
    if len(payload) < 6 or header.components:
        raise UnreadableInput("the JPEG frame header is broken")
    header.bits, header.height, header.width, header.components = struct.unpack(">BHHB", payload[:6])
    if header.bits not in (8, 12) or header.components not in (1, 3, 4) or 0 in (header.width, header.height):
        why = f"{header.width} x {header.height} px, {header.components} components of {header.bits} bits"
        raise UnreadableInput("the JPEG frame header makes no sense", why=why)


def _read_metadata(header: Header, marker: int, payload: bytes) -> None:
    if marker == APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 12:
        header.density = struct.unpack(">BHH", payload[7:12])
    elif marker == APP1 and payload.startswith(EXIF) and not header.exif:
        header.exif = payload[len(EXIF) :]
    elif marker == APP2 and payload.startswith(ICC):
        header.icc.append(payload[len(ICC) : len(ICC) + 1] + payload[len(ICC) + 2 :])
    elif marker == COMMENT and payload.startswith(b"dgno "):
        header.comment = payload[5:]


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _jfif(image: Image) -> bytes:
    """JFIF 1.01 with pixels an inch or a centimetre; pixels smaller than 0.15 um are more than it can say."""
    density = pixel_size.whole_density(image.pixel_size, image.stored.resolution, LENGTHS, MOST)
    x, y, unit = density or (1, 1, 0)
    return _segment(APP0, b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, x, y, 0, 0))


def _metadata(image: Image, provenance: bytes) -> list[bytes]:
    parts = []
    block = exif.block_of(image)
    if block and len(block) + len(EXIF) <= LONGEST_SEGMENT:
        parts.append(_segment(APP1, EXIF + block))
    profile, step = image.icc_profile or b"", LONGEST_SEGMENT - len(ICC) - 2
    pieces = [profile[at : at + step] for at in range(0, len(profile), step)]
    parts += [_segment(APP2, ICC + bytes([i + 1, len(pieces)]) + piece) for i, piece in enumerate(pieces)]
    if provenance:
        parts.append(_segment(COMMENT, b"dgno " + provenance[: LONGEST_SEGMENT - 5]))
    return parts
