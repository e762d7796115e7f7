"""What has been done of a long run, on disk, so that the run can go on after it was killed.

`blocks.dat` holds the results one after the other; `journal.log` says which they are. A record of the journal is
written only after its data were synced to the disk, and carries a checksum of itself and one of its data: after a kill
or a power cut every record that reads whole speaks of data that are there, and a torn last one is cut off.

    record = length (4 bytes) | crc32 of the text (4 bytes) | JSON text

The first record is the identity of the run: what would make other results must stand in it.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dgno.errors import OutputError, ResumeError
from dgno.io.atomic import output_error, sync_folder
from dgno.io.provenance import differences

JOURNAL, BLOCKS = "journal.log", "blocks.dat"
HEAD = struct.Struct("<II")
LONGEST_RECORD = 2**26  # bytes; what claims to be longer is torn
SYNC_SECONDS = 5.0
SYNC_BYTES = 2**28

Identity = Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """Where the result of one block lies in `blocks.dat`."""

    offset: int
    nbytes: int
    crc: int
    dtype: str
    shape: tuple[int, ...]
    facts: Mapping[str, Any]


class Journal:
    """The blocks of one run that are done. One process writes at a time (see `dgno.io.lock`).

    folder : is made if it is missing
    identity : of the run; what is found there must have the same (ResumeError names the keys that differ)
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder, self.identity = folder, dict(identity)
        self.entries: dict[int, Entry] = {}
        self.notes: list[dict[str, Any]] = []
        self._pending: list[dict[str, Any]] = []
        self._end = 0  # of the records in the file
        self._pending_bytes, self._synced = 0, time.monotonic()
        self._files: list[FileIO] = []
        try:
            folder.mkdir(exist_ok=True)
            for name in (JOURNAL, BLOCKS):
                self._files.append(_open(folder / name))
            self._recover()
        except BaseException as error:
            for file in self._files:
                file.close()
            if isinstance(error, OSError):
                raise output_error(error, folder) from error
            raise

    @property
    def _log(self) -> FileIO:
        return self._files[0]

    @property
    def _data(self) -> FileIO:
        return self._files[1]

    def __contains__(self, block: int) -> bool:
        return block in self.entries

    def put(self, block: int, result: np.ndarray, **facts: Any) -> None:
        """Keep the result of a block, and facts about it that JSON can hold."""
        data = np.ascontiguousarray(result)
        try:
            offset = self._data.seek(0, os.SEEK_END)
            _write(self._data, data.data.cast("B"))
        except OSError as error:
            raise output_error(error, self.folder) from error
        entry = Entry(offset, data.nbytes, zlib.crc32(data.data), data.dtype.str, data.shape, facts)
        record = {"block": block, "offset": offset, "bytes": entry.nbytes, "crc": entry.crc, "dtype": entry.dtype}
        self._pending.append(record | {"shape": list(entry.shape), "facts": facts})
        self.entries[block] = entry
        self._pending_bytes += entry.nbytes
        if time.monotonic() - self._synced > SYNC_SECONDS or self._pending_bytes > SYNC_BYTES:
            self.sync()

    def note(self, **facts: Any) -> None:
        """Keep a remark of the run itself, such as a smaller tile."""
        self.notes.append(facts)
        self._pending.append({"note": facts})

    def get(self, block: int) -> np.ndarray:
        """The result of a block. Raises OutputError if the disk has not kept it."""
        entry = self.entries[block]
        try:
            data = os.pread(self._data.fileno(), entry.nbytes, entry.offset)
        except OSError as error:
            raise output_error(error, self.folder) from error
        if len(data) != entry.nbytes or zlib.crc32(data) != entry.crc:
            hint = "check the disk; delete this folder and restore anew"
            raise OutputError("results kept for resuming are damaged", path=self.folder / BLOCKS, hint=hint)
        return np.frombuffer(data, entry.dtype).reshape(entry.shape)

    def sync(self) -> None:
        """Have everything that was put survive a power cut: first the data, then the records that speak of them."""
        self._synced = time.monotonic()
        if not self._pending:
            return
        try:
            os.fsync(self._data.fileno())
            records = b"".join(map(_packed, self._pending))
            self._log.seek(self._end)  # where an interrupted sync began: its records are written over by the same
            _write(self._log, records)
            os.fsync(self._log.fileno())
        except OSError as error:
            raise output_error(error, self.folder) from error
        self._end += len(records)
        self._pending.clear()
        self._pending_bytes = 0

    def close(self) -> None:
        """Sync, and give back the files."""
        try:
            self.sync()
        finally:
            for file in self._files:
                file.close()

    def remove(self) -> None:
        """Delete it: the run is complete. Other files in the folder stay."""
        self._pending.clear()
        for file in self._files:
            file.close()
        discard(self.folder)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._log.closed:
            self.close()

    def _recover(self) -> None:
        """Read what is there; cut off a torn end. A new journal gets its identity."""
        records, whole = _records(self._log)
        size = self._data.seek(0, os.SEEK_END)
        if not records:
            for file in self._files:
                file.truncate(0)
                file.seek(0)
            first = _packed({"identity": self.identity})
            _write(self._log, first)
            self._end = len(first)
            os.fsync(self._log.fileno())
            sync_folder(self.folder)
            return
        self._log.truncate(whole)
        self._end = whole
        refuse_another(records[0].get("identity", {}), self.identity, self.folder)
        end = 0
        for record in records[1:]:
            if "note" in record:
                self.notes.append(record["note"])
                continue
            entry = Entry(
                record["offset"],
                record["bytes"],
                record["crc"],
                record["dtype"],
                tuple(record["shape"]),
                record["facts"],
            )
            if entry.offset + entry.nbytes <= size:
                self.entries[record["block"]] = entry
                end = max(end, entry.offset + entry.nbytes)
        self._data.truncate(end)  # data that no record speaks of are computed again


def refuse_another(found: Identity, wanted: Identity, folder: Path) -> None:
    """Raise ResumeError, which names what differs, unless what was begun in the folder is of the same run."""
    differing = sorted({*differences(found, wanted), *(found.keys() - wanted.keys())})
    if differing:
        why = f"it differs in {', '.join(differing)}"
        hint = "say --overwrite instead of --resume to begin anew, or choose another output"
        raise ResumeError("what was begun is not of this run", path=folder, why=why, hint=hint)


def discard(folder: Path) -> None:
    """Delete the journal in a folder, and the folder if nothing else is in it."""
    try:
        for name in (JOURNAL, BLOCKS):
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise output_error(error, folder) from error


def _open(path: Path) -> FileIO:
    """Open for reading and writing, made if missing, never through a link."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return os.fdopen(descriptor, "r+b", buffering=0)  # what was written is with the system, not in this process


def _write(file: FileIO, data: bytes | memoryview) -> None:
    """All of it: one call of the system may take only a part."""
    rest = memoryview(data)
    while len(rest):
        rest = rest[file.write(rest) or 0 :]


def _packed(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, sort_keys=True).encode()
    return HEAD.pack(len(text), zlib.crc32(text)) + text


def _records(file: FileIO) -> tuple[list[dict[str, Any]], int]:
    """The whole records from the start on, and where they end."""
    file.seek(0)
    records: list[dict[str, Any]] = []
    end = 0
    while len(head := file.read(HEAD.size)) == HEAD.size:
        length, crc = HEAD.unpack(head)
        if length > LONGEST_RECORD or len(text := file.read(length)) < length or zlib.crc32(text) != crc:
            break
        records.append(json.loads(text))
        end += HEAD.size + length
    return records, end
