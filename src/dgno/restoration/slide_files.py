"""Restore a slide file in one process: every step of its run after the other, resumable; and what became of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dgno.errors import OutputBusy, OutputExists, ResumeError, about, printable
from dgno.io.atomic import name_beside, output_error, remove_leftovers, sync_folder, write_bytes
from dgno.io.limits import Limits
from dgno.io.lock import LOCK, sole_writer
from dgno.io.open_slide import is_slide
from dgno.io.output import check_place
from dgno.io.pixel_size import overruled
from dgno.io.slide_output import check_room, check_slide, slide_kind, slide_losses
from dgno.io.slide_write import write_slide
from dgno.restoration.batch import Job, Outcome
from dgno.restoration.image import Progress
from dgno.restoration.inputs import note_again
from dgno.restoration.journal import Journal, discard
from dgno.restoration.options import RestoreOptions
from dgno.restoration.resuming import refuse_another_run
from dgno.restoration.selection import stand_in
from dgno.restoration.slide import RestoredSlide
from dgno.restoration.slide_report import account_of, in_words, report_of
from dgno.restoration.slide_run import JOURNAL, SURVEY, SlideRun, work_folder

if TYPE_CHECKING:
    from dgno.restoration.workbench import Workbench

LOOKING, WRITING = 0.1, 0.1  # of the work, for the progress that is told
REPORT_ENDING = ".report.json"
REPORT = "report.json"  # in the folder of a run, until its output has its name
PYRAMIDS = ("tiff-pyramid", "ome-zarr")  # values of --format


def is_restored_as_slide(job: Job, *, limits: Limits, output_format: str = "same") -> bool:
    """Is the input a slide, or the output a format for slides alone? output_format : of `--format`"""
    is_pyramid = output_format in PYRAMIDS or job.target.name.lower().endswith(".zarr")
    return is_pyramid or is_slide(job.source, limits=limits)


def restore_slide(
    job: Job,
    bench: Workbench,
    *,
    progress: Progress = lambda share: None,
    size: Callable[[float], None] = lambda megapixels: None,
) -> Outcome:
    """Restore one slide. Raises what its steps raise; then what is done is kept for `--resume`.

    size : told how many megapixels the slide has, before anything is computed
    """
    started = time.monotonic()
    options = bench.options
    check_target(job, options, bench.inputs)
    with hold_work(job, options), SlideRun(job, bench) as run:
        check_fit(run)
        size(run.slide.facts.pixels / 1e6)
        if is_complete(run):
            outcome = completed(job)
        else:
            run.look(lambda share: progress(LOOKING * share))
            with Journal(run.folder / JOURNAL, run.identity) as journal:
                restore_blocks(run, journal, lambda share: progress(LOOKING + (1 - LOOKING - WRITING) * share))
                journal.sync()
                outcome = finish(run, journal, lambda share: progress(1 - WRITING * (1 - share)), started=started)
    clear_away(work_folder(job.target))
    return outcome


def check_target(job: Job, options: RestoreOptions, inputs: Iterable[Path]) -> None:
    """Refuse an output that could not be written, as far as its name tells. Raises OutputError."""
    is_store = slide_kind(job.target) == "ome-zarr"
    check_place(job.target, inputs=inputs, overwrite=options.overwrite or options.resume, store=is_store)


def check_fit(run: SlideRun) -> None:
    """Refuse what the format, the disk, memory or the weights cannot do. Raises what says so."""
    options, target = run.options, run.job.target
    run.check()
    with about(target):
        check_slide(run.facts, slide_kind(target), options.compression, options.quality)
        check_room(run.facts, options.compression, output=target.parent, scratch=run.folder, is_sparse=True)


@contextmanager
def hold_work(job: Job, options: RestoreOptions) -> Iterator[None]:
    """Hold the folder of a run. What another run left is gone on with, or begun anew, as the options say."""
    folder = work_folder(job.target)
    with _made(folder, job.target), sole_writer(folder):
        remove_leftovers(job.target)  # of a run that was killed while it wrote
        left = [path for path in folder.iterdir() if path.name != LOCK]
        if left and options.overwrite and not options.resume:
            empty(folder)
        elif left and not options.resume:
            hint = "say --resume to go on with it, or --overwrite to begin anew"
            raise OutputExists("an unfinished run for this output is there", path=folder, hint=hint)
        yield


@contextmanager
def _made(folder: Path, target: Path) -> Iterator[None]:
    """Make the folder of a run, and that of its output; after an error they go if nothing was done to go on with."""
    is_new = not folder.parent.exists()
    try:
        try:
            folder.parent.mkdir(exist_ok=True)
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(error, target) from error
        yield
    except OutputBusy:  # it is another's
        raise
    except BaseException:
        if folder.is_dir() and {path.name for path in folder.iterdir()} <= {LOCK}:
            clear_away(folder)
        if is_new:
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
        raise


def is_complete(run: SlideRun) -> bool:
    """Does the output stand there already, from the same run? Raises ResumeError if it is from another.

    If a run ended just before its report stood beside the output, it does now.
    """
    if not (run.options.resume and run.job.target.exists()):
        return False
    try:
        refuse_another_run(run.job.target, run.provenance)
    except ResumeError:
        if run.options.overwrite:  # a run that was to replace it goes on
            return False
        raise
    if (run.folder / REPORT).exists():
        publish(run.folder / REPORT, report_path(run.job.target))
    return True


def completed(job: Job) -> Outcome:
    """The outcome for an output that is complete already, but for what its report says could not be read."""
    try:
        facts = json.loads(report_path(job.target).read_text())["facts"]
        bad = facts["bad_tiles"]
    except (OSError, ValueError, KeyError, TypeError):
        facts, bad = {}, []
    status = "incomplete" if bad else "complete"
    notes = ("complete already", *in_words(facts)) if bad else ()
    return Outcome(printable(job.source), printable(job.target), status, notes=notes, facts=facts)


def restore_blocks(run: SlideRun, journal: Journal, progress: Progress) -> None:
    """Restore the blocks that the journal does not have yet."""
    needed = run.needed()
    rest = [number for number in needed if number not in journal]
    done = len(needed) - len(rest)
    run.go_on_with(journal.notes)
    sides = run.sides
    for block, result in run.compute(rest):
        journal.put(block.number, result.pixels, saturated=result.saturated)
        if run.sides != sides:  # memory ran out
            sides = run.sides
            journal.note(sides=sides)
        done += 1
        progress(done / len(needed))
    progress(1.0)


def finish(run: SlideRun, journal: Journal, progress: Progress, *, started: float) -> Outcome:
    """Write the pyramid of restored and untouched pixels, and the report beside it."""
    options, target = run.options, run.job.target
    result = RestoredSlide(run.slide, run.work, journal)
    outcomes: list[Outcome] = []

    def tell(share: float) -> None:
        if share >= 1:  # all is read, and nothing has its name yet
            outcomes.append(_outcome(run, journal, result, seconds=time.monotonic() - started))
            text = json.dumps(asdict(outcomes[0]), indent=1, default=str) + "\n"
            write_bytes(run.folder / REPORT, text.encode())
            run.slide.check_unchanged(run.before)
        progress(share)

    write_slide(
        target,
        run.facts,
        result.read,
        kind=slide_kind(target),
        compression=options.compression,
        quality=options.quality,
        provenance=run.provenance,
        overwrite=options.overwrite,
        inputs=run.bench.inputs,
        blank=result.is_blank,
        progress=tell,
        scratch=run.folder,
        workers=run.threads,
    )
    publish(run.folder / REPORT, report_path(target))
    return outcomes[0]


def _outcome(run: SlideRun, journal: Journal, result: RestoredSlide, *, seconds: float) -> Outcome:
    """What became of the slide, once all of it was read."""
    options, target = run.options, run.job.target
    account = account_of(run)
    facts = report_of(run, journal, result, account)
    chosen = options.selection.notes([stand_in(run.slide.facts)], [run.planes])
    told = (*note_again(run.job.source), *account.notes, *chosen)
    noted = run.slide.notes if options.pixel_size is None else overruled(run.slide.notes)
    lost = slide_losses(run.facts, slide_kind(target), options.compression, options.quality)
    return Outcome(
        input=printable(run.job.source),
        output=printable(target),
        status="incomplete" if run.slide.bad_tiles else "restored",
        seconds=seconds,
        megapixels=run.slide.facts.pixels / 1e6,
        notes=(*told, *noted, *run.notes, *in_words(facts), *lost),
        facts=facts,
    )


def publish(kept: Path, report: Path) -> None:
    """Move the report from the folder of its run to its place. Raises OutputError."""
    try:
        os.replace(kept, report)  # noqa: PTH105  # tests make this very call fail
        sync_folder(report.parent)
    except OSError as error:
        raise output_error(error, report) from error


def report_path(target: Path) -> Path:
    """Where the report on an output stands."""
    return name_beside(target, "", REPORT_ENDING)


def empty(folder: Path) -> None:
    """Delete what runs keep in their folder."""
    try:
        discard(folder / JOURNAL)
        (folder / REPORT).unlink(missing_ok=True)
        shutil.rmtree(folder / SURVEY, ignore_errors=True)
    except OSError as error:
        raise output_error(error, folder) from error


def clear_away(folder: Path) -> None:
    """Delete the folder of a run; what is not a run's stays, and so does the folder then."""
    empty(folder)
    (folder / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
