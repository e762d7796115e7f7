"""Maps of a slide in blocks on disk: those of tissue alone, so that large slides with little of it stay small.

A square is a record of 11 bytes: probabilities and angle are rounded to 1/255 and to a degree, sigma and length to the
11 binary digits of float16.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int, Shaped

from dgno.io.atomic import output_error
from dgno.restoration.assessment import BACKGROUND, Assessment

RECORD = np.dtype(
    [
        ("types", np.uint8),
        ("likelihoods", np.uint8, (4,)),
        ("sigma", "<f2"),
        ("length", "<f2"),
        ("angle", np.uint8),
        ("abstained", np.uint8),
    ]
)
LARGEST = 60000.0  # px, that float16 holds
PIECE = 2**22  # bytes
Records = Shaped[np.ndarray, "rows columns"]


@dataclass(frozen=True, eq=False)
class BlockStore:
    """Blocks of records in one file, one after the other. Read from several threads, written by one.

    The file is closed when nothing refers to the store any more.
    """

    file: BinaryIO

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    @classmethod
    def scratch(cls, folder: Path | None = None) -> BlockStore:
        """In a file without a name, which is gone with the process. Raises OutputError."""
        try:
            return cls(tempfile.TemporaryFile(dir=folder))  # lives as long as the store
        except OSError as error:
            raise output_error(error, folder or Path(tempfile.gettempdir())) from error

    def append(self, block: Records) -> int:
        """Where the block begins."""
        try:
            start = self.file.seek(0, os.SEEK_END)
            self.file.write(block.tobytes())
            self.file.flush()
        except OSError as error:
            raise output_error(error, Path(str(self.file.name))) from error
        return start

    def read(self, start: int, shape: tuple[int, int]) -> Records:
        """The block of that shape that begins there."""
        count = shape[0] * shape[1] * RECORD.itemsize
        data = os.pread(self.file.fileno(), count, start)
        if len(data) < count:
            raise EOFError(f"{len(data)} bytes of {count} at {start}")
        return np.frombuffer(data, RECORD).reshape(shape)

    def pieces(self) -> Iterator[bytes]:
        """All bytes, in order, a few at a time."""
        place = 0
        while data := os.pread(self.file.fileno(), PIECE, place):
            yield data
            place += len(data)


def pack(found: Assessment) -> Records:
    """The maps as records."""
    records = np.zeros(found.types.shape, RECORD)
    records["types"], records["abstained"] = found.types, found.abstained
    records["likelihoods"] = np.rint(255 * found.likelihoods.clip(0, 1)).transpose(1, 2, 0)
    records["sigma"], records["length"] = (values.clip(0, LARGEST) for values in (found.sigma, found.length))
    records["angle"] = np.rint(found.angle) % 180
    return records


def unpack(records: Records, shape: tuple[int, int], min_confidence: float) -> Assessment:
    """The maps of a window of (h, w) px."""
    return Assessment(
        shape=shape,
        likelihoods=np.moveaxis(records["likelihoods"], 2, 0).astype(np.float32) / 255,
        types=records["types"].copy(),
        sigma=records["sigma"].astype(np.float32),
        length=records["length"].astype(np.float32),
        angle=records["angle"].astype(np.float32),
        abstained=records["abstained"].astype(bool),
        min_confidence=min_confidence,
    )


def empty_records(shape: tuple[int, int]) -> Records:
    """Squares without tissue."""
    records = np.zeros(shape, RECORD)
    records["types"] = BACKGROUND
    return records


@dataclass(frozen=True, eq=False)
class Blocks:
    """A grid of squares in blocks of which some are stored; in the others there is no tissue.

    shape : (rows, columns) of the grid, in squares
    side : of a block, in squares; the last of a row or column may be cut
    starts : where each block begins in the store; -1 where there is no tissue
    """

    shape: tuple[int, int]
    side: int
    starts: Int[np.ndarray, "down along"]
    store: BlockStore

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Records:
        """The records of a window, in squares."""
        wanted = empty_records((rows[1] - rows[0], columns[1] - columns[0]))
        for i in range(rows[0] // self.side, -(-rows[1] // self.side)):
            for j in range(columns[0] // self.side, -(-columns[1] // self.side)):
                if self.starts[i, j] < 0:
                    continue
                top, left = i * self.side, j * self.side
                block = self.block(i, j)
                y, x = max(top, rows[0]), max(left, columns[0])
                bottom, right = min(top + len(block), rows[1]), min(left + block.shape[1], columns[1])
                inside = block[y - top : bottom - top, x - left : right - left]
                wanted[y - rows[0] : bottom - rows[0], x - columns[0] : right - columns[0]] = inside
        return wanted

    def block(self, i: int, j: int) -> Records:
        """All of one block."""
        shape = self.block_shape(i, j)
        start = int(self.starts[i, j])
        return empty_records(shape) if start < 0 else self.store.read(start, shape)

    def block_shape(self, i: int, j: int) -> tuple[int, int]:
        """(rows, columns) of one block, in squares."""
        return min(self.side, self.shape[0] - i * self.side), min(self.side, self.shape[1] - j * self.side)
