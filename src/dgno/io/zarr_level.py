"""One array of an OME-Zarr: its chunks, whether they are there, and their pixels."""

from __future__ import annotations

import itertools
import math
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dgno.errors import InputError, UnknownFormat, UnreadableInput, UnsupportedCodec, UnsupportedInput
from dgno.io.block_slide import Block
from dgno.io.limits import Limits, check_size
from dgno.io.opening import open_regular, shortened
from dgno.io.slide import Window
from dgno.io.zarr_metadata import Multiscale, read_json

DTYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
NOT_IN_SHARD = 2**64 - 1
INDEX_CODECS = ["bytes", "crc32c"]
EXTRA = "pip install 'dgno[slides]'"


class ZarrLevel:
    """One array of the group, and its chunks.

    shape, chunks : of all axes; in sharded arrays the chunks inside the shards
    """

    def __init__(self, folder: Path, name: str, image: Multiscale, limits: Limits) -> None:
        self.name, self._root, self._image = name, folder, image
        self._array = _opened(folder / name, limits)
        self._checked: set[str] = set()
        self.format = int(self._array.metadata.zarr_format)
        self.shape, self.chunks = tuple(self._array.shape), tuple(self._array.chunks)
        shards = getattr(self._array, "shards", None)
        self.stored = tuple(shards) if shards else self.chunks  # the shape of what a file holds
        self.is_sharded = bool(shards)
        self.dtype = np.dtype(self._array.dtype).newbyteorder("=")
        if len(self.shape) != len(image.axes):
            why = f"{len(self.shape)} axes are stored, {len(image.axes)} are named"
            raise UnreadableInput(f"the array {name} does not fit the metadata", why=why)
        if self.dtype.str[1:] not in DTYPES:
            raise UnsupportedInput(f"an OME-Zarr of {self.dtype}", hint="convert it to 8, 16 or 32 bits")
        if 0 in self.shape:
            raise UnreadableInput(f"the array {name} has no pixels", why=f"shape {self.shape}")
        check_size(limits, self.chunks[-1], self.chunks[-2], planes=math.prod(self.chunks[:-2]))
        channels = dict(zip(image.axes, self.shape, strict=True)).get("C", 1)
        check_size(Limits(pixels=2**62, channels=limits.channels), self.shape[-1], self.shape[-2], samples=channels)
        self._check_grid()

    @property
    def fill(self) -> float:
        """What chunks that were left out hold."""
        value = self._array.fill_value
        return float(value) if value is not None else 0.0

    @property
    def compression(self) -> str:
        metadata = self._array.metadata
        if self.format == 2:
            codec = metadata.compressor
            return "none" if codec is None else str(getattr(codec, "codec_id", None) or type(codec).__name__).lower()
        codecs = metadata.codecs[0].codecs if self.is_sharded else metadata.codecs
        names = [str(codec.to_dict().get("name", "")) for codec in codecs]
        return next((name for name in names if name not in ("bytes", "transpose", "crc32c")), "none")

    def region(self, plane: int, block: Block, samples: int) -> tuple[Window, ...]:
        """The window of every axis that a block of a plane covers, all colours together."""
        axes, lengths = self._image.axes[:-2], self.shape[:-2]
        sizes = [1 if samples > 1 and axis == "C" else n for axis, n in zip(axes, lengths, strict=True)]
        index = np.unravel_index(plane, sizes) if sizes else ()
        first = [
            (0, n) if samples > 1 and axis == "C" else (int(i), int(i) + 1)
            for axis, n, i in zip(axes, lengths, index, strict=True)
        ]
        return (*first, block.rows, block.columns)

    def chunks_of(self, region: tuple[Window, ...]) -> Iterator[tuple[int, ...]]:
        """The chunks that a region touches."""
        ranges = [range(a // n, -(-b // n)) for (a, b), n in zip(region, self.chunks, strict=True)]
        return itertools.product(*ranges)

    def key(self, chunk: tuple[int, ...]) -> str:
        """The name of the file, inside the group, that holds the chunk."""
        index = tuple(i * c // s for i, c, s in zip(chunk, self.chunks, self.stored, strict=True))
        return f"{self.name}/{self._array.metadata.encode_chunk_key(index)}"

    def is_left_out(self, chunk: tuple[int, ...]) -> bool:
        """Does `complete.json` say that the chunk is all fill?"""
        key = self.key(chunk)
        if key not in self._image.chunks:
            return False
        return self._image.chunks[key] is None or (self.is_sharded and not self.is_there(chunk))

    def is_there(self, chunk: tuple[int, ...]) -> bool:
        """Is the chunk stored? Also refuses what is no file, and one whose checksum is wrong."""
        path = self._root / self.key(chunk)
        try:
            kind = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISREG(kind):
            raise UnreadableInput(f"the chunk {self.key(chunk)} is no file")
        return not self.is_sharded or self._is_in_shard(path, chunk)

    def read(self, region: tuple[Window, ...]) -> np.ndarray:
        """The pixels of a region whose chunks are there or left out."""
        for chunk in self.chunks_of(region):
            self._check_sum(self.key(chunk))
        try:
            pixels = np.asarray(self._array[tuple(slice(a, b) for a, b in region)])
        except (OSError, MemoryError):
            raise
        except Exception as error:  # whatever a codec raises on broken contents
            raise UnreadableInput("its chunk cannot be decoded", why=shortened(error)) from error
        return pixels.astype(self.dtype, copy=False)

    def sampled(self, count: int) -> list[np.ndarray]:
        """The values of some chunks, spread over all of them; those that cannot be read are passed."""
        grid = self._grid(self.chunks)
        numbers = np.unique(np.linspace(0, math.prod(grid) - 1, count).astype(int)).tolist()
        values = []
        for chunk in (tuple(int(i) for i in np.unravel_index(number, grid)) for number in numbers):
            limits = zip(chunk, self.chunks, self.shape, strict=True)
            try:
                if self.is_there(chunk):
                    values.append(self.read(tuple((i * n, min((i + 1) * n, end)) for i, n, end in limits)).ravel())
            except InputError:  # whoever reads it will hear of it
                continue
        return values

    def _grid(self, piece: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(-(-length // size) for length, size in zip(self.shape, piece, strict=True))

    def _check_grid(self) -> None:
        """Files of chunks beyond the shape were written for another one."""
        grid = self._grid(self.stored)
        for axis, count in enumerate(grid):
            index = tuple(count if i == axis else 0 for i in range(len(grid)))
            key = f"{self.name}/{self._array.metadata.encode_chunk_key(index)}"
            if (self._root / key).is_file():
                why = f"shape {self.shape} has chunks up to {count - 1} on axis {axis}, and {key} is there"
                raise UnreadableInput(f"the chunks of the array {self.name} do not fit its shape", why=why)

    def _check_sum(self, key: str) -> None:
        """Compare the file of a chunk with what `complete.json` says of it, once."""
        wanted = self._image.chunks.get(key)
        if wanted is None or key in self._checked:
            return
        with open_regular(self._root / key) as file:
            found = f"{zlib.crc32(file.read()):08x}"
        if found != wanted:
            raise UnreadableInput(f"the chunk {key} has changed since it was written", why=f"{found}, not {wanted}")
        self._checked.add(key)

    def _is_in_shard(self, path: Path, chunk: tuple[int, ...]) -> bool:
        """Look the chunk up in the index of its shard: 16 bytes a chunk, and their CRC-32C, which zarr checks."""
        codec = self._array.metadata.codecs[0]
        if [one.to_dict().get("name") for one in codec.index_codecs] != INDEX_CODECS:
            raise UnsupportedCodec("a zarr whose shards have indices of an unusual kind", hint="write it anew")
        counts = tuple(s // c for s, c in zip(self.stored, self.chunks, strict=True))
        inside = tuple(i % n for i, n in zip(chunk, counts, strict=True))
        number, length = int(np.ravel_multi_index(inside, counts)), 16 * math.prod(counts) + 4
        with open_regular(path) as file:
            size = path.stat().st_size
            if size < length:
                raise UnreadableInput(f"the shard {self.key(chunk)} has {size:,} bytes, fewer than its index")
            file.seek((size - length if codec.index_location.value == "end" else 0) + 16 * number)
            offset, count = struct.unpack("<QQ", file.read(16))
        if (offset, count) == (NOT_IN_SHARD, NOT_IN_SHARD):
            return False
        if offset + count > size:
            raise UnreadableInput(f"the shard {self.key(chunk)} ends before its chunks")
        return True


def _opened(folder: Path, limits: Limits) -> Any:  # Any: zarr's types change between its versions
    """The zarr array in a folder; its metadata are looked at before zarr sees them."""
    try:
        import zarr
    except ImportError as error:
        raise UnsupportedCodec("reading OME-Zarr needs the package zarr", why=shortened(error), hint=EXTRA) from error
    found = [name for name in ("zarr.json", ".zarray") if (folder / name).is_file()]
    if not found:
        raise UnreadableInput(f"the array {folder.name} of the OME-Zarr has no metadata", why="zarr.json or .zarray")
    read_json(folder / found[0], limits.metadata_bytes)
    try:
        array = zarr.open_array(str(folder), mode="r")
    except ImportError as error:
        raise UnsupportedCodec("a codec of the OME-Zarr is not installed", why=shortened(error), hint=EXTRA) from error
    except zarr.errors.UnknownCodecError as error:
        raise UnsupportedCodec("a codec of the OME-Zarr is not known", why=shortened(error), hint=EXTRA) from error
    except OSError:
        raise
    except Exception as error:  # whatever zarr raises on metadata that make no sense
        what = f"the metadata of the array {folder.name} of the OME-Zarr make no sense"
        if "codec" in str(error).lower():
            raise UnsupportedCodec("a codec of the OME-Zarr is not known", why=shortened(error), hint=EXTRA) from error
        raise UnreadableInput(what, why=shortened(error)) from error
    if not isinstance(array, zarr.Array):
        raise UnknownFormat("no zarr array")
    return array
