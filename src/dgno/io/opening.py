"""Open an input without blocking, tell its format by its first bytes, and turn every failure into an error of ours."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dgno.errors import (
    DgnoError,
    EmptyInput,
    InputChanged,
    InputNotPermitted,
    MissingInput,
    NotAFile,
    OutOfMemory,
    TruncatedInput,
    UnknownFormat,
    UnreadableInput,
)

REFUSALS = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)
MAGIC = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpeg": (b"\xff\xd8\xff",),
    "tiff": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "bmp": (b"BM",),
}
EXTENSIONS = {
    "png": (".png", ".apng"),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "tiff": (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".svs", ".ndpi", ".scn", ".lsm", ".stk", ".qptiff"),
    "bmp": (".bmp", ".dib"),
}
FOREIGN = (  # (place, first bytes, name): formats that users have, and dgno does not read as images
    (0, b"ZISRAWFILE", "Zeiss CZI"),
    (0, b"\x70\x00\x00\x00", "Leica LIF"),
    (0, b"\xda\xce\xbe\x0a", "Nikon ND2"),
    (0, b"\xd0\xcf\x11\xe0", "OLE compound (Olympus OIB, Zeiss ZVI)"),
    (128, b"DICM", "DICOM"),
    (0, b"\x89HDF", "HDF5 (Imaris and others)"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"%PDF", "PDF"),
)
SENSELESS = (TypeError, AttributeError, ArithmeticError, LookupError, AssertionError)  # say nothing to a user
COPY_AGAIN = "copy it again from its source, or save it anew"
READABLE = "dgno reads TIFF, OME-TIFF, PNG, JPEG and BMP, slides (SVS, NDPI, MIRAX and others) and OME-Zarr"


@dataclass(frozen=True)
class Opened:
    """An open regular file.

    size : in bytes
    format : "png", "jpeg", "tiff" or "bmp", by its contents
    messages : what the image libraries have logged about it so far
    """

    file: BinaryIO
    path: Path
    size: int
    format: str
    messages: list[logging.LogRecord]


@contextmanager
def open_input(path: str | os.PathLike[str]) -> Iterator[Opened]:
    """The file at `path`, open for reading; whatever goes wrong inside is raised as an error of ours that names it."""
    path = Path(path)
    with naming(path) as messages, open_regular(path) as file:
        before = os.fstat(file.fileno())
        yield Opened(file, path, before.st_size, sniff(file, before.st_size), messages)
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputChanged("the file was written to while it was read", hint="run again when it is complete")


@contextmanager
def naming(path: Path) -> Iterator[list[logging.LogRecord]]:
    """Turn every exception into an error of ours that names `path`; library messages do not reach the user's screen."""
    try:
        with muted() as messages:
            yield messages
    except DgnoError as error:
        error.path = path if error.path is None else error.path
        if isinstance(error, UnreadableInput) and not error.hint:
            error.hint = COPY_AGAIN
        raise
    except MemoryError as error:
        raise OutOfMemory("the image does not fit in memory", path=path, hint="cut it, or free memory") from error
    except OSError as error:
        raise os_error(error, path) from error
    except Exception as error:  # whatever a decoder raises on broken contents; the cause is kept for --debug
        why = "its headers contradict each other" if isinstance(error, SENSELESS) else shortened(error)
        raise UnreadableInput("broken image", path=path, why=why, hint=COPY_AGAIN) from error


def os_error(error: OSError, path: Path) -> DgnoError:
    """The error of ours for one that the system raised on opening or reading `path`."""
    if error.errno == errno.ENAMETOOLONG:
        return MissingInput("no file has such a name", path=path, why=shortened(error), hint="check the name")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return MissingInput("there is no such file", path=path, hint="check the name")
    if error.errno in (errno.EACCES, errno.EPERM):
        return InputNotPermitted("the system does not let dgno read this file", path=path, hint="check its permissions")
    if error.errno in (errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.ELOOP):
        return NotAFile("not a regular file", path=path, why=os.strerror(error.errno), hint="give an image file")
    return UnreadableInput("the file cannot be read", path=path, why=shortened(error))


def refused_name(error: Exception) -> DgnoError | None:
    """The error of ours for one of the system about a name that was given: one that is too long, or may not be used."""
    if isinstance(error, OSError) and error.errno in REFUSALS and error.filename:
        return os_error(error, Path(os.fsdecode(error.filename)))
    return None


def shortened(error: BaseException) -> str:
    """What a library said, on one line, without names of its objects."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = re.sub(r"<(tifffile|Tiff)[^>]*>\s*|\s+", " ", text).strip()
    text = re.sub(r"^raised \w+\(['\"]\s*(.*?)\s*['\"]?\)?$", r"\1", text)
    return (text or type(error).__name__)[:200]


def open_regular(path: Path) -> BinaryIO:
    """O_NONBLOCK: opening a named pipe must not wait for a writer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL character in the name
        raise MissingInput("no file has such a name", why=str(error), hint="check the name") from error
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        names = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        raise NotAFile(f"{names.get(stat.S_IFMT(kind), 'a device')} and not a file", hint="give an image file")
    return os.fdopen(descriptor, "rb")


def sniff(file: BinaryIO, size: int) -> str:
    """The format of an open file, by its first bytes; refuses empty, foreign and unknown ones."""
    if size == 0:
        raise EmptyInput("the file is empty (0 bytes)", hint="copy it again from its source")
    head = file.read(256)
    file.seek(0)
    for name, magics in MAGIC.items():
        if any(head.startswith(magic) for magic in magics):
            return name
        if any(magic.startswith(head) for magic in magics):
            raise TruncatedInput(f"the file ends after {size} bytes, inside its signature", hint=COPY_AGAIN)
    for place, magic, name in FOREIGN:
        if head[place:].startswith(magic):
            raise UnknownFormat(f"a {name} file", why=READABLE, hint="export it as OME-TIFF (Fiji and QuPath can)")
    raise UnknownFormat("not an image that dgno knows", why=f"it begins with {_in_words(head)}", hint=READABLE)


def _in_words(head: bytes) -> str:
    """The first bytes of a file: as text if they are, else as hexadecimal numbers."""
    text = " ".join(head[:24].decode("ascii", "replace").split())
    if text.isascii() and text.isprintable():
        return f'the text "{text}"'
    return f"the bytes {head[:8].hex(' ')}"


def extension_note(path: Path, format: str) -> tuple[str, ...]:
    """A note if the name of the file speaks of another format than its contents."""
    suffix = path.suffix.lower()
    claimed = next((name for name, suffixes in EXTENSIONS.items() if suffix in suffixes), format)
    return () if claimed == format else (f"the name ends in {suffix}, but the contents are {format.upper()}",)


@contextmanager
def muted() -> Iterator[list[logging.LogRecord]]:
    """Keep log records of the image libraries that this thread causes off the screen; they are collected instead."""
    collector = _Collector()
    loggers = [logging.getLogger(name) for name in ("tifffile", "imagecodecs")]
    for logger in loggers:
        logger.addFilter(collector)
    try:
        yield collector.records
    finally:
        for logger in loggers:
            logger.removeFilter(collector)


class _Collector(logging.Filter):
    """A filter, not a handler, so that threads that read at the same time need no common switch."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        if len(self.records) < 1000:
            self.records.append(record)
        return False
