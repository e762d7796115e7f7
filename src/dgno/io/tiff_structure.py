"""The skeleton of a TIFF file (TIFF 6.0, BigTIFF), walked before tifffile sees it.

tifffile forgives much: it cuts page lists at the first broken page, skips tags and reads what offsets point to. Here a
file is refused if its directories form a loop, are too many or too large, or if anything lies beyond the end of the
file, which then was truncated. Nothing is decoded; memory is bounded by the limits.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from dgno.errors import TruncatedInput, UnreadableInput
from dgno.io.limits import Limits

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
DESCRIPTION, STRIPS, STRIP_BYTES, TILES, TILE_BYTES, SUB_DIRECTORIES = 270, 273, 279, 324, 325, 330
LSM, NDPI = 34412, 65420  # Zeiss LSM counts bytes in its own way; Hamamatsu NDPI has its own 64-bit offsets
SIGNATURE_TAGS = (256, 257, 258, 259, 262, 277, 278, 284, 317, 322, 323, 339)  # what pages of one stack share


@dataclass(frozen=True)
class Layout:
    """Byte order and word sizes: of the number of entries, an entry, and an offset (struct codes and bytes)."""

    order: str
    count: str
    entry: str
    offset: str

    def size(self, code: str) -> int:
        """Bytes of a struct code."""
        return struct.calcsize(self.order + code)


class Entry(NamedTuple):
    """One tag: its type, the number of values, and its value or the place of its value, as bytes."""

    type: int
    number: int
    value: bytes


Directory = dict[int, Entry]


class Structure:
    """The directories of a TIFF file.

    first : the tags of the first page
    kinds : for every page of the main chain a number; pages of one number have equal size, type and compression
    """

    def __init__(self, file: BinaryIO, size: int, limits: Limits) -> None:
        self.file, self.size, self.limits = file, size, limits
        self.layout, offset = self._header()
        self._check_chain(offset)
        self.seen: set[int] = set()
        self.kinds: list[int] = []
        known: dict[tuple[Entry | None, ...], int] = {}
        below: deque[int] = deque()
        self.first: Directory = {}
        while offset:
            page, offset = self._directory(offset)
            self.first = self.first or page
            self.kinds.append(known.setdefault(self._signature(page), len(known)))
            below += self._checked_blocks(page)
            if NDPI in page and size >= 2**32:
                break
        if not self.kinds:
            raise UnreadableInput("a TIFF file without images")
        while below:
            page, _ = self._directory(below.popleft())
            below += self._checked_blocks(page)

    def description(self) -> bytes:
        """The ImageDescription of the first page."""
        entry = self.first.get(DESCRIPTION)
        return self.value(entry).rstrip(b"\0") if entry and entry.type in (1, 2, 7) else b""

    def value(self, entry: Entry) -> bytes:
        """The bytes of a tag's values."""
        length = _length(entry)
        if length <= len(entry.value):
            return entry.value[:length]
        place = int(struct.unpack(self.layout.order + self.layout.offset, entry.value)[0])
        return self._read(place, length)

    def integers(self, entry: Entry) -> np.ndarray:
        """The values of an integer tag, int64; none for other types."""
        if entry.type not in INTEGERS:
            return np.zeros(0, np.int64)
        values = np.frombuffer(self.value(entry), self.layout.order + INTEGERS[entry.type]).astype(np.uint64)
        return np.minimum(values, np.uint64(2**62)).astype(np.int64)

    def _header(self) -> tuple[Layout, int]:
        head = self._read(0, 8)
        order = "<" if head[:2] == b"II" else ">"
        if struct.unpack(order + "H", head[2:4])[0] == 42:
            layout = Layout(order, "H", "HHI4s", "I")
            return layout, int(struct.unpack(order + "I", head[4:8])[0])
        if struct.unpack(order + "HH", head[4:8]) != (8, 0):
            raise UnreadableInput("the BigTIFF header makes no sense")
        return Layout(order, "Q", "HHQ8s", "Q"), int(struct.unpack(order + "Q", self._read(8, 8))[0])

    def _check_chain(self, offset: int) -> None:
        """Follow the pages without looking at them: a chain without end is found in a second."""
        layout, seen = self.layout, set[int]()
        if layout.offset == "I" and self.size >= 2**32:
            return  # Hamamatsu's offsets go on beyond what 32 bits hold
        count_bytes, entry_bytes, offset_bytes = (
            layout.size(code) for code in (layout.count, layout.entry, layout.offset)
        )
        order: Literal["little", "big"] = "little" if layout.order == "<" else "big"
        while offset:
            if offset in seen:
                raise UnreadableInput("the pages of the TIFF file form a loop")
            if len(seen) + 1 >= self.limits.directories:
                raise UnreadableInput(f"the TIFF file has {self.limits.directories:,} pages or more")
            seen.add(offset)
            self.file.seek(offset)
            count = int.from_bytes(self.file.read(count_bytes), order)
            following = offset + count_bytes + count * entry_bytes
            if count > self.limits.tags or following + offset_bytes > self.size:
                return  # the closer look will say what is wrong
            self.file.seek(following)
            offset = int.from_bytes(self.file.read(offset_bytes), order)

    def _directory(self, offset: int) -> tuple[Directory, int]:
        """The directory at `offset`, and the offset of the next (0: none)."""
        if offset in self.seen:
            raise UnreadableInput("the pages of the TIFF file form a loop")
        if len(self.seen) + 1 >= self.limits.directories:
            raise UnreadableInput(f"the TIFF file has {self.limits.directories:,} pages or more")
        self.seen.add(offset)
        layout = self.layout
        length = layout.size(layout.count)
        count = int(struct.unpack(layout.order + layout.count, self._read(offset, length))[0])
        if not 0 < count <= self.limits.tags:
            raise UnreadableInput(f"a TIFF page of {count:,} tags", why=f"1 to {self.limits.tags:,} are possible")
        block = self._read(offset + length, count * layout.size(layout.entry) + layout.size(layout.offset))
        body, tail = block[: -layout.size(layout.offset)], block[-layout.size(layout.offset) :]
        entries: Directory = {}
        for code, *fields in struct.iter_unpack(layout.order + layout.entry, body):
            entry = Entry(*fields)
            self._check_entry(code, entry)
            entries.setdefault(code, entry)
        return entries, int(struct.unpack(layout.order + layout.offset, tail)[0])

    def _check_entry(self, code: int, entry: Entry) -> None:
        length = _length(entry)
        if length <= len(entry.value):
            return
        if length > self.limits.tag_bytes:
            raise UnreadableInput(
                f"TIFF tag {code} has {length:,} bytes", why=f"the limit is {self.limits.tag_bytes:,}"
            )
        place = int(struct.unpack(self.layout.order + self.layout.offset, entry.value)[0])
        if place + length > self.size:
            raise self._truncated(place + length)

    def _checked_blocks(self, page: Directory) -> list[int]:
        """Check that all strips or tiles lie within the file; gives the offsets of the directories below the page."""
        is_peculiar = LSM in self.first or (NDPI in self.first and self.size >= 2**32)
        for place, length in ((STRIPS, STRIP_BYTES), (TILES, TILE_BYTES)):
            if place in page and length in page and not is_peculiar:
                offsets, counts = self.integers(page[place]), self.integers(page[length])
                shared = min(len(offsets), len(counts))
                ends = offsets[:shared] + counts[:shared]
                if shared and ends.max() > self.size:
                    raise self._truncated(int(ends.max()))
        entry = page.get(SUB_DIRECTORIES)
        return [] if entry is None else [offset for offset in self.integers(entry).tolist() if offset >= 8]

    def _signature(self, page: Directory) -> tuple[Entry | None, ...]:
        """What pages of one stack share; values that stand elsewhere (bits of several samples) count by number."""
        entries = (page.get(code) for code in SIGNATURE_TAGS)
        return tuple(e._replace(value=b"") if e and _length(e) > len(e.value) else e for e in entries)

    def _read(self, place: int, length: int) -> bytes:
        if place + length > self.size:
            raise self._truncated(place + length)
        self.file.seek(place)
        return self.file.read(length)

    def _truncated(self, wanted: int) -> TruncatedInput:
        why = f"at least {wanted:,} bytes wanted, the file has {self.size:,}"
        return TruncatedInput("the TIFF file ends before its contents", why=why)


def _length(entry: Entry) -> int:
    """Bytes of the values of a tag; 0 if its type is unknown, which readers skip."""
    return TYPE_BYTES.get(entry.type, 0) * entry.number
