"""A folder of many files appears under its name complete, or not at all; an older one is replaced only if it is a Zarr.

The new folder is made beside the old, then the two change their names at once (Linux, renameat2). Where the system
cannot do that the old one is moved aside first; if a crash comes just then, the next call moves it back.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from dgno.errors import DgnoError, InputError, OutOfMemory
from dgno.io.atomic import name_beside, output_error, sync_folder, temporary_name

COMPLETE = "complete.json"
GROUPS = (".zgroup", "zarr.json")
FILES = (*GROUPS, ".zattrs", ".zmetadata", COMPLETE)  # that lie in the top folder of an OME-Zarr
ASIDE = ".dgno-old"
HERE, EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE


def is_store(folder: Path) -> bool:
    """Is this a group of Zarr, and no other file in its top folder?"""
    names = {entry.name for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)}
    return any(name in names for name in GROUPS) and names <= set(FILES)


def write_store(path: Path, write: Callable[[Path], None], check: Callable[[Path], None]) -> None:
    """Have `write` fill a folder beside `path` and `check` read it back; then it takes the name of `path`.

    As `write_atomically` for files: whatever fails, nothing is left over, and what stood there before is untouched.
    The caller has made sure that what stands there may be replaced.
    """
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(exist_ok=True)
        recover(path)
        temporary = temporary_name(path)
        try:
            _remove(temporary)
            temporary.mkdir()
            write(temporary)
            check(temporary)
            sync_tree(temporary)
            _take_name(temporary, path)
            sync_folder(path.parent)
        finally:
            _remove(temporary)  # half of the new, or all of the old
    except OSError as error:
        raise output_error(error, path) from error
    except MemoryError as error:
        raise OutOfMemory("encoding the image needs more memory than there is", path=path) from error
    except DgnoError as error:
        if not isinstance(error, InputError):
            error.path = path
        raise


def recover(path: Path) -> None:
    """Undo what a crash between two renames has left, or clean up after one just behind them."""
    aside = name_beside(path, ".", ASIDE)
    if aside.is_dir() and not os.path.lexists(path):
        os.rename(aside, path)  # noqa: PTH104  # as in `_take_name`
    elif aside.is_dir() and is_store(aside):
        _remove(aside)


def sync_tree(folder: Path) -> None:
    """Make all files and folders below survive a power cut."""
    for place, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(place, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(place))


def _take_name(temporary: Path, path: Path) -> None:
    if not os.path.lexists(path):
        os.rename(temporary, path)  # noqa: PTH104  # tests make this very call fail
    elif not _exchange(temporary, path):
        aside = name_beside(path, ".", ASIDE)
        os.rename(path, aside)  # noqa: PTH104
        try:
            os.rename(temporary, path)  # noqa: PTH104
        except OSError:
            os.rename(aside, path)  # noqa: PTH104
            raise
        _remove(aside)


def _exchange(one: Path, other: Path) -> bool:
    """Have two folders change their names at once; False where the system cannot."""
    try:
        call = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return bool(call(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
