"""The log of a run: a JSON object for every step, in order, each step once; and what to do when the disk is full."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from dgno.io.atomic import output_error

SCORES = frozenset({"psnr_restored", "accuracy"})  # the more the better


def append(log: Path, entry: dict[str, float]) -> None:
    """Write the entry of a step. Raises OutputError."""
    with writing(log), log.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def truncate(log: Path, step: int) -> None:
    """Drop the entries that lie after the checkpoint: their steps will be taken again. Raises OutputError."""
    with writing(log):
        kept = "".join(line for line, entry in _readable(log) if entry["step"] <= step)
        shorter = log.with_name(f".{log.name}.dgno-part")  # a kill must not leave half a log
        shorter.write_text(kept)
        shorter.replace(log)


def validated(log: Path) -> dict[int, float]:
    """What the validation crops scored, PSNR or accuracy, by step."""
    entries = [entry for _, entry in _readable(log)]
    return {int(entry["step"]): entry[score] for entry in entries for score in SCORES if score in entry}


def _readable(log: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """The lines of the log and what they say, without those that a crash of the machine has torn or blanked."""
    for line in log.read_text(errors="replace").splitlines(keepends=True) if log.exists() else []:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if line.endswith("\n") and isinstance(entry, dict) and isinstance(entry.get("step"), int):
                yield line, entry


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system raises on writing `path`, as an OutputError."""
    try:
        yield
    except OSError as error:
        raise output_error(error, path) from error
