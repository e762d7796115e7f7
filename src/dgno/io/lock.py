"""One process at a time writes into a folder.

The lock is one of the system (flock), so it ends with its process, however that ends; the file stays. Where there are
no such locks (Windows, some network file systems) nothing is locked.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from dgno.errors import OutputBusy
from dgno.io.atomic import output_error

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

LOCK = ".dgno-lock"


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into `folder`. Raises OutputBusy if one does, and says which."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise output_error(error, folder) from error
    try:
        if fcntl is not None:
            _take(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _busy(folder, os.pread(descriptor, 200, 0).decode(errors="replace").strip()) from error
    except OSError:  # a file system without locks
        return
    if not _is_there(descriptor, folder / LOCK):  # whoever held it has just ended, and taken it away
        raise _busy(folder, "")
    text = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, text.encode())
    except OSError as error:
        raise output_error(error, folder) from error


def _is_there(descriptor: int, path: Path) -> bool:
    """Is this still the file of that name?"""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _busy(folder: Path, holder: str) -> OutputBusy:
    hint = "wait for it, stop it, or choose another folder"
    return OutputBusy("something writes there already", path=folder, why=holder or "another process", hint=hint)
