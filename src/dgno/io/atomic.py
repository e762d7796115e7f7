"""A file appears under its name complete, or not at all: temporary name, fsync, check, rename, fsync of the folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from dgno.errors import DgnoError, InputError, NoSpace, OutOfMemory, OutputError, OutputName, OutputNotWritable

SUFFIX = ".dgno-part"
LONGEST_NAME, LONGEST_PATH = 255, 4096
NO_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


def write_atomically(path: Path, write: Callable[[BinaryIO], None], check: Callable[[Path], None]) -> None:
    """Have `write` fill a file beside `path` and `check` read it back; then it takes the name of `path`.

    A missing last folder is created. Links are followed, so that a link to a file stays one. Whatever fails, nothing
    is left over and what stood under the name before is untouched; only if the very last step fails, the sync of the
    folder, the new file stands there complete.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):  # to a link to one, a rename would take its place
        raise OutputNotWritable("this is a device or a pipe, not a file", path=path, hint="choose another name")
    try:
        path.parent.mkdir(exist_ok=True)
        temporary = temporary_name(path)
        try:
            _fill(temporary, write)
            check(temporary)
            os.replace(temporary, path)  # noqa: PTH105  # tests make this very call fail
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(error, path) from error
    except MemoryError as error:
        raise OutOfMemory("encoding the image needs more memory than there is", path=path) from error
    except DgnoError as error:
        if not isinstance(error, InputError):  # where `write` reads as it goes
            error.path = path  # not the temporary name
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Have a small file appear complete. Raises OutputError."""

    def write(file: BinaryIO) -> None:
        file.write(data)

    def check(written: Path) -> None:
        if written.read_bytes() != data:
            raise OutputError("what was written does not read back the same", hint="check the disk")

    write_atomically(path, write, check)


def temporary_name(path: Path) -> Path:
    """`.<name>.<hash>.dgno-part` beside `path`, cut so that it is no longer than names can be."""
    owner = f"{path}|{os.getpid()}|{threading.get_ident()}"
    tail = f".{hashlib.sha256(os.fsencode(owner)).hexdigest()[:8]}{SUFFIX}"
    return path.with_name(f".{_cut(path.name, len(tail) + 1)}{tail}")


def name_beside(path: Path, before: str, after: str) -> Path:
    """`before` + name + `after`, beside `path`; cut if that is longer than names can be, and told apart by a hash."""
    name, room = path.name, len(before) + len(after)
    if len(os.fsencode(name)) + room > LONGEST_NAME:
        digest = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
        name = _cut(name, room + len(digest)) + digest
    return path.with_name(f"{before}{name}{after}")


def _cut(name: str, room: int) -> str:
    """The name without its end, so that so many more bytes fit."""
    while len(os.fsencode(name)) + room > LONGEST_NAME:
        name = name[:-1]
    return name


def remove_leftovers(path: Path) -> None:
    """Delete what killed processes left of outputs of this name: files and folders as `temporary_name` calls them.

    Only for who keeps others from writing `path`: they would lose what they write.
    """
    path = Path(os.path.realpath(path))
    start = temporary_name(path).name[: -len(f".01234567{SUFFIX}")]
    if start != f".{path.name}":  # cut: another output may begin alike
        return
    pattern = re.compile(re.escape(start) + r"\.[0-9a-f]{8}" + re.escape(SUFFIX))
    for left in [one for one in path.parent.iterdir() if pattern.fullmatch(one.name)] if path.parent.is_dir() else []:
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def output_error(error: OSError, path: Path) -> OutputError:
    """The error of ours for one that the system raised on writing `path`."""
    why = error.strerror or str(error)
    if error.errno in NO_SPACE:
        return NoSpace("no space for the output", path=path, why=why, hint="free some, or write to another disk")
    if error.errno == errno.ENAMETOOLONG:
        return OutputName("the name of the output is too long", path=path, why=why, hint="choose a shorter one")
    if error.errno in NOT_WRITABLE:
        return OutputNotWritable("the output cannot be written", path=path, why=why, hint="choose another folder")
    return OutputError("writing the output failed", path=path, why=why, hint="check the disk")


def make_folder(folder: Path) -> None:
    """Make a folder for outputs, and those above it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, folder) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(temporary: Path, write: Callable[[BinaryIO], None]) -> None:
    """O_EXCL: never through a link that someone laid there. A file of that name is left from a crash, and goes."""
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "w+b") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
