"""Slides as OME-Zarr, chunk by chunk; `complete.json`, which lists all chunks, is written last.

Chunks that are all `fill` are left out, as Zarr has it: `fill` is the array's fill value, and the list says `null`.
Byte for byte the same for the same pixels and facts.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from dgno.arrays import Plane
from dgno.errors import OutputError
from dgno.io.provenance import software
from dgno.io.pyramid import TILE, Pyramid, Tile
from dgno.io.tiff_write import DEFLATE_LEVEL
from dgno.io.tile_codecs import AHEAD, FAULT, SlideCompression, checked_tiles, compressed, hash_of, in_order, padded
from dgno.io.zarr_documents import Ngff, array_document, chunk_key, group_attributes
from dgno.io.zarr_store import COMPLETE


class ZarrPyramid:
    """Writes a pyramid to a folder, and reads some of it back.

    compression : "deflate" (Zarr 2: zlib, Zarr 3: gzip), "zstd" or "none"
    The others as in TiffPyramid.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        ngff: Ngff,
        *,
        compression: SlideCompression,
        provenance: Mapping[str, str] | None,
        workers: int,
        done: Callable[[], None],
    ) -> None:
        self.pyramid, self.ngff, self.compression = pyramid, ngff, compression
        self.provenance, self.workers, self.done = provenance, workers, done
        self._sums: list[Any] = []  # of each level: the CRC-32 of each chunk file, -1 where there is none
        self._hashes: dict[tuple[int, int], str] = {}

    def write(self, folder: Path) -> None:
        """Write all levels, then what describes them, then the list of chunks."""
        pool = ThreadPoolExecutor(self.workers) if self.workers > 1 else None
        try:
            for level in range(len(self.pyramid.grids)):
                self._write_level(folder, level, pool)
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)
        grids, facts = self.pyramid.grids, self.pyramid.facts
        attributes = group_attributes(facts, len(grids), self.ngff, self.provenance)
        if self.ngff == "0.4":
            _write_json(folder / ".zgroup", {"zarr_format": 2})
            _write_json(folder / ".zattrs", attributes)
        else:
            _write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})
        self._write_list(folder / COMPLETE)

    def check(self, folder: Path) -> None:
        """Read back the list of chunks, and the pixels of some. Raises OutputError."""
        chunks = json.loads((folder / COMPLETE).read_bytes())["chunks"]
        if len(chunks) != self.pyramid.tile_count:
            raise OutputError("the list of chunks does not read back the same", hint=FAULT)
        for (level, number), expected in self._hashes.items():
            path = folder / self._key(level, number)
            data = path.read_bytes()
            try:
                found = hash_of(self._decoded(data, level, number))
            except RuntimeError as error:  # of imagecodecs
                raise OutputError("a chunk cannot be read back", why=str(error), hint=FAULT) from error
            if found != expected or f"{zlib.crc32(data):08x}" != chunks[self._key(level, number)]:
                raise OutputError(f"chunk {self._key(level, number)} does not read back the same", hint=FAULT)

    def _write_level(self, folder: Path, level: int, pool: ThreadPoolExecutor | None) -> None:
        grid = self.pyramid.grids[level]
        checked = checked_tiles(grid)
        (folder / str(level)).mkdir()
        name = ".zarray" if self.ngff == "0.4" else "zarr.json"
        document = array_document(self.pyramid.facts, grid, self.compression, self.ngff)
        _write_json(folder / str(level) / name, document)
        sums = np.full(grid.count, -1, np.int64)
        self._sums.append(sums)

        def work(tile: Tile) -> tuple[int, str]:
            self.pyramid.shrink(level, tile)
            if tile.pixels is None:
                return -1, ""
            data = self._encoded(tile.pixels)
            path = folder / self._key(level, tile.number)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(data)
            return zlib.crc32(data), hash_of(tile.pixels) if tile.number in checked else ""

        results = in_order(work, self.pyramid.tiles(level), pool, AHEAD * self.workers)
        for number, (crc, digest) in enumerate(results):
            sums[number] = crc
            if digest:
                self._hashes[level, number] = digest
            self.done()

    def _key(self, level: int, number: int) -> str:
        key = chunk_key(self.pyramid.facts, self.pyramid.grids[level], number)
        return f"{level}/{key}" if self.ngff == "0.4" else f"{level}/c/{key}"

    def _encoded(self, pixels: Plane) -> bytes:
        """The colours one after the other, little endian."""
        planes = np.moveaxis(padded(pixels), -1, 0)
        planes = planes.astype(planes.dtype.newbyteorder("<"), copy=False)
        if self.ngff == "0.5" and self.compression == "deflate":
            return bytes(imagecodecs.gzip_encode(planes.tobytes(), level=DEFLATE_LEVEL))
        return compressed(planes, self.compression)

    def _decoded(self, data: bytes, level: int, number: int) -> Plane:
        facts, grid = self.pyramid.facts, self.pyramid.grids[level]
        if self.compression == "zstd":
            data = bytes(imagecodecs.zstd_decode(data))
        elif self.compression == "deflate":
            data = zlib.decompress(data, wbits=zlib.MAX_WBITS | 32)  # of zlib or gzip
        planes = np.frombuffer(data, facts.dtype.newbyteorder("<")).reshape(facts.samples, TILE, TILE)
        _, row, column = grid.place(number)
        (top, bottom), (left, right) = grid.windows(row, column)
        pixels: Plane = np.moveaxis(planes, 0, -1)[: bottom - top, : right - left]
        return pixels

    def _write_list(self, path: Path) -> None:
        """Line by line: there may be a million of chunks."""
        facts = self.pyramid.facts
        head = {"software": software(), "ngff": self.ngff, "shape": list(facts.shape), "levels": len(self._sums)}
        with path.open("x", encoding="ascii") as file:
            file.write(json.dumps(head)[:-1] + ', "chunks": {')
            file.writelines(("," if number else "") + line for number, line in enumerate(self._lines()))
            file.write("\n}}\n")

    def _lines(self) -> Iterator[str]:
        for level, sums in enumerate(self._sums):
            for number, crc in enumerate(sums.tolist()):
                yield f'\n"{self._key(level, number)}": ' + (f'"{crc:08x}"' if crc >= 0 else "null")


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="ascii")
