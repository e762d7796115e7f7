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
from typing import IO

from dgno.errors import OutputBusy

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

LOCK = ".dgno-lock"


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into `folder`. Raises OutputBusy if one does, and says which."""
    with (folder / LOCK).open("a+") as file:
        if fcntl is not None:
            _take(file, folder)
        yield


def _take(file: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read(200).strip() or "another process"
        hint = "wait for it, stop it, or choose another folder"
        raise OutputBusy("something writes there already", path=folder, why=holder, hint=hint) from error
    except OSError:  # a file system without locks
        return
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    file.flush()
