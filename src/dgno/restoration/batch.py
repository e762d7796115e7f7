"""Many files: which output belongs to which input, and one that fails never stops the others."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgno.errors import (
    ConfigError,
    DgnoError,
    OutOfMemory,
    OutputCollision,
    OutputExists,
    OutputFormat,
    WouldOverwriteInput,
    printable,
)
from dgno.io.opening import refused_name
from dgno.io.output import FORMATS, alike, told_apart
from dgno.restoration.inputs import (
    FOLDER_SLIDE,
    SLIDES,
    Found,
    find_inputs,
    is_tree,
    refuse_among_inputs,
    refuse_no_folder,
    refuse_pipe,
)

ENDINGS = {  # of the names that `--format` gives
    "same": "",
    "ome-tiff": ".ome.tif",
    "tiff-pyramid": ".tif",
    "ome-zarr": ".ome.zarr",
    "png": ".png",
}
NOT_BEGUN = "not begun"


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

    @property
    def hint(self) -> str:
        """What to do about the error; empty if nobody knows, or there was none."""
        return str((self.error or {}).get("hint") or "")

    def as_line(self, *, with_hint: bool = True) -> str:
        """The outcome in one line."""
        if self.error:
            told = f"; {self.hint}" if self.hint and with_hint else ""
            return f"{self.input}: failed, {self.error['code']}: {self.error['message']}{told}"
        if self.status == "complete":
            return f"{self.output}: already complete"
        if self.status == NOT_BEGUN:
            return f"{self.input}: {NOT_BEGUN}"
        speed = f"{self.megapixels:.2f} Mpx in {self.seconds:.1f} s"
        return f"{self.output}: {self.status}, {speed}" + "".join(f"; {note}" for note in self.notes)


def is_single(inputs: Sequence[Path]) -> bool:
    """Is one file, or one slide, asked for? Its error is then the command's; several, or a folder, get a report."""
    return len(inputs) == 1 and not is_tree(inputs[0])


def plan_jobs(
    inputs: Sequence[Path],
    out: Path,
    *,
    output_format: str = "same",
    is_folder: bool = False,
    found: Found | None = None,
) -> list[Job]:
    """The jobs of files and folders. One file gets `out` itself if that is named like an image, else a place in it;
    several, or a folder, get the folder `out`, which mirrors the tree of the inputs.

    is_folder : is `out` one, whatever its name?
    found : the inputs, if they were looked for already

    Raises MissingInput, ConfigError (no images but dgno's own, or `out` is not named as `output_format` wants, or "-"),
    OutputFormat (`out` is named like a format that is not written), OutputCollision (two inputs would share an output),
    OutputNotWritable (`out` is there, and no folder), WouldOverwriteInput.
    """
    refuse_pipe(out, "output")
    found = found or find_inputs(inputs, out)
    is_folder = is_folder or is_tree(out)
    if is_single(inputs) and not is_folder and _is_image_name(out):
        wanted = ENDINGS[output_format]
        if not out.name.lower().endswith(wanted):
            hint = f"name it *{wanted}, or leave --format out"
            raise ConfigError(f"the name of the output is not that of --format {output_format}", path=out, hint=hint)
        return [Job(inputs[0], out)]
    if found.is_own:
        hint = "name those one by one that are to be restored again"
        raise ConfigError("no images", path=inputs[0], why="dgno wrote all that is below it", hint=hint)
    if not is_folder and out.suffix.lower() in (*FORMATS, *SLIDES, FOLDER_SLIDE):
        what = "several images, or a folder, and an output named like one image"
        raise ConfigError(what, path=out, hint="name a folder, or end the name with / to have one of that name")
    refuse_no_folder(out)
    refuse_among_inputs(inputs, out)
    jobs = _jobs(found, [_renamed(place, output_format) for place in _places(found, out)])
    _refuse_replacing(jobs)
    return jobs


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


def mirrored(inputs: Sequence[Path], out: Path | None, name: Callable[[Path], Path]) -> list[Job]:
    """Jobs whose outputs, renamed, lie in the folder `out` as the inputs lie in theirs. None: nothing is
    written, and the names are those of the inputs.

    Outputs that would be named alike keep the whole names of their inputs.
    Raises MissingInput, ConfigError (no images), OutputCollision (two inputs would share an output).
    """
    found = find_inputs(inputs, out)
    if out is None:
        return [Job(path, path) for path, _ in found.files]
    whole = _places(found, out)
    return _jobs(found, told_apart([name(place) for place in whole], whole))


def _places(found: Found, out: Path) -> list[Path]:
    """Where outputs lie that are named like their inputs."""
    top = Path(os.path.commonpath([_absolute(root) for _, root in found.files]))
    return [out / _absolute(path).relative_to(top) for path, _ in found.files]


def _jobs(found: Found, targets: Sequence[Path]) -> list[Job]:
    """Jobs with these outputs. Raises OutputCollision."""
    jobs = [Job(path, target) for (path, _), target in zip(found.files, targets, strict=True)]
    _refuse_collisions(jobs)
    return jobs


def _renamed(path: Path, output_format: str) -> Path:
    """With the ending of the format; what scanners write becomes OME-TIFF, if nothing else is wanted."""
    suffix = ENDINGS[output_format]
    if not suffix and path.suffix.lower() in SLIDES:
        suffix = ENDINGS["ome-tiff"]
    return path if not suffix else path.with_name(path.name.removesuffix(path.suffix).removesuffix(".ome") + suffix)


def _refuse_collisions(jobs: Iterable[Job]) -> None:
    first: dict[str, Job] = {}
    for job in jobs:
        other = first.setdefault(alike(job.target), job)
        if other is not job:
            why = f"{printable(other.source)} and {printable(job.source)} would both become {printable(job.target)}"
            raise OutputCollision("two inputs would get one output", why=why, hint="rename one, or give them apart")


def _refuse_replacing(jobs: Iterable[Job]) -> None:
    """Refuse outputs that are inputs, whatever name leads to them, before anything is written."""
    jobs = list(jobs)
    sources = {_identity(job.source): job.source for job in jobs}
    for job in jobs:
        if (there := _identity(job.target)) is not None and there in sources:
            why = f"it is the same file as the input {printable(sources[there])}"
            hint = "choose another folder"
            raise WouldOverwriteInput("the output would replace an input", path=job.target, why=why, hint=hint)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of what stands under a name; None where nothing does."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def refuse_repetition(jobs: Sequence[Job], out: Path) -> None:
    """Refuse a run whose outputs are all there: it would be one failure for each. Raises OutputExists."""
    if all(os.path.lexists(job.target) for job in jobs):
        what = "the output exists already" if len(jobs) == 1 else f"all {len(jobs):,} outputs exist already"
        hint = "say --resume to keep what is complete, or --overwrite to replace it"
        raise OutputExists(what, path=out, hint=hint)


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
    if told := error if isinstance(error, DgnoError) else refused_name(error):
        return told.as_json()
    if isinstance(error, MemoryError):
        return OutOfMemory("no memory for the image", hint="give a smaller --tile, or free memory").as_json()
    hint = "please report it, with the output of --debug"
    return {"code": "E-BUG", "path": None, "message": f"unexpected {type(error).__name__}: {error}", "hint": hint}
