"""`report.json`: what became of every input whose output lies in a folder, from the first run on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dgno.errors import printable
from dgno.io.atomic import output_error, write_atomically
from dgno.io.output import check_place

if TYPE_CHECKING:
    from dgno.restoration.batch import Job, Outcome

REPORT = "report.json"
MADE = ("restored", "incomplete", "complete")  # of an outcome, if there is an output
Entry = dict[str, Any]  # of a report, as JSON has it


def prepare_folders(out: Path, jobs: Iterable[Job]) -> None:
    """Make the folders of all outputs; of `out` itself at most the last part may be missing."""
    check_place(out / REPORT, overwrite=read_report(out) is not None)
    try:
        for folder in {job.target.parent for job in jobs} | {out}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, out) from error


def read_report(folder: Path) -> Entry | None:
    """The report of ours in a folder, which the next run may replace; None if there is none."""
    try:
        report = json.loads((folder / REPORT).read_text())
        _ = [(one["output"], one["status"]) for one in report["results"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if isinstance(report["results"], list) else None


def write_report(folder: Path, outcomes: Sequence[Outcome], left_out: Sequence[str] = ()) -> Path:
    """All outcomes as `report.json` in the output folder.

    What it said of other outputs that stand there stays, and so does what it said of those that this run did not make
    anew: that they were refused, or failed, comes beside it.

    left_out : which files were no inputs, in words
    """
    new = [asdict(outcome) for outcome in outcomes]
    old = {key: entry for key, entry in _entries(folder).items() if entry["status"] in MADE}
    now = {_key(entry["output"], printable(folder)): entry for entry in new}
    for key, entry in now.items():
        if key in old and entry["status"] == "complete" and not entry["facts"]:
            entry |= {name: old[key].get(name) for name in ("notes", "facts", "megapixels")}
    kept = [entry for key, entry in old.items() if (folder / key).exists() and _stays(now.get(key))]
    report = {"folder": printable(folder), "left_out": list(left_out), "results": [*kept, *new]}
    text = json.dumps(report, indent=1) + "\n"

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    def check(written: Path) -> None:
        json.loads(written.read_text())

    write_atomically(folder / REPORT, write, check)
    return folder / REPORT


def made_in(folder: Path) -> set[str]:
    """The outputs in and below a folder that its report names."""
    return {printable(folder / key) for key, entry in _entries(folder).items() if entry["status"] in MADE}


def _stays(entry: Entry | None) -> bool:
    """Does an older entry stay beside what became of its output now?"""
    return entry is None or entry["status"] not in MADE


def _entries(folder: Path) -> dict[str, Entry]:
    """The last successful entry on each output, or its only one, by its name in the folder."""
    report = read_report(folder) or {"results": []}
    root = str(report.get("folder", printable(folder)))
    entries: dict[str, Entry] = {}
    for entry in report["results"]:
        key = _key(str(entry["output"]), root)
        if key not in entries or entry["status"] in MADE:
            entries[key] = entry
    return entries


def _key(output: str, root: str) -> str:
    """The name of an output in its folder."""
    return output.removeprefix(root.rstrip("/") + "/") if root != "." else output
