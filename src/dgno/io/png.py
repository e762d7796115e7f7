"""PNG (ISO/IEC 15948): chunks are read and checked here, pixels are decoded and encoded by libpng (imagecodecs).

Pillow cannot hold 16-bit colours. libpng is given the chunks that pixels need and no others, so that it has nothing
else to complain about or to be attacked with.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import imagecodecs
import numpy as np
from jaxtyping import UInt8

from dgno.arrays import Image
from dgno.errors import InputTooLarge, OutputFormat, TruncatedInput, UnreadableInput
from dgno.io import exif, pixel_size
from dgno.io.colour import is_gray, joined, palette_note, split_alpha
from dgno.io.limits import Limits, check_ratio, check_size
from dgno.io.opening import MAGIC, Opened
from dgno.stored import Stored
from dgno.value_ranges import Guess, guess_value_range

SIGNATURE = MAGIC["png"][0]
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: gray, RGB, palette, gray and alpha, RGB and alpha
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PALETTE = 3
LONGEST_SIDE = 1_000_000  # of libpng
MOST_CHUNKS = 1_000_000  # half of what the largest image needs in pieces of 8 KiB
NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
SRGB = {  # what values are taken for where a file does not say it
    b"cICP": bytes([1, 13, 0, 1]),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"gAMA": struct.pack(">I", 45455),
}
COLOUR = {kind: len(payload) for kind, payload in SRGB.items()} | {b"sRGB": 1}  # bytes of the chunks on colour
USED = (*NEEDED, *COLOUR, b"sBIT", b"pHYs", b"iCCP", b"eXIf", b"acTL", b"tEXt")
UNITS, MOST = {1: pixel_size.METRE}, 2**31 - 1  # of pHYs: its one unit, by number, and the largest density


class Header(NamedTuple):
    """The fields of IHDR."""

    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filter: int
    interlace: int


def read_png(opened: Opened, limits: Limits) -> Image:
    """The image of a PNG file, or the first of an animation; palettes and 1 to 4 bits become 8 bits with a note.

    A palette of grays makes a gray image.
    """
    chunks: dict[bytes, list[bytes]] = {}
    header = None
    for kind, payload in _chunks(opened, limits):
        chunks.setdefault(kind, []).append(payload)
        if kind == b"IHDR":
            header = _checked_header(payload, limits, opened.size)
    if header is None or b"IDAT" not in chunks:
        raise UnreadableInput("a PNG file without header or pixels")
    samples = imagecodecs.png_decode(_assembled(chunks))
    samples = samples if samples.ndim == 3 else samples[..., None]
    if header.colour == PALETTE and is_gray(_palette(chunks)):
        samples = samples[..., [0, *range(3, samples.shape[-1])]]
    pixels, letter, alpha = split_alpha(samples)
    known = _value_range(pixels, chunks)
    size, size_notes, resolution = _pixel_size(chunks)
    block = chunks.get(b"eXIf", [b""])[0]
    turned = exif.orientation(block)
    notes = (*_format_notes(header, chunks), *known.notes, *size_notes, *exif.orientation_note(turned))
    return Image(
        pixels,
        "YX" + letter,
        known.value_range,
        size,
        icc_profile=_icc_profile(chunks, limits),
        alpha=alpha,
        notes=notes,
        stored=Stored("png", orientation=turned, resolution=resolution, exif=block, png_colour=_colour(chunks)),
        limits=known.limits,
    )


def check_png(image: Image) -> None:
    """Refuse an image that PNG cannot hold (OutputFormat)."""
    if image.pixels.dtype not in (np.uint8, np.uint16, np.bool_):
        raise OutputFormat(f"PNG cannot hold {image.pixels.dtype}", hint="write .tif or .ome.tif")
    if image.axes not in ("YX", "YXS") or image.samples not in (1, 3):
        raise OutputFormat(f"PNG cannot hold axes {image.axes}", hint="write .ome.tif")
    if image.alpha is not None and image.alpha_kind == "premultiplied":
        raise OutputFormat("PNG cannot hold colours that are multiplied by their alpha", hint="write .tif")
    if max(image.pixels.shape[:2]) > LONGEST_SIDE:
        raise OutputFormat(f"PNG cannot hold sides above {LONGEST_SIDE:,} px", hint="write .tif")


def encoded_png(image: Image, provenance: bytes) -> bytes:
    """The file of an image; `provenance` is text, stored under the keyword "dgno"."""
    samples = joined(image.pixels, image.axes, image.alpha)
    raw = samples.nbytes + len(samples)  # a row has a byte for its filter, which imagecodecs forgets for narrow images
    samples = np.ascontiguousarray(samples[..., 0] if samples.shape[-1] == 1 else samples)
    data = imagecodecs.png_encode(samples, out=raw + raw // 100 + 4096)
    after_header = len(SIGNATURE) + 12 + len(Header._fields) + 6
    return b"".join([data[:after_header], *_metadata(image, provenance), data[after_header:]])


def text_of(opened: Opened, keyword: bytes, limits: Limits) -> bytes | None:
    """The text stored under a keyword, of a file that is whole to its end."""
    texts = [payload.partition(b"\0") for kind, payload in _chunks(opened, limits) if kind == b"tEXt"]
    return next((text for key, _, text in texts if key == keyword), None)


def _chunks(opened: Opened, limits: Limits) -> Iterator[tuple[bytes, bytes]]:
    """Kind and payload of every chunk; checks lengths and checksums."""
    file, place = opened.file, len(SIGNATURE)
    file.seek(place)
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        place += 12 + length
        if len(head) < 8 or place > opened.size:
            wanted = f"at least {max(place, opened.size + 1):,} bytes wanted, the file has {opened.size:,}"
            raise TruncatedInput("the PNG file ends before its contents", why=wanted)
        if kind != b"IDAT" and length > limits.metadata_bytes:
            file.seek(length + 4, 1)  # a text or a profile beyond all reason
            continue
        payload = file.read(length)
        if zlib.crc32(payload, zlib.crc32(kind)) != int.from_bytes(file.read(4), "big"):
            name = kind.decode("ascii", "backslashreplace")
            raise UnreadableInput(f"the PNG chunk {name} is damaged: its checksum is wrong")
        if kind in USED:
            yield kind, payload
        if kind == b"IEND":
            return
    raise UnreadableInput(f"a PNG file of more than {MOST_CHUNKS:,} chunks")


def _checked_header(payload: bytes, limits: Limits, size: int) -> Header:
    if len(payload) != 13:
        raise UnreadableInput("the PNG header has a wrong length")
    header = Header(*struct.unpack(">IIBBBBB", payload))
    if header.depth not in DEPTHS.get(header.colour, ()) or 0 in header[:2] or header.interlace > 1:
        raise UnreadableInput("the PNG header makes no sense", why=str(header)[7:-1])
    check_size(limits, header.width, header.height)
    if max(header[:2]) > LONGEST_SIDE:
        raise InputTooLarge(f"{header.width} x {header.height} px; libpng reads sides up to {LONGEST_SIDE:,} px")
    decoded = header.width * header.height * SAMPLES[header.colour] * max(header.depth, 8) // 8
    check_ratio(limits, decoded, size)
    return header


def _assembled(chunks: dict[bytes, list[bytes]]) -> bytes:
    """A PNG file of the chunks that pixels need."""
    parts = [SIGNATURE]
    for kind in NEEDED:
        payloads = chunks.get(kind, [])
        parts += [_chunk(kind, b"".join(payloads) if kind == b"IDAT" else payloads[0])] if payloads else []
    return b"".join(parts)


def _palette(chunks: dict[bytes, list[bytes]]) -> UInt8[np.ndarray, "n 3"]:
    values = np.frombuffer(chunks[b"PLTE"][0], np.uint8)
    return values[: len(values) // 3 * 3].reshape(-1, 3)


def _chunk(kind: bytes, payload: bytes) -> bytes:
    crc = zlib.crc32(payload, zlib.crc32(kind))
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", crc)


def _value_range(pixels: np.ndarray, chunks: dict[bytes, list[bytes]]) -> Guess:
    """sBIT tells the bits of the camera. PNG wants values stretched over 16 bits then; microscopes leave them."""
    bits = max(chunks.get(b"sBIT", [b"\0"])[0], default=0)
    if pixels.dtype == np.uint16 and 8 < bits <= 16:
        fits = int(pixels.max()) < 2**bits
        return Guess((0.0, float(2 ** (bits if fits else 16) - 1)))
    return guess_value_range(pixels)


def _pixel_size(
    chunks: dict[bytes, list[bytes]],
) -> tuple[pixel_size.PixelSize | None, tuple[str, ...], pixel_size.Resolution | None]:
    payload = chunks.get(b"pHYs", [b""])[0]
    if len(payload) != 9 or payload[8] not in UNITS:
        return None, (), None
    x, y = struct.unpack(">II", payload[:8])
    return *pixel_size.from_density(x, y, pixel_size.METRE, source="PNG pHYs"), pixel_size.per_centimetre(x, y)


def _icc_profile(chunks: dict[bytes, list[bytes]], limits: Limits) -> bytes | None:
    """Name, NUL, method 0, deflated profile; one that is broken or beyond the limit is left out."""
    _, _, rest = chunks.get(b"iCCP", [b""])[0].partition(b"\0")
    inflating = zlib.decompressobj()
    try:
        profile = inflating.decompress(rest[1:], limits.metadata_bytes)
    except zlib.error:
        return None
    return profile if inflating.eof and profile else None


def _colour(chunks: dict[bytes, list[bytes]]) -> dict[bytes, bytes]:
    """What the file says of how its values are to be seen, but for the profile; nothing that is broken."""
    return {
        kind: chunks[kind][0] for kind, length in COLOUR.items() if [len(p) for p in chunks.get(kind, [])] == [length]
    }


def is_seen_otherwise(image: Image) -> bool:
    """Did a PNG file say that its values are not those of sRGB, which files without a word on it are taken for?"""
    said = image.stored.png_colour
    return (
        image.icc_profile is None
        and b"sRGB" not in said
        and any(said.get(kind, usual) != usual for kind, usual in SRGB.items())
    )


def _format_notes(header: Header, chunks: dict[bytes, list[bytes]]) -> list[str]:
    notes = []
    if header.colour == PALETTE:
        notes.append(palette_note(_palette(chunks)))
    elif header.depth < 8:
        notes.append(f"{header.depth}-bit values expanded to 8 bits")
    if b"tRNS" in chunks:
        notes.append("transparent colours expanded to an alpha channel")
    if b"acTL" in chunks:
        notes.append("an animation; the still image was read")
    return notes


def _metadata(image: Image, provenance: bytes) -> list[bytes]:
    """Chunks that stand between header and pixels; pHYs in pixels a metre."""
    parts = [_chunk(kind, payload) for kind, payload in image.stored.png_colour.items()]
    if image.icc_profile:
        parts.append(_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(image.icc_profile, 9)))
    bits = int(image.value_range[1]).bit_length()
    if image.pixels.dtype == np.uint16 and 8 < bits < 16 and image.value_range == image.ends == (0.0, 2.0**bits - 1):
        parts.append(_chunk(b"sBIT", bytes([bits] * (image.samples + (image.alpha is not None)))))
    if density := pixel_size.whole_density(image.pixel_size, image.stored.resolution, UNITS, MOST):
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *density)))
    if block := exif.block_of(image):
        parts.append(_chunk(b"eXIf", block))
    if provenance:
        parts.append(_chunk(b"tEXt", b"dgno\0" + provenance))
    return parts
