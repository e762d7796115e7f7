"""The one EXIF fact that pixels need: their orientation (EXIF 2.3, tag 274, values as in TIFF)."""

from __future__ import annotations

import struct

TURNS = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored along the diagonal",
    6: "to be turned right by 90 degrees",
    7: "mirrored along the other diagonal",
    8: "to be turned left by 90 degrees",
}
ORIENTATION, SHORT = 274, 3


def orientation(exif: bytes) -> int:
    """Orientation 1-8 in an EXIF block that starts at its byte order; 1 if it has none or is broken."""
    place = _place(exif)
    value = int(struct.unpack_from(_order(exif) + "H", exif, place)[0]) if place else 1
    return value if value in TURNS else 1


def with_orientation(exif: bytes, value: int) -> bytes:
    """The block with that orientation; a new one if there is none to change."""
    if place := _place(exif):
        return exif[:place] + struct.pack(_order(exif) + "H", value) + exif[place + 2 :]
    if value == 1:
        return exif
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, ORIENTATION, SHORT, 1, value, 0, 0)


def orientation_note(value: int) -> tuple[str, ...]:
    """What a user should know of an orientation other than 1."""
    turn = TURNS.get(value)
    kept = "the pixels are as stored, and so is the tag in TIFF, PNG and JPEG"
    return (f"orientation {value} ({turn}): {kept}",) if turn else ()


def _order(exif: bytes) -> str:
    return ">" if exif[:2] == b"MM" else "<"


def _place(exif: bytes) -> int:
    """Where the value of the orientation stands in the first directory; 0 if nowhere."""
    order = _order(exif)
    if exif[:2] not in (b"II", b"MM") or len(exif) < 14:
        return 0
    start = int(struct.unpack_from(order + "I", exif, 4)[0])
    count = int(struct.unpack_from(order + "H", exif, start)[0]) if start + 2 <= len(exif) else 0
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        if struct.unpack_from(order + "HHI", exif, entry) == (ORIENTATION, SHORT, 1):
            return entry + 8
    return 0
