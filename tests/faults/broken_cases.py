"""RELIABILITY 3A as a table: one line, one case. See test_broken_files.py."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from dgno.arrays import Image
from dgno.io.image import write_image
from dgno.io.limits import DEFAULT_LIMITS, Limits

PIXELS = (np.arange(24 * 20).reshape(24, 20) * 7 % 251).astype(np.uint8)
COLOURS = np.stack([PIXELS, PIXELS.T.reshape(24, 20), 255 - PIXELS], -1)


@dataclass(frozen=True)
class Case:
    """`make` writes a file; reading it must give `code`, and an error that says `text`."""

    id: str
    name: str
    make: Callable[[Path], object]
    code: str
    text: str = ""
    limits: Limits = DEFAULT_LIMITS


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 0, end: bool = True) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + (chunk(b"IEND", b"") if end else b"")


def deflated(size: int) -> bytes:
    """`size` zeros, deflated piece by piece."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(min(2**24, size - at))) for at in range(0, size, 2**24)) + packer.flush()


def tiff(*entries: tuple[int, int, int, int], at: int = 8, following: int = 0, body: bytes = b"") -> bytes:
    """A little-endian file: header, `body`, and one directory of (tag, type, count, value) at its end."""
    start = at + len(body)
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        b"II*\0"
        + struct.pack("<I", start)
        + body
        + struct.pack("<H", len(entries))
        + packed
        + struct.pack("<I", following)
    )


def gray(width: int, height: int, **tags: int) -> list[tuple[int, int, int, int]]:
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: width * height}
    values |= {int(name[1:]): value for name, value in tags.items()}
    return [(code, 4, 1, value) for code, value in sorted(values.items())]


def many_pages(count: int) -> bytes:
    """A chain of `count` pages of one pixel each."""
    entries = b"".join(struct.pack("<HHII", *entry) for entry in gray(1, 1))
    size = 2 + len(entries) + 4
    heads = struct.pack("<H", 9) + entries
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + b"".join(heads + struct.pack("<I", 8 + (i + 1) * size if i < count - 1 else 0) for i in range(count))
    )


def bmp(width: int, height: int, *, bits: int = 8, compression: int = 0, body: bytes = b"", colours: int = 0) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    palette = bytes(4 * (colours or 2**bits)) if bits <= 8 else b""
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + len(palette)) + info + palette + body


def jpeg(*segments: tuple[int, bytes], end: bool = True) -> bytes:
    parts = [struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload for marker, payload in segments]
    return b"\xff\xd8" + b"".join(parts) + (b"\xff\xd9" if end else b"")


def frame(width: int, height: int, components: int = 1, bits: int = 8) -> bytes:
    return struct.pack(">BHHB", bits, height, width, components) + b"\1\x11\0" * components


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def cmyk_jpeg(path: Path) -> None:
    Pillow.new("CMYK", (9, 8)).save(path)


def sparse_bigtiff(path: Path) -> None:
    """5 GiB of which the disk holds nothing: one page of 80,000 x 64,000 px."""
    size = 80_000 * 64_000
    fields = {256: 80_000, 257: 64_000, 258: 8, 259: 1, 262: 1, 273: 4096, 277: 1, 278: 64_000, 279: size}
    directory = struct.pack("<Q", len(fields)) + b"".join(struct.pack("<HHQQ", k, 16, 1, v) for k, v in fields.items())
    path.write_bytes(b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + directory + bytes(8))
    os.truncate(path, 4096 + size)


WRONG = b"\xff\xfe this is no image at all "
JPEG_HEADER = ((0xC0, frame(9, 8)), (0xDA, b"\1\1\0\0\x3f\0"))
CASES = [
    Case("A01", "empty.tif", data(b""), "E-IN-EMPTY", "0 bytes"),
    Case("A01", "empty.png", data(b""), "E-IN-EMPTY"),
    Case("A01", "empty.jpg", data(b""), "E-IN-EMPTY"),
    Case("A01", "empty.svs", data(b""), "E-IN-EMPTY"),
    Case("A02", "magic only.tif", data(b"II*\0"), "E-IN-TRUNC"),
    Case("A02", "half a magic.png", data(b"\x89PNG"), "E-IN-TRUNC", "ends after 4 bytes, inside its signature"),
    Case(
        "A02",
        "directory behind the end.tif",
        data(b"II*\0" + struct.pack("<I", 999)),
        "E-IN-TRUNC",
        "1,001 bytes wanted",
    ),
    Case(
        "A02",
        "strip behind the end.tif",
        data(tiff(*gray(9, 9, t273=1000), body=bytes(81))),
        "E-IN-TRUNC",
        "1,081 bytes",
    ),
    Case("A03", "no end.png", data(png(9, 8, zlib.compress(bytes(80)), end=False)), "E-IN-TRUNC"),
    Case("A03", "no end.jpg", data(jpeg(*JPEG_HEADER, end=False)), "E-IN-TRUNC", "no end marker"),
    Case("A03", "too few rows.png", data(png(9, 8, zlib.compress(bytes(50)))), "E-IN-CORRUPT"),
    Case("A03", "too few rows.bmp", data(bmp(9, 8, body=bytes(50))), "E-IN-TRUNC", "1,174 bytes wanted"),
    Case("A04", "a text.png", data(b"this is\na text"), "E-IN-FORMAT", 'it begins with the text "this is a text"'),
    Case("A04", "broken.svs", data(b"\xb9\x3f\0\1 rubbish"), "E-IN-FORMAT", "the bytes b9 3f 00 01 20 72 75 62; "),
    Case("A04", "a text.tif", data(WRONG), "E-IN-FORMAT", r"dgno reads TIFF.*slides \(SVS, NDPI.*OME-Zarr"),
    Case("A04", "slide.tif", data(b"ZISRAWFILE" + bytes(99)), "E-IN-FORMAT", "a Zeiss CZI file"),
    Case("A04", "scan.tif", data(bytes(128) + b"DICM"), "E-IN-FORMAT", "DICOM"),
    Case("A04", "film.png", data(b"GIF89a" + bytes(99)), "E-IN-FORMAT", "GIF"),
    Case("A06", "loop of one.tif", data(tiff(*gray(1, 1), following=8)), "E-IN-CORRUPT", "form a loop"),
    Case("A06", "loop of subdirectories.tif", data(tiff(*gray(1, 1), (330, 4, 1, 8))), "E-IN-CORRUPT", "form a loop"),
    Case(
        "A06", "100,000 pages.tif", lambda path: path.write_bytes(many_pages(100_000)), "E-IN-CORRUPT", "100,000 pages"
    ),
    Case(
        "A06",
        "65,535 tags.tif",
        data(b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(12 * 65535 + 4)),
        "E-IN-CORRUPT",
        "65,535 tags",
    ),
    Case("A06", "no tags.tif", data(b"II*\0" + struct.pack("<IHI", 8, 0, 0)), "E-IN-CORRUPT", "0 tags"),
    Case("A06", "no pages.tif", data(b"II*\0" + bytes(4)), "E-IN-CORRUPT", "without images"),
    Case(
        "A06", "2^32 bytes.tif", data(tiff(*gray(1, 1), (700, 7, 2**32 - 1, 8))), "E-IN-CORRUPT", "4,294,967,295 bytes"
    ),
    Case(
        "A06",
        "2^32 strips.tif",
        data(tiff(*gray(1, 1)[:5], (273, 4, 2**32 - 1, 8))),
        "E-IN-CORRUPT",
        "17,179,869,180 bytes",
    ),
    Case(
        "A06",
        "2^63 bytes.tif",
        data(b"II+\0" + struct.pack("<HHQQHHQQQ", 8, 0, 16, 1, 270, 2, 2**63, 0, 0)),
        "E-IN-CORRUPT",
    ),
    Case("A06", "no size.tif", data(tiff((259, 4, 1, 1), (273, 4, 1, 8))), "E-IN-CORRUPT"),
    Case("A06", "no strips.tif", data(tiff(*gray(9, 9)[:5])), "E-IN-CORRUPT"),
    Case("A06", "empty strip.tif", data(tiff(*gray(9, 9, t279=0), body=bytes(81))), "E-IN-CORRUPT", "have no data"),
    Case("A06", "short strip.tif", data(tiff(*gray(9, 9, t279=80, t259=32773), body=b"\x81\0" * 40)), "E-IN-CORRUPT"),
    Case(
        "A07",
        "60,000 squared.png",
        lambda path: path.write_bytes(png(60_000, 60_000, deflated(10**6))),
        "E-IN-TOOLARGE",
        "3,600,000,000 px.*--max-pixels",
    ),
    Case(
        "A07",
        "gray bomb.png",
        lambda path: path.write_bytes(png(20_000, 20_000, deflated(20_001 * 20_000))),
        "E-IN-TOOLARGE",
        "1000 times",
    ),
    Case(
        "A07",
        "60,000 squared.jpg",
        data(jpeg((0xC0, frame(60_000, 60_000)), JPEG_HEADER[1])),
        "E-IN-TOOLARGE",
        "--max-pixels",
    ),
    Case(
        "A07",
        "20,000 squared.jpg",
        data(jpeg((0xC0, frame(20_000, 20_000)), JPEG_HEADER[1])),
        "E-IN-TOOLARGE",
        "1000 times",
    ),
    Case("A07", "60,000 squared.bmp", data(bmp(60_000, 60_000, compression=1)), "E-IN-TOOLARGE"),
    Case(
        "A07",
        "20,000 squared.bmp",
        data(bmp(20_000, 20_000, compression=1, body=b"\0\1")),
        "E-IN-TOOLARGE",
        "1000 times",
    ),
    Case(
        "A07",
        "deflate bomb.tif",
        lambda path: path.write_bytes(tiff(*gray(20_000, 20_000, t259=8, t279=388_770), body=deflated(4 * 10**8))),
        "E-IN-TOOLARGE",
        "1000 times",
    ),
    Case(
        "A07",
        "60,000 squared.tif",
        data(tiff(*gray(60_000, 60_000, t259=8, t279=9), body=bytes(9))),
        "E-IN-TOOLARGE",
        "3,600,000,000 px",
    ),
    Case(
        "A07",
        "small limit.png",
        lambda path: write_image(path, Image(PIXELS)),
        "E-IN-TOOLARGE",
        "480 px; the limit is 100 px",
        Limits(pixels=100),
    ),
    Case("A10", "old JPEG.tif", data(tiff(*gray(9, 9, t259=6), body=bytes(81))), "E-IN-CODEC", "old-style JPEG"),
    Case("A10", "unknown.tif", data(tiff(*gray(9, 9, t259=40_000), body=bytes(81))), "E-IN-CODEC", "number 40000"),
    Case(
        "A10",
        "jetraw.tif",
        data(tiff(*gray(9, 9, t259=48124, t258=16), body=bytes(81))),
        "E-IN-CODEC",
        "JETRAW.*install imagecodecs",
    ),
    Case("A10", "lossless.jpg", data(jpeg((0xC3, frame(9, 8)), JPEG_HEADER[1])), "E-IN-CODEC", "lossless JPEG"),
    Case("A10", "jpeg inside.bmp", data(bmp(9, 8, bits=24, compression=4)), "E-IN-CODEC", "BMP compression JPEG"),
    Case("A13", "folder", lambda path: path.mkdir(), "E-IN-NOTFILE", "a folder and not a file"),
    Case("A13", "pipe", lambda path: os.mkfifo(path), "E-IN-NOTFILE", "a named pipe"),
    Case("A13", "socket", make_socket, "E-IN-NOTFILE"),
    Case("A13", "device", lambda path: path.symlink_to("/dev/zero"), "E-IN-NOTFILE", "a device"),
    Case("A13", "link to itself", make_loop, "E-IN-NOTFILE"),
    Case("A14", "missing.tif", lambda path: None, "E-IN-MISSING", "there is no such file"),
    Case("A14", "link to nowhere.tif", lambda path: path.symlink_to("nowhere"), "E-IN-MISSING"),
    Case("A14", "file/below.tif", lambda path: path.parent.write_bytes(b"x"), "E-IN-MISSING"),
    Case("A14", "NUL\0.tif", lambda path: None, "E-IN-MISSING", "no file has such a name"),
    Case("A14", "x" * 300 + ".tif", lambda path: None, "E-IN-MISSING", "too long"),
    Case("B09", "inks.jpg", cmyk_jpeg, "E-IN-UNSUPPORTED", "CMYK.*convert it to RGB"),
    Case("B13", "5 GiB.tif", sparse_bigtiff, "E-IN-TOOLARGE", "5,120,000,000 px.*--max-pixels"),
    Case(
        "A06",
        "progressive forever.jpg",
        data(jpeg((0xC2, frame(9, 8)), *[JPEG_HEADER[1]] * 300)),
        "E-IN-CORRUPT",
        "200 scans",
    ),
    Case("A06", "100,000 comments.jpg", data(jpeg(*[(0xFE, b"")] * 100_001)), "E-IN-CORRUPT", "100,000 segments"),
    Case("A07", "large file.png", data(b"\x89PNG\r\n\x1a\n"), "E-IN-TOOLARGE", "8 bytes", Limits(file_bytes=7)),
    Case("A06", "no frame.jpg", data(jpeg(JPEG_HEADER[1])), "E-IN-CORRUPT", "without a complete header"),
    Case("A06", "no width.jpg", data(jpeg((0xC0, frame(0, 8)), JPEG_HEADER[1])), "E-IN-CORRUPT", "0 x 8 px"),
    Case("A06", "no width.png", data(png(0, 8, b"")), "E-IN-CORRUPT", "makes no sense"),
    Case("A06", "16-bit palette.png", data(png(9, 8, b"", depth=16, colour=3)), "E-IN-CORRUPT", "makes no sense"),
    Case("A06", "no width.bmp", data(bmp(0, 8)), "E-IN-CORRUPT", "0 x 8 px"),
    Case("A06", "7 bits.bmp", data(bmp(9, 8, bits=7)), "E-IN-CORRUPT"),
    Case(
        "A06",
        "huge palette.bmp",
        data(bmp(9, 8)[:46] + struct.pack("<I", 2**31) + bytes(2000)),
        "E-IN-CORRUPT",
        "palette",
    ),
]
