"""The record of files that a run was allowed to leave out: `skipped.csv` in its folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

from dgno.data.unusable import Unusable
from dgno.errors import ResumeError, printable
from dgno.io.atomic import write_bytes

NAME = "skipped.csv"


def record_skipped(
    out: Path, unusable: Unusable, root: Path, *, is_resumed: bool, remark: Callable[[str], None]
) -> None:
    """Write which files of the data below `root` are left out, if any is, and remark it.

    is_resumed : the run has taken steps, and must go on with the very same files
    Raises ResumeError, OutputError.
    """
    path, lines = out / NAME, _table(unusable, root)
    before = path.read_bytes() if path.is_file() else b""
    if is_resumed and before != lines:
        why, hint = f"its {NAME} names others", "put the data back as they were, or give another `out`"
        raise ResumeError("other files are left out than when the run was begun", path=out, why=why, hint=hint)
    if not lines:
        path.unlink(missing_ok=True)
        return
    if before != lines:
        write_bytes(path, lines)
    remark(f"{len(unusable.errors)} of the files cannot be used and are left out, see {printable(path)}")


def _table(unusable: Unusable, root: Path) -> bytes:
    """File and code of each, one a line, the header first; nothing without any."""
    if not unusable.errors:
        return b""
    text = io.StringIO(newline="")
    found = {Path(os.path.relpath(path, root)).as_posix(): error.code for path, error in unusable.errors.items()}
    csv.writer(text).writerows([("file", "error"), *sorted(found.items())])
    return os.fsencode(text.getvalue())
