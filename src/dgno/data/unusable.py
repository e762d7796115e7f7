"""Files of a data set that cannot be used: all of them are named in one error, or a few are left out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dgno.errors import ConfigError, DgnoError, InputError, UnusableInputs, about, printable

SHOWN = 16  # files that an error names; it counts the others
MOST_SKIPPED = 0.01  # share of the files that may be left out


class Unusable:
    """What is wrong with files of a data set, gathered while they are read.

    may_skip : up to 1 % of the files may be left out; else none
    """

    def __init__(self, *, may_skip: bool = False) -> None:
        self.share = MOST_SKIPPED if may_skip else 0.0
        self.errors: dict[Path, DgnoError] = {}

    @contextlib.contextmanager
    def looking_at(self, path: Path) -> Iterator[None]:
        """What is wrong with a file, or with another that belongs to it, is kept, and does not stop whoever looks."""
        try:
            with about(path):
                yield
        except (InputError, ConfigError) as error:
            self.errors[Path(error.path or path)] = error

    def is_too_much(self, files: int) -> bool:
        """Are more of so many files wrong than may be left out?"""
        return len(self.errors) > self.share * files

    def refuse(self, root: Path, files: int) -> None:
        """Raise what is wrong, if it is too much: the error itself of a single file, else UnusableInputs."""
        if not self.is_too_much(files):
            return
        errors = list(self.errors.values())
        if len(errors) == 1 and not self.share:
            raise errors[0]
        shown = "; ".join(f"{_below(root, error)}: {error.as_json()['message']}" for error in errors[:SHOWN])
        more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        hint = "correct them, or move them away; --skip-bad leaves out up to 1 % of the files, and this is more"
        what = f"{len(errors)} of {files} files cannot be used"
        raise UnusableInputs(what, path=root, why=shown + more, hint=hint, errors=errors)


def _below(root: Path, error: DgnoError) -> str:
    """The name of the file that an error is about, as it is seen from the data folder."""
    return printable(os.path.relpath(error.path or root, root))
