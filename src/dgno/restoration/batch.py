"""Many files: which output belongs to which input, and one that fails never stops the others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from dgno.errors import ConfigError, DgnoError, MissingInput, OutOfMemory, OutputCollision, OutputFormat, printable
from dgno.io.atomic import output_error, write_atomically
from dgno.io.output import FORMATS, check_place

REPORT = "report.json"
ENDINGS = {  # of the names that `--format` gives
    "same": "",
    "ome-tiff": ".ome.tif",
    "tiff-pyramid": ".tif",
    "ome-zarr": ".ome.zarr",
    "png": ".png",
}
SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu")  # endings of scanners' files
NOT_BEGUN = "not begun"
FOLDER_SLIDE = ".zarr"  # ending of folders that are one input


@dataclass(frozen=True)
class Job:
    """One input and the output that it gets."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: "restored", "assessed", "complete" (was there already), "incomplete" (parts of the input
    could not be read, see `facts`), "failed" with its error, or "not begun" (see `--fail-fast`).

    facts : more for machines, such as what a slide was found to be and how its tiles fit
    """

    input: str
    output: str
    status: str
    seconds: float = 0.0
    megapixels: float = 0.0
    notes: tuple[str, ...] = ()
    error: dict[str, object] | None = None
    facts: dict[str, object] = field(default_factory=dict)

    def as_line(self) -> str:
        """The outcome in one line."""
        if self.error:
            return f"{self.input}: failed, {self.error['code']}: {self.error['message']}"
        if self.status == "complete":
            return f"{self.output}: already complete"
        if self.status == NOT_BEGUN:
            return f"{self.input}: {NOT_BEGUN}"
        speed = f"{self.megapixels:.2f} Mpx in {self.seconds:.1f} s"
        return f"{self.output}: {self.status}, {speed}" + "".join(f"; {note}" for note in self.notes)


def is_single(inputs: Sequence[Path]) -> bool:
    """Is one file, or one slide, asked for? Its error is then the command's; several, or a folder, get a report."""
    return len(inputs) == 1 and not _is_tree(inputs[0])


def _is_tree(path: Path) -> bool:
    """Is it a folder of inputs, rather than one?"""
    try:
        return path.is_dir() and not path.name.lower().endswith(FOLDER_SLIDE)
    except OSError:  # a name that is too long, for instance: whoever opens it says so
        return False


def plan_jobs(inputs: Sequence[Path], out: Path, *, output_format: str = "same") -> list[Job]:
    """The jobs of files and folders. One file gets `out` itself if that is named like an image, else a place in it;
    several, or a folder, get the folder `out`, which mirrors the tree of the inputs.

    Raises MissingInput, ConfigError (no images, or `out` is not named as `output_format` wants), OutputFormat (`out` is
    named like a format that is not written), OutputCollision (two inputs would share an output).
    """
    if is_single(inputs) and not _is_tree(out) and _is_image_name(out):
        _refuse_missing(inputs)
        wanted = ENDINGS[output_format]
        if not out.name.lower().endswith(wanted):
            hint = f"name it *{wanted}, or leave --format out"
            raise ConfigError(f"the name of the output is not that of --format {output_format}", path=out, hint=hint)
        return [Job(inputs[0], out)]
    return mirrored(inputs, out, lambda path: _renamed(path, output_format))


def _absolute(path: Path) -> Path:
    """Without `..`, and without following links."""
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() follows them


def _is_image_name(out: Path) -> bool:
    """Is `out` named like a file? What looks like the suffix of a format that is not written is refused."""
    suffix = out.suffix.lower()
    if suffix in (*FORMATS, FOLDER_SLIDE):
        return True
    if suffix[1:].isalpha() and len(suffix) <= len(".tiff"):
        hint = f"wanted {', '.join((*FORMATS, FOLDER_SLIDE))}, or the name of a folder"
        raise OutputFormat(f"{suffix} is no format that dgno writes", path=out, hint=hint)
    return False


def prepare_folders(out: Path, jobs: Iterable[Job]) -> None:
    """Make the folders of all outputs; of `out` itself at most the last part may be missing."""
    check_place(out / REPORT, overwrite=_is_report(out / REPORT))
    try:
        for folder in {job.target.parent for job in jobs} | {out}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, out) from error


def _is_report(path: Path) -> bool:
    """Is this a report of ours, which the next run may replace?"""
    try:
        return isinstance(json.loads(path.read_text())["results"], list)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def mirrored(inputs: Sequence[Path], out: Path | None, name: Callable[[Path], Path]) -> list[Job]:
    """Jobs whose outputs, renamed, lie in the folder `out` as the inputs lie in theirs; None: beside the inputs.

    Raises MissingInput, ConfigError (no images), OutputCollision (two inputs would share an output).
    """
    found = list_files(inputs, out)
    top = Path(os.path.commonpath([_absolute(root) for _, root in found]))
    jobs = [Job(path, name((out or top) / _absolute(path).relative_to(top))) for path, _ in found]
    _refuse_collisions(jobs)
    return jobs


def list_files(inputs: Sequence[Path], out: Path | None) -> list[tuple[Path, Path]]:
    """The image files among and below `inputs`, each with the folder that its output tree starts at.

    Raises MissingInput, ConfigError (no images).
    """
    _refuse_missing(inputs)
    found = [pair for given in inputs for pair in _files_of(given, out)]
    if not found:
        hint = f"wanted files that end in {', '.join((*FORMATS, *SLIDES))}, or folders in {FOLDER_SLIDE}"
        raise ConfigError("no images", path=inputs[0], why="there is none below it", hint=hint)
    return found


def _refuse_missing(inputs: Sequence[Path]) -> None:
    for path in inputs:
        if not path.exists() and not path.is_symlink():
            raise MissingInput("no such file or folder", path=path)


def _files_of(given: Path, out: Path | None) -> Iterator[tuple[Path, Path]]:
    """The image files and slides of one input, each with the folder that its output tree starts at. Hidden files, links
    to folders, the folders that belong to slides, and what lies in `out` are passed over."""
    if not _is_tree(given):
        yield given, given.parent
        return
    for folder, below, names in os.walk(given):
        below[:] = sorted(d for d in below if not d.startswith(".") and not _same(Path(folder) / d, out))
        slides = [d for d in below if not _is_tree(Path(folder) / d) and not (Path(folder) / d).is_symlink()]
        below[:] = [d for d in below if _is_tree(Path(folder) / d) and f"{d}.mrxs" not in names]
        for name in sorted([*names, *slides]):
            is_input = name in slides or Path(name).suffix.lower() in (*FORMATS, *SLIDES)
            if is_input and not name.startswith("."):
                yield Path(folder) / name, given


def _same(a: Path, b: Path | None) -> bool:
    return b is not None and b.exists() and a.exists() and a.samefile(b)


def _renamed(path: Path, output_format: str) -> Path:
    """With the ending of the format; what scanners write becomes OME-TIFF, if nothing else is wanted."""
    suffix = ENDINGS[output_format]
    if not suffix and path.suffix.lower() in SLIDES:
        suffix = ENDINGS["ome-tiff"]
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
    """Do `work` for every job. An error is that job's outcome; with `fail_fast` it ends the run, after its report."""
    outcomes = []
    for job in jobs:
        started = time.monotonic()
        failure = None
        try:
            outcome = work(job)
        except Exception as error:  # also a bug in one image must not cost the others
            failure, seconds = error, time.monotonic() - started
            outcome = Outcome(printable(job.source), printable(job.target), "failed", seconds, error=facts_of(error))
        outcomes.append(outcome)
        report(outcome)
        if failure is not None and fail_fast:
            raise failure
    return outcomes


def facts_of(error: Exception) -> dict[str, object]:
    """An error for the report; one that is none of ours is a bug."""
    if isinstance(error, DgnoError):
        return error.as_json()
    if isinstance(error, MemoryError):
        return OutOfMemory("no memory for the image", hint="give a smaller --tile, or free memory").as_json()
    hint = "please report it, with the output of --debug"
    return {"code": "E-BUG", "path": None, "message": f"unexpected {type(error).__name__}: {error}", "hint": hint}


def write_report(folder: Path, outcomes: Iterable[Outcome]) -> Path:
    """All outcomes as `report.json` in the output folder."""
    text = json.dumps({"results": [asdict(outcome) for outcome in outcomes]}, indent=1) + "\n"

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    def check(written: Path) -> None:
        json.loads(written.read_text())

    write_atomically(folder / REPORT, write, check)
    return folder / REPORT
