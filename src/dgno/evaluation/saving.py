"""Outputs appear under their names whole, or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from dgno.io.atomic import write_bytes


def save_text(path: Path, text: str) -> None:
    """Write text in UTF-8. Raises OutputError."""
    write_bytes(path, text.encode())


def save_csv(path: Path, lines: Iterable[Sequence[object]]) -> None:
    """Write lines of a table, the header first, as CSV. Raises OutputError."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    save_text(path, text.getvalue())
