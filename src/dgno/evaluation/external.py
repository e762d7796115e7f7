"""Restorers that are commands of other programs: they read a folder of images and write one."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.errors import ConfigError, DgnoError, printable
from dgno.evaluation.pairs import is_whole_file, read_pair
from dgno.io.image import read_image, write_image
from dgno.restoration.batch_report import REPORT

MINUTES = 60.0
TOLD = 300  # characters of what a failed command said


@dataclass(frozen=True)
class ExternalMethod:
    """What a command made of all pairs, looked up by the key of the record; see `run_external`."""

    restored: dict[str, Image]
    seconds_per_megapixel: float

    def __call__(self, image: Image, record: Record) -> Image:
        """The restored image on the scale, and in the dtype, of the one that methods are given."""
        return replace(image, pixels=self.restored[record.key].pixels.astype(image.pixels.dtype))


def run_external(command: str, records: Sequence[Record], *, minutes: float = MINUTES) -> ExternalMethod:
    """Restore the blurred images of all pairs by one call of a command.

    command : program and arguments, in which {in} stands for a folder that holds copies of the blurred files (where a
        record names a plane or a shift, TIFF files of what is compared), and {out} for an empty one, where it has to
        write one image of the same name (another suffix is allowed), shape and dtype for each; quoted as in a shell,
        but no shell sees it
    minutes : after that long the command, and what it started, is ended
    Raises ConfigError, which names the first file that is missing, extra or different, and tells what the command said
    if it failed. Speed is that of the whole call, starting included.
    """
    with tempfile.TemporaryDirectory(prefix="dgno-external-") as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        target.mkdir()
        given = {
            record.key: _given(record, name, source) for record, name in zip(records, _names(records), strict=True)
        }
        arguments = parse_command(command, source, target)
        started = time.perf_counter()
        _run(arguments, Path(folder), seconds=60 * minutes)
        seconds = time.perf_counter() - started
        found = _outputs(target, {path.stem: key for key, (path, _) in given.items()}, arguments[0])
        restored = {key: _checked(path, given[key][1], arguments[0]) for key, path in found.items()}
    pixels = sum(float(np.prod(image.shape_without_samples)) for _, image in given.values())
    return ExternalMethod(restored, seconds * 1e6 / pixels)


def _names(records: Sequence[Record]) -> list[str]:
    """What to call the blurred images: as their files, all with a number if two would have one name."""
    stems = [record.input.stem if record.input else record.key for record in records]
    return stems if len(set(stems)) == len(stems) else [f"{i:05d}_{stem}" for i, stem in enumerate(stems)]


def _given(record: Record, name: str, folder: Path) -> tuple[Path, Image]:
    """The file that the command is given, and its image."""
    if record.input is not None and is_whole_file(record):
        path = folder / f"{name}{record.input.suffix}"
        shutil.copy(record.input, path)
        return path, read_image(path)
    image, path = read_pair(record).blurred, folder / f"{name}.tif"
    write_image(path, image)
    return path, image


def parse_command(command: str, source: Path, target: Path) -> list[str]:
    """The arguments of a command, with the two folders put in. Raises ConfigError if it names not both."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError("the external command cannot be read", why=f"{error}: {command}") from error
    if not all(any(place in word for word in words[1:]) for place in ("{in}", "{out}")):
        hint = 'say where the folders go: --external "COMMAND {in} {out}"'
        raise ConfigError(f"the external command has not both {{in}} and {{out}}: {command}", hint=hint)
    return [word.replace("{in}", str(source)).replace("{out}", str(target)) for word in words]


def _run(arguments: list[str], folder: Path, *, seconds: float) -> None:
    """Run a command in its own process group; ConfigError if it cannot start, fails, or takes too long."""
    said = folder / "said.txt"
    with said.open("wb") as log:
        try:
            child = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise _failed(arguments[0], f"it does not start: {error.strerror}") from error
        try:
            status = child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise _failed(arguments[0], f"it ran longer than {seconds / 60:g} minutes") from None
        finally:
            _end(child)
    if status != 0:
        words = printable(" ".join(said.read_bytes().decode(errors="replace").split())[-TOLD:])
        raise _failed(arguments[0], f"it ended with status {status}" + (f" and said: {words}" if words else ""))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End what is left of the command's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # the group outlives its leader as long as one of it runs
    child.wait()


def _outputs(target: Path, wanted: Mapping[str, str], program: str) -> dict[str, Path]:
    """Key -> the file that was written for it; `wanted` has the key of every stem. Hidden files are passed over, and so
    is the report of a `dgno restore`."""
    found: dict[str, Path] = {}
    for path in sorted(p for p in target.iterdir() if not p.name.startswith(".") and p.name != REPORT):
        if path.stem not in wanted or wanted[path.stem] in found or not path.is_file():
            raise _failed(program, f"it wrote {printable(path.name)}, which is for none of the images")
        found[wanted[path.stem]] = path
    if missing := sorted(stem for stem, key in wanted.items() if key not in found):
        raise _failed(program, f"it wrote no image for {printable(missing[0])}, {len(missing)} of {len(wanted)} miss")
    return found


def _checked(path: Path, blurred: Image, program: str) -> Image:
    """The image of a file. Raises ConfigError if it is none, of another shape or dtype, or not finite."""
    name = printable(path.name)
    try:
        image = read_image(path)
    except DgnoError as error:
        raise _failed(program, f"it wrote {name}, which cannot be read: {error.why or error.what}") from error
    came, wanted = (f"{x.pixels.dtype} of shape {x.pixels.shape}" for x in (image, blurred))
    if came != wanted:
        raise _failed(program, f"it wrote {name} as {came}, wanted {wanted}")
    if not np.isfinite(image.pixels).all():
        raise _failed(program, f"it wrote {name} with values that are NaN or infinite")
    return image


def _failed(program: str, why: str) -> ConfigError:
    return ConfigError(f"the external command {printable(program)} failed", why=why)
