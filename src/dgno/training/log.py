"""The log of a run: a JSON object for every step, in order, each step once; and what to do when the disk is full."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from dgno.io.atomic import output_error


def append(log: Path, entry: dict[str, float]) -> None:
    """Write the entry of a step. Raises OutputError."""
    with writing(log), log.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def truncate(log: Path, step: int) -> None:
    """Drop the entries that lie after the checkpoint: their steps will be taken again. Raises OutputError."""
    with writing(log):
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        kept = "".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step)
        shorter = log.with_name(f".{log.name}.dgno-part")  # a kill must not leave half a log
        shorter.write_text(kept)
        shorter.replace(log)


def validated(log: Path) -> dict[int, float]:
    """The PSNR of the validation crops, by step."""
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return {entry["step"]: entry["psnr_restored"] for entry in entries if "psnr_restored" in entry}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system raises on writing `path`, as an OutputError."""
    try:
        yield
    except OSError as error:
        raise output_error(error, path) from error
