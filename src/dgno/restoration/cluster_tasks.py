"""What a worker of a cluster is asked for, one function a task. Workers keep caches and nothing else.

Any task may be done twice, even at the same time: a worker that was taken for dead may still be at it. The second time
gives the same, and what it writes replaces the same bytes.

An error is given back as a value: others of ours would be sent well, but not every library's.
"""

from __future__ import annotations

import copy
import functools
import signal
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import torch

from dgno.arrays import Plane
from dgno.errors import DgnoError, InputChanged, OutOfMemory, ResumeError, about
from dgno.io.provenance import read_provenance
from dgno.restoration.batch import Job, Outcome, facts_of
from dgno.restoration.journal import Identity, Journal
from dgno.restoration.options import RestoreOptions
from dgno.restoration.slide_files import check_fit, finish, is_complete
from dgno.restoration.slide_run import INPUT_STATE, JOURNAL, SlideRun
from dgno.restoration.workbench import Workbench

OPEN = 4  # slides that a worker keeps open
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Sides = dict[str, int]


@dataclass(frozen=True)
class Recipe:
    """What a worker must know of a job. Names of files are absolute: workers have folders of their own.

    run : a name of the whole run; nothing that a worker kept of another is used
    """

    job: Job
    options: RestoreOptions
    run: str


@dataclass(frozen=True)
class Looked:
    """What a look at a slide gave: nothing to do, or the identity of its run and the blocks that need work."""

    is_complete: bool
    identity: Identity
    needed: tuple[int, ...]
    sides: Sides


@dataclass(frozen=True)
class RestoredBlock:
    """A block by its number, and how many of its values were newly cut."""

    number: int
    pixels: Plane
    saturated: int


@dataclass(frozen=True)
class RestoredBlocks:
    """What a task of blocks gave.

    sides : the tiles that memory sufficed for
    steps : what was changed to go on when memory ran out, in words
    worker, seconds : who restored them, and how long that took
    """

    blocks: tuple[RestoredBlock, ...]
    sides: Sides
    steps: tuple[str, ...]
    worker: str
    seconds: float


@dataclass(frozen=True)
class Failure:
    """An error that can be sent: ours as it is, others in words. trace : where it was raised, on a worker"""

    error: DgnoError | None
    facts: dict[str, object]
    trace: str = ""

    def as_error(self) -> Exception:
        """The error, to be raised."""
        error = self.error or RuntimeError(str(self.facts["message"]))
        if self.trace:
            error.add_note(f"on a worker:\n{self.trace}")
        return error


def failure_of(error: Exception) -> Failure:
    """The error as it can be sent."""
    if isinstance(error, MemoryError):
        error = OutOfMemory("no memory for the image", hint="give a smaller --tile, or free memory")
    trace = "".join(traceback.format_exception(error))
    return Failure(error if isinstance(error, DgnoError) else None, facts_of(error), trace)


def sendable(task: Callable[Arguments, Result]) -> Callable[Arguments, Result | Failure]:
    """The task with its errors as values; one at a time in a process, whose threads torch has already."""

    @functools.wraps(task)
    def caught(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result | Failure:
        try:
            with _ONE:
                return task(*arguments, **named)
        except Exception as error:
            return failure_of(error)

    return caught


def dask_setup(worker: object) -> None:
    """For workers that load this module before they join (`--preload`): Ctrl-C is for the process that asks, which ends
    its workers in good order."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@sendable
def prepare(options: RestoreOptions, run: str) -> None:
    """Load what all jobs need: what is wrong with weights, device or PSF ends the run before it begins."""
    _bench_of(options, run)


@sendable
def look_at(recipe: Recipe) -> Looked:
    """Look at a slide, and keep what was seen in the folder of its run."""
    with about(recipe.job.source):
        run = _run_of(recipe)
        check_fit(run)
        if is_complete(run):
            return Looked(True, {}, (), {})
        run.look()
        return Looked(False, run.identity, tuple(run.needed()), run.sides)


@sendable
def restore_some(recipe: Recipe, identity: Identity, numbers: tuple[int, ...], sides: Sides) -> RestoredBlocks:
    """Restore these blocks of a slide that was looked at.

    identity : of the run, as the look found it; a worker that sees another slide, weights or dgno refuses
    """
    started = time.monotonic()
    with about(recipe.job.source):
        run = _run_of(recipe)
        check_same(run.identity, identity)
        run.steps.clear()
        run.go_on_with([{"sides": smaller(sides, run.sides)}])
        done = run.compute(numbers)
        found = tuple(RestoredBlock(block.number, one.pixels, one.saturated) for block, one in done)
        return RestoredBlocks(found, run.sides, tuple(run.steps), _own_address(), time.monotonic() - started)


@sendable
def write_out(recipe: Recipe, identity: Identity, steps: tuple[str, ...], elapsed: float) -> Outcome:
    """Write the output of a slide whose blocks are all in its journal.

    steps : what was changed on workers when memory ran out, in words
    elapsed : s that the slide took so far
    """
    started = time.monotonic() - elapsed
    with about(recipe.job.source):
        run = _run_of(recipe)
        check_same(run.identity, identity)
        run.steps[:] = steps
        run.options = recipe.options
        if _is_ours(run):  # a worker wrote it and died before it could say so
            run.options = changed(recipe.options, overwrite=True)
        with Journal(run.folder / JOURNAL, run.identity) as journal:
            return finish(run, journal, lambda share: None, started=started)


@sendable
def restore_whole(recipe: Recipe) -> Outcome:
    """Restore an image that fits into memory."""
    with about(recipe.job.source):
        bench, options = copy.copy(_bench_of(recipe.options, recipe.run)), recipe.options
        bench.options = options if options.overwrite else changed(options, resume=True)  # see `_is_ours`
        outcome = bench.restore(recipe.job, progress=lambda share: None)
    return outcome if options.resume else replace(outcome, status="restored")


def check_same(found: Identity, wanted: Identity) -> None:
    """Refuse to work on another slide, or with other weights, than the worker that looked. Raises InputChanged,
    ResumeError."""
    differing = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
    if differing == [INPUT_STATE]:
        raise InputChanged("the input changed while it was restored", hint="restore it again, with --overwrite")
    if differing:
        hint = "all workers need the same dgno, and the same files under the same names"
        raise ResumeError("a worker differs from the one that looked", why=", ".join(differing), hint=hint)


def smaller(first: Mapping[str, int], second: Mapping[str, int]) -> Sides:
    """The smaller tiles of two that memory sufficed for; 0 is the whole."""
    both = {key: [side for side in (first.get(key, 0), second.get(key, 0)) if side] for key in {*first, *second}}
    return {key: min(sides, default=0) for key, sides in both.items()}


def changed(options: RestoreOptions, **changes: object) -> RestoreOptions:
    """The options with some that no output depends on changed. `replace` would choose the route anew."""
    options = copy.copy(options)
    for name, value in changes.items():
        object.__setattr__(options, name, value)
    return options


_ONE = threading.Lock()
_RUNS: OrderedDict[Recipe, SlideRun] = OrderedDict()


def _run_of(recipe: Recipe) -> SlideRun:
    """The slide of a job, kept open for the next task; opened anew if it is another file by now."""
    run = _RUNS.pop(recipe, None)
    if run is not None and run.slide.fingerprint() != run.before:
        run.slide.close()
        run = None
    if run is None:
        run = SlideRun(recipe.job, _bench_of(recipe.options, recipe.run))
    _RUNS[recipe] = run
    while len(_RUNS) > OPEN:
        _RUNS.popitem(last=False)[1].slide.close()
    return run


@functools.lru_cache(maxsize=2)
def _bench_of(options: RestoreOptions, run: str) -> Workbench:
    """The loaded weights of a run. Whoever asks has refused outputs that would replace inputs."""
    if options.threads:
        torch.set_num_threads(options.threads)
    return Workbench(options, inputs=())


def _is_ours(run: SlideRun) -> bool:
    """Is the output there, written since the look by this very run?"""
    return run.job.target.exists() and (read_provenance(run.job.target) or {}) == run.provenance


def _own_address() -> str:
    from distributed import get_worker

    return str(get_worker().address)
