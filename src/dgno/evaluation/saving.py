"""Outputs appear under their names whole, or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from dgno.errors import OutputError
from dgno.io.atomic import output_error, write_atomically


def make_folder(folder: Path) -> None:
    """Make a folder for outputs, and those above it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, folder) from error


def save_text(path: Path, text: str) -> None:
    """Write text in UTF-8. Raises OutputError."""
    save_bytes(path, text.encode())


def save_csv(path: Path, lines: Iterable[Sequence[object]]) -> None:
    """Write lines of a table, the header first, as CSV. Raises OutputError."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    save_text(path, text.getvalue())


def save_bytes(path: Path, data: bytes) -> None:
    """Write bytes, and read them back. Raises OutputError."""

    def write(file: BinaryIO) -> None:
        file.write(data)

    def check(written: Path) -> None:
        if written.read_bytes() != data:
            raise OutputError("what was written does not read back the same", hint="check the disk")

    write_atomically(path, write, check)
