"""Everything that dgno raises on purpose.

    DgnoError                       code           exit
    ├── ConfigError                 E-CONFIG          2   an option, a config file or an argument is wrong
    │   └── DataLeak                E-LEAK                something stands in two splits of a data set
    ├── InputError                                    3   an input cannot be used
    │   ├── MissingInput            E-IN-MISSING          nothing is there
    │   ├── NotAFile                E-IN-NOTFILE          a pipe, device or folder where a file was wanted
    │   ├── EmptyInput              E-IN-EMPTY            a file of zero bytes
    │   ├── InputNotPermitted       E-IN-PERM             the system does not let us read it
    │   ├── UnreadableInput         E-IN-CORRUPT          the format is known, the contents are broken
    │   ├── TruncatedInput          E-IN-TRUNC            the file ends before its contents
    │   ├── UnknownFormat           E-IN-FORMAT           not an image that dgno reads
    │   ├── UnsupportedInput        E-IN-UNSUPPORTED      a legal image that dgno does not restore
    │   ├── UnsupportedCodec        E-IN-CODEC            a compression without decoder
    │   ├── InputTooLarge           E-IN-TOOLARGE         beyond the limits
    │   ├── NonFiniteInput          E-IN-NONFINITE        NaN or infinite pixels
    │   ├── InputOutOfRange         E-IN-RANGE            values that float32 cannot hold
    │   ├── InputChanged            E-IN-CHANGED          another file than the one first opened
    │   └── UnusableInputs          E-IN-SEVERAL          several files of a data set, each for its own reason
    ├── OutputError                                   4   an output cannot be written
    │   ├── OutputExists            E-OUT-EXISTS          something has that name
    │   ├── OutputNotWritable       E-OUT-DIR             no such folder, or no permission
    │   ├── NoSpace                 E-OUT-NOSPACE         the disk is full
    │   ├── WouldOverwriteInput     E-OUT-INPUT           output and input are one file
    │   ├── OutputCollision         E-OUT-COLLISION       two inputs would get one output
    │   ├── OutputBusy              E-OUT-BUSY            another process writes there
    │   ├── OutputName              E-OUT-NAME            a name that the file system does not take
    │   └── OutputFormat            E-OUT-FORMAT          a format that cannot hold the pixels
    ├── CheckpointError                               5   weights or a checkpoint cannot be used
    │   ├── UnknownWeights          E-CK-UNKNOWN          no weights of that name
    │   ├── CorruptCheckpoint       E-CK-CORRUPT          broken, or not what its hash says
    │   ├── UnsafeCheckpoint        E-CK-UNSAFE           a pickle that wants to run code
    │   ├── CheckpointMismatch      E-CK-MISMATCH         tensors of another network
    │   ├── ChannelMismatch         E-CK-CHANNELS         a network for other channels than the image's
    │   └── NotExportable           E-CK-EXPORT           a network that has no form in another program's format
    ├── ResumeError                 E-RES-MISMATCH    5   what was begun does not fit what is asked now
    ├── ResourceError                                 6   the machine does not suffice
    │   ├── OutOfMemory             E-RS-OOM              an image or a tile does not fit
    │   ├── DeviceUnavailable       E-RS-DEVICE           the device that was asked for is not there
    │   ├── SchedulerUnavailable    E-RS-SCHEDULER        no cluster answers
    │   └── WorkerDied              E-RS-WORKER           processes died of one task, again and again
    ├── BatchFailed                 E-BATCH           7   some of several items failed; the others are done
    └── TrainingDiverged            E-TR-DIVERGED     8   the loss is not finite any more

The command line adds E-USAGE (2), E-INTERRUPTED (130), E-TERMINATED (143) and E-BUG (1), for everything that is none
of these; E-OUT and E-CK stand bare where nothing more can be told. Codes and exit statuses are stable. A message says
what came, what was wanted, and what to do.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar


class DgnoError(Exception):
    """Base of all errors that dgno raises on purpose; prints as `what (path): why; hint`."""

    code: ClassVar[str] = "E-DGNO"
    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, *, path: str | os.PathLike[str] | None = None, why: str = "", hint: str = "") -> None:
        self.what, self.path, self.why, self.hint = what, path, why, hint
        super().__init__(what)

    def __str__(self) -> str:
        text = self.what if self.path is None else f"{self.what} ({printable(self.path)})"
        text += f": {self.why}" if self.why else ""
        return text + (f"; {self.hint}" if self.hint else "")

    def as_json(self) -> dict[str, object]:
        """The error for machines: code, path, message and hint."""
        message = f"{self.what}: {self.why}" if self.why else self.what
        path = None if self.path is None else printable(self.path)
        return {"code": self.code, "path": path, "message": message, "hint": self.hint}


@contextlib.contextmanager
def about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of ours from inside that name no file are about this one."""
    try:
        yield
    except DgnoError as error:
        error.path = path if error.path is None else error.path
        raise


class DgnoWarning(UserWarning):
    """Something odd that does not stop the work; the command line prints it as `dgno: warning: ...`."""


def printable(path: str | os.PathLike[str]) -> str:
    """A path on one line of any terminal: control characters and undecodable bytes are written as escapes."""
    text = os.fspath(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogateescape").decode() for c in text)


class ConfigError(DgnoError):
    code, exit_status = "E-CONFIG", 2


class DataLeak(ConfigError):
    code = "E-LEAK"


class InputError(DgnoError):
    code, exit_status = "E-IN", 3


class MissingInput(InputError):
    code = "E-IN-MISSING"


class NotAFile(InputError):
    code = "E-IN-NOTFILE"


class EmptyInput(InputError):
    code = "E-IN-EMPTY"


class InputNotPermitted(InputError):
    code = "E-IN-PERM"


class UnreadableInput(InputError):
    code = "E-IN-CORRUPT"


class TruncatedInput(UnreadableInput):
    code = "E-IN-TRUNC"


class UnknownFormat(InputError):
    code = "E-IN-FORMAT"


class UnsupportedInput(InputError):
    code = "E-IN-UNSUPPORTED"


class UnsupportedCodec(InputError):
    code = "E-IN-CODEC"


class InputTooLarge(InputError):
    code = "E-IN-TOOLARGE"


class NonFiniteInput(InputError):
    code = "E-IN-NONFINITE"


class InputOutOfRange(InputError):
    code = "E-IN-RANGE"


class InputChanged(InputError):
    code = "E-IN-CHANGED"


class UnusableInputs(InputError):
    """errors : what is wrong with each file"""

    code = "E-IN-SEVERAL"

    def __init__(
        self,
        what: str,
        *,
        path: str | os.PathLike[str] | None = None,
        why: str = "",
        hint: str = "",
        errors: Sequence[DgnoError] = (),
    ) -> None:
        super().__init__(what, path=path, why=why, hint=hint)
        self.errors = errors

    def as_json(self) -> dict[str, object]:
        return {**super().as_json(), "results": [error.as_json() for error in self.errors]}


class OutputError(DgnoError):
    code, exit_status = "E-OUT", 4


class OutputExists(OutputError):
    code = "E-OUT-EXISTS"


class OutputNotWritable(OutputError):
    code = "E-OUT-DIR"


class NoSpace(OutputError):
    code = "E-OUT-NOSPACE"


class WouldOverwriteInput(OutputError):
    code = "E-OUT-INPUT"


class OutputCollision(OutputError):
    code = "E-OUT-COLLISION"


class OutputBusy(OutputError):
    code = "E-OUT-BUSY"


class OutputName(OutputError):
    code = "E-OUT-NAME"


class OutputFormat(OutputError):
    code = "E-OUT-FORMAT"


class CheckpointError(DgnoError):
    code, exit_status = "E-CK", 5


class UnknownWeights(CheckpointError):
    code = "E-CK-UNKNOWN"


class CorruptCheckpoint(CheckpointError):
    code = "E-CK-CORRUPT"


class UnsafeCheckpoint(CheckpointError):
    code = "E-CK-UNSAFE"


class CheckpointMismatch(CheckpointError):
    code = "E-CK-MISMATCH"


class ChannelMismatch(CheckpointError):
    code = "E-CK-CHANNELS"


class NotExportable(CheckpointError):
    code = "E-CK-EXPORT"


class ResumeError(DgnoError):
    code, exit_status = "E-RES-MISMATCH", 5


class ResourceError(DgnoError):
    code, exit_status = "E-RS", 6


class OutOfMemory(ResourceError):
    code = "E-RS-OOM"


class DeviceUnavailable(ResourceError):
    code = "E-RS-DEVICE"


class SchedulerUnavailable(ResourceError):
    code = "E-RS-SCHEDULER"


class WorkerDied(ResourceError):
    code = "E-RS-WORKER"


class BatchFailed(DgnoError):
    """results : what became of every item, for machines"""

    code, exit_status = "E-BATCH", 7

    def __init__(self, what: str, *, hint: str = "", results: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(what, hint=hint)
        self.results = results

    def as_json(self) -> dict[str, object]:
        return {**super().as_json(), "results": list(self.results)}


class TrainingDiverged(DgnoError):
    code, exit_status = "E-TR-DIVERGED", 8
