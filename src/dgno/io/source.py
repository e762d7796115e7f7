"""Bytes of an open file at any place, for several threads at once."""

from __future__ import annotations

import os
from pathlib import Path

from dgno.errors import ConfigError, TruncatedInput
from dgno.io.opening import Opened

RETRIES = 2  # after an input/output error; a network drive may recover


class Source:
    """A file that stays open by a descriptor of its own."""

    def __init__(self, opened: Opened) -> None:
        self.path: Path = opened.path
        self.size = opened.size
        self._descriptor: int | None = os.dup(opened.file.fileno())

    def read(self, place: int, length: int) -> bytes:
        """`length` bytes from `place`; TruncatedInput if the file ends before, OSError as the system has it."""
        parts, missing = [], length
        while missing:
            part = self._read_some(place + length - missing, missing)
            if not part:
                why = f"{place + length:,} bytes wanted, the file has {place + length - missing:,}"
                raise TruncatedInput("the file ends before its contents", why=why)
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def fingerprint(self) -> tuple[int, ...]:
        """Device, inode, size and time of the last change of what has the name now."""
        now = self.path.stat()
        return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _read_some(self, place: int, length: int) -> bytes:
        if self._descriptor is None:
            raise ConfigError("the file is closed", hint="read inside the `with` block of the slide")
        for left in reversed(range(RETRIES + 1)):
            try:
                return os.pread(self._descriptor, length, place)
            except OSError:
                if not left:
                    raise
        raise AssertionError("unreachable")
