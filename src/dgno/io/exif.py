"""What EXIF says of pixels: their orientation (EXIF 2.3, tag 274, values as in TIFF), and how dense they lie."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

from dgno.arrays import Image
from dgno.io.pixel_size import CENTIMETRE, INCH, UNITS, PixelSize, Resolution

TURNS = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored along the diagonal",
    6: "to be turned right by 90 degrees",
    7: "mirrored along the other diagonal",
    8: "to be turned left by 90 degrees",
}
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, UNIT = 274, 282, 283, 296
SHORT, RATIONAL = 3, 5
LARGEST_DENOMINATOR = 100  # with the densest pixels the numerator has 30 bits then
LARGEST_NUMERATOR = 2**32 - 1


def orientation(exif: bytes) -> int:
    """Orientation 1-8 in an EXIF block that starts at its byte order; 1 if it has none or is broken."""
    place = _place(exif, ORIENTATION, SHORT)
    value = int(struct.unpack_from(_order(exif) + "H", exif, place)[0]) if place else 1
    return value if value in TURNS else 1


def with_orientation(exif: bytes, value: int) -> bytes:
    """The block with that orientation; a new one if there is none to change."""
    if place := _place(exif, ORIENTATION, SHORT):
        return exif[:place] + struct.pack(_order(exif) + "H", value) + exif[place + 2 :]
    if value == 1:
        return exif
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, ORIENTATION, SHORT, 1, value, 0, 0)


def with_pixel_size(exif: bytes, size: PixelSize) -> bytes:
    """The block with the density of pixels of that size, (row, column) in um, where it tells one."""
    unit, changed = _place(exif, UNIT, SHORT), bytearray(exif)
    length = UNITS[CENTIMETRE if unit else INCH]  # without a unit the density is an inch's
    for tag, side in ((X_RESOLUTION, size[1]), (Y_RESOLUTION, size[0])):
        if place := _place(exif, tag, RATIONAL):
            (at,) = struct.unpack_from(_order(exif) + "I", exif, place)
            density = Fraction(length / side).limit_denominator(LARGEST_DENOMINATOR)
            if 8 <= at <= len(exif) - 8 and 0 < density.numerator <= LARGEST_NUMERATOR:
                struct.pack_into(_order(exif) + "II", changed, at, density.numerator, density.denominator)
                if unit:
                    struct.pack_into(_order(exif) + "H", changed, unit, CENTIMETRE)
    return bytes(changed)


def block_of(image: Image) -> bytes:
    """The block that is written with an image: that of its file, with its orientation, and with its pixel size where
    that is not what the file said beside the block."""
    stored, size = image.stored, image.pixel_size
    block = with_orientation(stored.exif, stored.orientation)
    return with_pixel_size(block, size) if size and not _is_said(size, stored.resolution) else block


def _is_said(size: PixelSize, resolution: Resolution | None) -> bool:
    if resolution is None or resolution[2] not in UNITS:
        return False
    x, y, unit = resolution
    pairs = ((size[0], y), (size[1], x))
    return all(math.isclose(side * density, UNITS[unit], rel_tol=1e-6) for side, density in pairs)


def orientation_note(value: int) -> tuple[str, ...]:
    """What a user should know of an orientation other than 1."""
    turn = TURNS.get(value)
    kept = "the pixels are as stored, and so is the tag in TIFF, PNG and JPEG"
    return (f"orientation {value} ({turn}): {kept}",) if turn else ()


def _order(exif: bytes) -> str:
    return ">" if exif[:2] == b"MM" else "<"


def _place(exif: bytes, tag: int, kind: int) -> int:
    """Where the one value of a tag, or its offset, stands in the first directory; 0 if nowhere."""
    order = _order(exif)
    if exif[:2] not in (b"II", b"MM") or len(exif) < 14:
        return 0
    start = int(struct.unpack_from(order + "I", exif, 4)[0])
    count = int(struct.unpack_from(order + "H", exif, start)[0]) if start + 2 <= len(exif) else 0
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        if struct.unpack_from(order + "HHI", exif, entry) == (tag, kind, 1):
            return entry + 8
    return 0
