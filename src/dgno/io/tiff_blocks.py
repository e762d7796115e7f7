"""Single strips and tiles of a TIFF page: where they lie, and their pixels.

tifffile decodes them; what its decoders fill in silence is looked for here. libjpeg makes gray of what is missing in a
JPEG block, and OpenJPEG of what is missing in JPEG 2000, so such a block must end with its end marker, hold no foreign
markers, and not run dry. What no check can see: bits of the coded data that changed to others that can be decoded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
from jaxtyping import Int, Shaped
from tifffile import TiffFrame, TiffPage

from dgno.arrays import Plane
from dgno.errors import TruncatedInput, UnreadableInput, UnsupportedCodec, UnsupportedInput
from dgno.io.limits import Limits, check_ratio, check_size
from dgno.io.opening import shortened
from dgno.io.source import Source
from dgno.io.tiff_read import JPEG_END, NEW_JPEG, check_kind, codec_name, expanded

JPEG_2000 = (33003, 33004, 33005, 34712)
JP2_BOX = b"jP  "  # a file in the block, in which more may follow the coded pixels
READ_AT_ONCE = 2**20  # bytes of an uncompressed strip that are read together
BASELINE, SCAN = (0xC0, 0xC1), 0xDA
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
RESTART = re.compile(rb"\xff([\xd0-\xd7])")
FOREIGN = re.compile(rb"\xff[\x01-\xbf\xc0-\xc3\xc5-\xcf\xd8\xdc\xde-\xef]")  # markers that no scan is followed by
GRAY = 128  # what libjpeg makes of missing blocks: all coefficients zero

Decoder = Callable[..., tuple[np.ndarray | None, Any, Any]]  # tifffile's TiffPage.decode; Any: indices we do not use


@dataclass(frozen=True, eq=False)
class Blocks:
    """The strips or tiles of a page.

    number : of the page in its file
    shape : (h, w) of the page in px
    block : (h, w) of a strip or tile in px
    separate : how many planes of samples the page has, one behind the other; 1 if the samples of a pixel lie together
    offsets, counts : places and lengths in the file
    row_bytes, strip_rows : of an uncompressed page whose strips are read in part: bytes of a row, and rows of a strip;
        else 0
    keyframe : the page that says how they are coded
    """

    source: Source
    number: int
    shape: tuple[int, int]
    block: tuple[int, int]
    separate: int
    offsets: Int[np.ndarray, " n"]
    counts: Int[np.ndarray, " n"]
    row_bytes: int
    strip_rows: int
    keyframe: TiffPage
    decode: Decoder
    tables: bytes | None
    header: bytes | None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return math.ceil(self.shape[0] / self.block[0]), math.ceil(self.shape[1] / self.block[1])

    @property
    def read_dtype(self) -> np.dtype[Any]:
        """Of what `read` gives."""
        assert self.keyframe.dtype is not None
        return expanded(np.zeros(1, self.keyframe.dtype), self.keyframe, [])[0].dtype

    @property
    def blank(self) -> int:
        """How many blocks were never stored."""
        if self.row_bytes:
            return 0
        number = math.prod(self.grid)
        stored = self.counts[: number * self.separate].reshape(self.separate, number).any(axis=0)
        return number - int(stored.sum())

    def is_stored(self, row: int, column: int) -> bool:
        """Sparse files have blocks of no bytes."""
        if self.row_bytes:
            return True
        first = row * self.grid[1] + column
        return bool(self.counts[first :: math.prod(self.grid)].any())

    def read(self, row: int, column: int) -> Plane | None:
        """The pixels (h, w, samples) of a block inside the page, in the machine's byte order; None if not stored."""
        if self.row_bytes:
            return self._uncompressed_rows(row)
        if not self.is_stored(row, column):
            return None
        step, first = math.prod(self.grid), row * self.grid[1] + column
        parts = [self._segment(first + part * step, row, column) for part in range(self.separate)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _segment(self, index: int, row: int, column: int) -> Plane:
        """One strip or tile, decoded, without what lies beyond the page."""
        data = self.source.read(int(self.offsets[index]), int(self.counts[index]))
        check_coded(data, self)
        try:
            pixels = self.decode(data, index, jpegtables=self.tables, jpegheader=self.header)[0]
        except (imagecodecs.DelayedImportError, NotImplementedError) as error:
            codec = codec_name(int(self.keyframe.compression))
            raise UnsupportedCodec(f"TIFF compression {codec}", why=shortened(error)) from error
        assert pixels is not None
        if self._may_be_dry(pixels):
            self._check_not_dry(data, index, pixels)
        height = min(self.block[0], self.shape[0] - row * self.block[0])
        width = min(self.block[1], self.shape[1] - column * self.block[1])
        if pixels.ndim != 4 or pixels.shape[1] < height or pixels.shape[2] < width:
            raise UnreadableInput(f"it decodes to {pixels.shape} where {height} x {width} px were wanted")
        if pixels.dtype != self.keyframe.dtype:
            raise UnreadableInput(f"it decodes to {pixels.dtype} where {self.keyframe.dtype} was wanted")
        return self._finished(pixels[0, :height, :width])

    def _uncompressed_rows(self, row: int) -> Plane:
        """Some rows of uncompressed strips."""
        page, strip = self.keyframe, self.strip_rows
        top, bottom = row * self.block[0], min(self.shape[0], (row + 1) * self.block[0])
        parts = []
        for number in range(top // strip, -(-bottom // strip)):
            first, last = max(top, number * strip), min(bottom, (number + 1) * strip)
            place = int(self.offsets[number]) + (first - number * strip) * self.row_bytes
            parts.append(self.source.read(place, (last - first) * self.row_bytes))
        assert page.dtype is not None
        stored = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        pixels = np.frombuffer(b"".join(parts), stored).reshape(bottom - top, self.shape[1], -1)
        return self._finished(pixels.astype(page.dtype, copy=False))

    def _finished(self, pixels: Shaped[np.ndarray, "h w c"]) -> Plane:
        whole: Plane = np.ascontiguousarray(expanded(pixels, self.keyframe, [])[0])
        return whole

    def _may_be_dry(self, pixels: np.ndarray) -> bool:
        """Does a JPEG block end in what libjpeg fills with?"""
        is_jpeg = int(self.keyframe.compression) == NEW_JPEG and pixels.dtype == np.uint8
        return is_jpeg and bool((pixels[-1, -1, -1] == GRAY).all())

    def _check_not_dry(self, data: bytes, index: int, pixels: np.ndarray) -> None:
        """A decoder that found all it needed does not heed what follows; one that ran dry reads it."""
        more = b"\x5a\x93\xc6\x2d" * 64
        end = data.rfind(JPEG_END) if self.header is None else len(data) - 2
        longer = data[:end] + more + data[end:]
        again = self.decode(longer, index, jpegtables=self.tables, jpegheader=self.header)[0]
        if again is None or not np.array_equal(again, pixels):
            raise TruncatedInput("its JPEG data end before its pixels")


def blocks_of(part: TiffPage | TiffFrame, keyframe: TiffPage, source: Source, limits: Limits) -> Blocks:
    """The blocks of a page, checked against what they need from the file; refuses what cannot be decoded."""
    check_kind(keyframe)
    if keyframe.imagedepth > 1 or keyframe.tiledepth > 1:
        raise UnsupportedInput("a TIFF page of voxels", hint="save its planes as pages")
    separate = int(keyframe.samplesperpixel) if int(keyframe.planarconfig) == 2 else 1
    shape = (int(keyframe.imagelength), int(keyframe.imagewidth))
    block = (int(keyframe.tilelength), int(keyframe.tilewidth)) if keyframe.is_tiled else _strip(keyframe)
    if 0 in (*shape, *block):
        raise UnreadableInput("a TIFF page without pixels", why=f"{shape[0]} x {shape[1]} px")
    offsets, counts = np.asarray(part.dataoffsets, np.int64), np.asarray(part.databytecounts, np.int64)
    found = Blocks(
        source, part.index, shape, block, separate, offsets, counts, 0, 0, keyframe, keyframe.decode,
        part.jpegtables, getattr(part, "jpegheader", None),
    )  # fmt: skip
    _check_places(found, limits)
    row_bytes = _row_bytes(keyframe, separate)
    if not row_bytes:
        check_size(limits, block[1], block[0])
        return found
    rows = np.minimum(block[0], shape[0] - np.arange(found.grid[0]) * block[0])
    if (counts[: len(rows)] < rows * row_bytes).any():
        raise TruncatedInput(f"strips of page {part.index} of the TIFF file are shorter than their rows")
    together = min(shape[0], max(1, READ_AT_ONCE // row_bytes))
    return replace(found, block=(together, shape[1]), row_bytes=row_bytes, strip_rows=block[0])


def following(first: Blocks, number: int) -> Blocks:
    """The plane that lies `number` planes behind the first, uncompressed and without a page: ImageJ's large stacks."""
    size = first.row_bytes * first.shape[0]
    place = first.offsets[:1] + number * size
    return replace(first, offsets=place, counts=np.array([size]), strip_rows=first.shape[0])


def check_coded(data: bytes, blocks: Blocks) -> None:
    """Refuse a JPEG or JPEG 2000 block that is not complete, or of another size than the page says."""
    compression = int(blocks.keyframe.compression)
    if compression in JPEG_2000:
        if not data.rstrip(b"\0").endswith(JPEG_END) and data[4:8] != JP2_BOX:
            raise TruncatedInput("its JPEG 2000 data have no end marker")
        if data[:4] == b"\xff\x4f\xff\x51":
            _check_extent(blocks, *(int.from_bytes(data[at : at + 4], "big") for at in (12, 8)))
    elif compression == NEW_JPEG:
        _check_jpeg(data, blocks)


def _check_jpeg(data: bytes, blocks: Blocks) -> None:
    start = 0
    if blocks.header is None:
        if not data.rstrip(b"\0\xff").endswith(JPEG_END):
            raise TruncatedInput("its JPEG data have no end marker")
        kind, height, width, start = _jpeg_frame(data)
        _check_extent(blocks, height, width)
        if kind not in BASELINE:
            return  # tables and scans alternate, and tables may hold any bytes
    elif not (RESTART.fullmatch(data[-2:]) or data.rstrip(b"\0\xff").endswith(JPEG_END)):
        raise TruncatedInput("its JPEG data have no end marker")
    end = max(data.rfind(JPEG_END), start)
    if found := FOREIGN.search(data, start, end):
        raise UnreadableInput(f"the marker {found[0].hex()} stands inside its JPEG data")


def _jpeg_frame(data: bytes) -> tuple[int, int, int, int]:
    """Kind, height and width of the frame of JPEG data, and where the coded pixels begin."""
    place, frame = 2, (0, 0, 0)
    while data[:2] == b"\xff\xd8" and place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xFF:  # filled bytes
            place += 1
            continue
        if marker in FRAMES and not frame[0]:
            height, width = (int.from_bytes(data[at : at + 2], "big") for at in (place + 5, place + 7))
            frame = (marker, height, width)
        place += 2 + length
        if marker == SCAN and frame[0]:
            return (*frame, place)
    raise UnreadableInput("it is no JPEG data")


def _check_extent(blocks: Blocks, height: int, width: int) -> None:
    """A block is as large as the page says, or ends with the page; a larger one might be made to fill memory."""
    tall, wide = blocks.block
    if not (0 < height <= tall + 15 and 0 < width <= wide + 15):
        raise UnreadableInput(f"it holds {height} x {width} px where {tall} x {wide} were wanted")


def _strip(page: TiffPage) -> tuple[int, int]:
    return min(int(page.rowsperstrip), int(page.imagelength)), int(page.imagewidth)


def _row_bytes(page: TiffPage, separate: int) -> int:
    """Bytes of a row if its strips can be read in part: neither compressed nor tiled, whole bytes in order."""
    bits = page.bitspersample
    is_plain = int(page.compression) == 1 and not page.is_tiled and int(page.predictor) == 1 and separate == 1
    if not is_plain or int(page.fillorder) != 1 or not isinstance(bits, int) or bits % 8 or page.dtype is None:
        return 0
    return int(page.imagewidth) * int(page.samplesperpixel) * np.dtype(page.dtype).itemsize


def _check_places(blocks: Blocks, limits: Limits) -> None:
    """Enough blocks, inside the file; tiles may be missing, strips may not."""
    page, wanted = blocks.keyframe, math.prod(blocks.grid) * blocks.separate
    offsets, counts = blocks.offsets, blocks.counts
    if len(offsets) < wanted or len(counts) < wanted:
        there = f"{min(len(offsets), len(counts))} of {wanted}"
        raise UnreadableInput(f"page {blocks.number} of the TIFF file has {there} strips or tiles")
    empty = int((counts[:wanted] == 0).sum())
    if empty and (not page.is_tiled or empty == wanted):
        why = "an interrupted program leaves such files"
        raise UnreadableInput(f"{empty} of {wanted} strips or tiles of page {blocks.number} have no data", why=why)
    stored = counts[:wanted] > 0
    if (offsets[:wanted][stored] <= 0).any():
        raise UnreadableInput(f"strips or tiles of page {blocks.number} of the TIFF file have no place")
    if (end := int((offsets[:wanted] + counts[:wanted])[stored].max())) > blocks.source.size:
        why = f"at least {end:,} bytes wanted, the file has {blocks.source.size:,}"
        raise TruncatedInput("the TIFF file ends before its contents", why=why)
    if int(page.compression) != 1 and page.dtype is not None:
        samples = 1 if blocks.separate > 1 else int(page.samplesperpixel)
        decoded = math.prod(blocks.block) * samples * np.dtype(page.dtype).itemsize
        check_ratio(limits, decoded, int(counts[:wanted][stored].min()))
