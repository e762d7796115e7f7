"""Many files: which output belongs to which input, and one that fails never stops the others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dgno.errors import ConfigError, DgnoError, MissingInput, OutputCollision, printable

SUFFIXES = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"}
FORMATS = {"same": "", "ome-tiff": ".ome.tif", "png": ".png"}


@dataclass(frozen=True)
class Job:
    """One input and the output that it gets."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: "restored", "complete" (was there already) or "failed" with its error."""

    input: str
    output: str
    status: str
    seconds: float = 0.0
    megapixels: float = 0.0
    notes: tuple[str, ...] = ()
    error: dict[str, str | None] | None = None

    def as_line(self) -> str:
        """The outcome in one line."""
        if self.error:
            return f"{self.input}: failed, {self.error['code']}: {self.error['message']}"
        if self.status == "complete":
            return f"{self.output}: already complete"
        speed = f"{self.megapixels:.2f} Mpx in {self.seconds:.1f} s"
        return f"{self.output}: restored, {speed}" + "".join(f"; {note}" for note in self.notes)


def plan_jobs(inputs: Sequence[Path], out: Path, *, output_format: str = "same") -> list[Job]:
    """The jobs of files and folders. One file gets `out` itself if that is named like an image, else a place in it;
    several, or a folder, get the folder `out`, which mirrors the tree of the inputs.

    Raises MissingInput, ConfigError (no images), OutputCollision (two inputs would share an output).
    """
    if len(inputs) == 1 and not inputs[0].is_dir() and not out.is_dir() and out.suffix.lower() in SUFFIXES:
        _refuse_missing(inputs)
        return [Job(inputs[0], out)]
    found = list_files(inputs, out)
    top = Path(os.path.commonpath([root.absolute() for _, root in found]))
    jobs = [Job(path, _target(out / path.absolute().relative_to(top), output_format)) for path, _ in found]
    _refuse_collisions(jobs)
    return jobs


def list_files(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """The image files among and below `inputs`, each with the folder that its output tree starts at.

    Raises MissingInput, ConfigError (no images).
    """
    _refuse_missing(inputs)
    found = [pair for given in inputs for pair in _files_of(given, out)]
    if not found:
        hint = f"wanted files that end in {', '.join(sorted(SUFFIXES))}"
        raise ConfigError("no images", path=inputs[0], why="there is none below it", hint=hint)
    return found


def _refuse_missing(inputs: Sequence[Path]) -> None:
    for path in inputs:
        if not path.exists() and not path.is_symlink():
            raise MissingInput("no such file or folder", path=path)


def _files_of(given: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """The image files of one input, each with the folder that its output tree starts at. Hidden files, links to folders
    and what lies in `out` are passed over."""
    if not given.is_dir():
        yield given, given.parent
        return
    for folder, below, names in os.walk(given):
        below[:] = sorted(d for d in below if not d.startswith(".") and not _same(Path(folder) / d, out))
        for name in sorted(names):
            path = Path(folder) / name
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield path, given


def _same(a: Path, b: Path) -> bool:
    return b.exists() and a.exists() and a.samefile(b)


def _target(path: Path, output_format: str) -> Path:
    suffix = FORMATS[output_format]
    return path if not suffix else path.with_name(path.name.removesuffix(path.suffix).removesuffix(".ome") + suffix)


def _refuse_collisions(jobs: Iterable[Job]) -> None:
    first: dict[str, Job] = {}
    for job in jobs:
        other = first.setdefault(str(job.target).casefold(), job)
        if other is not job:
            why = f"{printable(other.source)} and {printable(job.source)} would both become {printable(job.target)}"
            raise OutputCollision("two inputs would get one output", why=why, hint="rename one, or restore them apart")


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job], Outcome],
    *,
    fail_fast: bool = False,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Do `work` for every job. A DgnoError is that job's outcome; with `fail_fast` it ends the run."""
    outcomes = []
    for job in jobs:
        started = time.monotonic()
        try:
            outcome = work(job)
        except DgnoError as error:
            if fail_fast or len(jobs) == 1:
                raise
            seconds = time.monotonic() - started
            outcome = Outcome(printable(job.source), printable(job.target), "failed", seconds, error=error.as_json())
        outcomes.append(outcome)
        report(outcome)
    return outcomes


def write_report(folder: Path, outcomes: Iterable[Outcome]) -> Path:
    """All outcomes as `report.json` in the output folder."""
    path = folder / "report.json"
    path.write_text(json.dumps({"results": [asdict(outcome) for outcome in outcomes]}, indent=1) + "\n")
    return path
