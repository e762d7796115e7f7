"""What a worker of a cluster is asked for, one function a task. Workers keep caches and nothing else.

An error is given back as a value: others of ours would be sent well, but not every library's.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from dgno.arrays import Plane
from dgno.errors import DgnoError, about
from dgno.restoration.batch import Job, Outcome, facts_of
from dgno.restoration.files import Workbench
from dgno.restoration.journal import Identity, Journal
from dgno.restoration.options import RestoreOptions
from dgno.restoration.slide_files import check_fit, finish, is_complete
from dgno.restoration.slide_run import JOURNAL, SlideRun

OPEN = 4  # slides that a worker keeps open
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Sides = dict[str, int]


@dataclass(frozen=True)
class Recipe:
    """What a worker must know of a job. inputs : of the whole run, none of which any output may replace"""

    job: Job
    options: RestoreOptions
    inputs: tuple[Path, ...]


@dataclass(frozen=True)
class Looked:
    """What a look at a slide gave: nothing to do, or the identity of its run and the blocks that need work."""

    is_complete: bool
    identity: Identity
    needed: tuple[int, ...]
    sides: Sides


@dataclass(frozen=True)
class RestoredBlocks:
    """Some blocks by their numbers, and how many values of each saturated; and the tiles that memory sufficed for."""

    blocks: tuple[tuple[int, Plane, int], ...]
    sides: Sides


@dataclass(frozen=True)
class Failure:
    """An error that can be sent: ours as it is, others in words."""

    error: DgnoError | None
    facts: dict[str, object]


def failure_of(error: Exception) -> Failure:
    """The error as it can be sent."""
    return Failure(error if isinstance(error, DgnoError) else None, facts_of(error))


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


@sendable
def look_at(recipe: Recipe) -> Looked:
    """Look at a slide, and keep what was seen in the folder of its run."""
    with about(recipe.job.source):
        run = _run_of(recipe)
        check_fit(run)
        run.look()
        if is_complete(run):
            return Looked(True, {}, (), {})
        return Looked(False, run.identity, tuple(run.needed()), run.sides)


@sendable
def restore_some(recipe: Recipe, numbers: tuple[int, ...], sides: Sides) -> RestoredBlocks:
    """Restore these blocks of a slide that was looked at."""
    with about(recipe.job.source):
        run = _run_of(recipe)
        run.go_on_with([{"sides": sides}])
        found = tuple((block.number, result.pixels, result.saturated) for block, result in run.compute(numbers))
        return RestoredBlocks(found, run.sides)


@sendable
def write_out(recipe: Recipe) -> Outcome:
    """Write the output of a slide whose blocks are all in its journal."""
    with about(recipe.job.source):
        run = _run_of(recipe)
        with Journal(run.folder / JOURNAL, run.identity) as journal:
            return finish(run, journal, lambda share: None, started=time.monotonic())


@sendable
def restore_whole(recipe: Recipe) -> Outcome:
    """Restore an image that fits into memory."""
    with about(recipe.job.source):
        return _bench_of(recipe.options, recipe.inputs).restore(recipe.job, progress=lambda share: None)


_ONE = threading.Lock()
_RUNS: OrderedDict[Recipe, SlideRun] = OrderedDict()


def _run_of(recipe: Recipe) -> SlideRun:
    """The slide of a job, kept open for the next task. A new look is taken if its folder was begun anew."""
    run = _RUNS.pop(recipe, None)
    if run is not None and run.slide.fingerprint() != run.before:
        run.slide.close()
        run = None
    if run is None:
        run = SlideRun(recipe.job, _bench_of(recipe.options, recipe.inputs))
    _RUNS[recipe] = run
    while len(_RUNS) > OPEN:
        _RUNS.popitem(last=False)[1].slide.close()
    return run


@functools.lru_cache(maxsize=2)
def _bench_of(options: RestoreOptions, inputs: tuple[Path, ...]) -> Workbench:
    return Workbench(options, inputs=inputs)
