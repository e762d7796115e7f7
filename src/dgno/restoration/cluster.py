"""Restore many images and slides on a Dask cluster: slides and their blocks are spread over its workers.

The process that asks owns the journals; workers get small tasks and keep nothing but caches. A worker that dies costs
the tasks that it had: the scheduler gives them to others, and the result has the same bytes. All processes must see
inputs and outputs under the same names.

    look     where a slide is blurred, and which blocks need work    one task a slide
    restore  some blocks of a slide                                  many tasks
    write    the pyramid, from the journal                           one task a slide
    image    an image that fits into memory                          one task
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from dgno.errors import ConfigError, DgnoError, SchedulerUnavailable, WorkerDied, printable
from dgno.restoration.batch import Job, Outcome
from dgno.restoration.cluster_tasks import (
    Failure,
    Looked,
    Recipe,
    RestoredBlocks,
    failure_of,
    look_at,
    restore_some,
    restore_whole,
    write_out,
)
from dgno.restoration.image import Progress
from dgno.restoration.journal import Journal
from dgno.restoration.options import RestoreOptions
from dgno.restoration.slide_files import check_target, clear_away, hold_work, is_restored_as_slide
from dgno.restoration.slide_run import JOURNAL, work_folder

if TYPE_CHECKING:
    from distributed import Client, Future

TOGETHER = 2  # blocks of a task: the second is read while the first is restored
AHEAD = 3  # tasks for each worker thread that the scheduler has at a time
CONNECTING = 10  # seconds
LOST = 3  # workers that may die of one task before it is given up


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    """A client of the scheduler at this address, or of a cluster of so many workers on this machine.

    Workers of this machine share its cores, listen on the loopback alone and end with this process.
    Raises ConfigError (no distributed), SchedulerUnavailable.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        hint = "install it: pip install 'dgno[cluster]'"
        raise ConfigError("the package `distributed` is missing", why=str(error), hint=hint) from error
    with dask.config.set({"distributed.scheduler.allowed-failures": LOST}):
        if scheduler:
            with _client_of(scheduler) as client:
                yield client
            return
        options = {"processes": True, "dashboard_address": None, "host": "127.0.0.1", "silence_logs": 50}
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, **options) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.run(torch.set_num_threads, max(1, torch.get_num_threads() // (workers or 1)))
            yield client


def _client_of(scheduler: str) -> Client:
    from distributed import Client

    try:
        return Client(scheduler, timeout=CONNECTING, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        why, hint = str(error) or "it does not answer", "start one with `dask scheduler`, or correct its address"
        raise SchedulerUnavailable(f"no scheduler at {scheduler}", why=why, hint=hint) from error


class ClusterRun:
    """The run of all jobs: a task for each step that can be done, no more at a time than keeps the workers busy.

    One job that fails never stops the others.

    outcomes : of the jobs that ended, as they came
    errors : ours among those that ended jobs
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        options: RestoreOptions,
        client: Client,
        *,
        progress: Progress = lambda share: None,
        report: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        from distributed import as_completed

        inputs = tuple(job.source for job in jobs)
        self.client, self.progress, self.report = client, progress, report
        self.rest = [Recipe(job, options, inputs) for job in reversed(jobs)]
        self.count = len(jobs)
        self.started: dict[Recipe, float] = {}
        self.held: dict[Recipe, contextlib.ExitStack] = {}
        self.slides: dict[Recipe, _Slide] = {}
        self.tasks: dict[Future[Any], tuple[str, Recipe]] = {}
        self.done: Any = as_completed(loop=client.loop)  # Any: an iterator that takes more while it gives
        self.outcomes: list[Outcome] = []
        self.errors: list[DgnoError] = []

    def run(self) -> list[Outcome]:
        """Do all jobs; gives `outcomes`. An interruption leaves what is done in the journals."""
        try:
            self._fill()
            while self.tasks:
                future = next(self.done)
                step, recipe = self.tasks.pop(future)
                result = self._result_of(future, step, recipe)
                future.release()
                try:
                    self._take(recipe, result)
                except Exception as error:  # such as a full disk; it is that job's
                    self._end(recipe, failure_of(error))
                self._fill()
                self.progress((len(self.outcomes) + sum(one.share for one in self.slides.values())) / self.count)
        finally:
            self.client.cancel(list(self.tasks), force=True)
            for stack in self.held.values():
                stack.close()
        return self.outcomes

    def _fill(self) -> None:
        """Give the scheduler tasks: blocks of the slides that are begun first, then new slides."""
        threads = max(1, sum(self.client.nthreads().values()))
        while len(self.tasks) < AHEAD * threads:
            slide = next((one for one in self.slides.values() if one.waiting), None)
            if slide is not None:
                self._submit("restore", slide.recipe, restore_some, slide.taken(), slide.sides)
            elif self.rest:
                self._begin(self.rest.pop())
            else:
                return

    def _begin(self, recipe: Recipe) -> None:
        """Hold the place of an output, and have its slide looked at; images are restored in one task."""
        self.started[recipe] = time.monotonic()
        try:
            if not is_restored_as_slide(recipe.job, limits=recipe.options.limits):
                self._submit("image", recipe, restore_whole)
                return
            check_target(recipe.job, recipe.options, recipe.inputs)
            with contextlib.ExitStack() as stack:
                stack.enter_context(hold_work(recipe.job, recipe.options))
                self.held[recipe] = stack.pop_all()
            self._submit("look", recipe, look_at)
        except Exception as error:
            self._end(recipe, failure_of(error))

    def _submit(self, step: str, recipe: Recipe, work: Callable[..., Any], *more: object) -> None:
        future = self.client.submit(work, recipe, *more, pure=False)
        self.tasks[future] = (step, recipe)
        self.done.add(future)

    def _result_of(self, future: Future[Any], step: str, recipe: Recipe) -> object:
        try:
            return future.result()
        except Exception as error:  # tasks catch their own: the scheduler has given this one up
            hint = "see the logs of the workers: did memory run out?"
            what = f"workers died that had to {step}"
            return failure_of(WorkerDied(what, path=recipe.job.source, why=str(error), hint=hint))

    def _take(self, recipe: Recipe, result: object) -> None:
        """Go on with a job, by what a task of it gave."""
        if isinstance(result, Failure | Outcome):
            self._end(recipe, result)
        elif isinstance(result, Looked) and result.is_complete:
            self._end(recipe, Outcome(printable(recipe.job.source), printable(recipe.job.target), "complete"))
        elif isinstance(result, Looked):
            self.slides[recipe] = _Slide(recipe, result, self.held[recipe])
            self._write_if_done(self.slides[recipe])
        elif isinstance(result, RestoredBlocks) and recipe in self.slides:  # else the job has failed meanwhile
            self.slides[recipe].keep(result)
            self._write_if_done(self.slides[recipe])

    def _write_if_done(self, slide: _Slide) -> None:
        """Have the output written once all blocks are in the journal."""
        if not slide.waiting and not slide.running:
            slide.journal.close()
            del self.slides[slide.recipe]
            self._submit("write", slide.recipe, write_out)

    def _end(self, recipe: Recipe, result: Outcome | Failure) -> None:
        """A job is over; what comes of it later counts no more."""
        if recipe not in self.started:
            return
        seconds = time.monotonic() - self.started.pop(recipe)
        if isinstance(result, Failure):
            source, target = printable(recipe.job.source), printable(recipe.job.target)
            self.errors += [result.error] if result.error else []
            outcome = Outcome(source, target, "failed", seconds, error=result.facts)
        else:
            outcome = replace(result, seconds=seconds)
        self.slides.pop(recipe, None)
        if stack := self.held.pop(recipe, None):
            stack.close()
            if outcome.status != "failed":
                clear_away(work_folder(recipe.job.target))
        self.outcomes.append(outcome)
        self.report(outcome)


class _Slide:
    """A slide that was looked at: its journal, and which blocks are waiting, or with workers."""

    def __init__(self, recipe: Recipe, looked: Looked, stack: contextlib.ExitStack) -> None:
        self.recipe, self.sides, self.running = recipe, looked.sides, 0
        self.journal = stack.enter_context(Journal(work_folder(recipe.job.target) / JOURNAL, looked.identity))
        self.needed = len(looked.needed)
        self.waiting = [number for number in looked.needed if number not in self.journal]
        for note in self.journal.notes:
            self.sides = dict(note.get("sides", self.sides))

    @property
    def share(self) -> float:
        return len(self.journal.entries) / max(self.needed, 1)

    def taken(self) -> tuple[int, ...]:
        """The next blocks, for a task."""
        numbers, self.waiting = tuple(self.waiting[:TOGETHER]), self.waiting[TOGETHER:]
        self.running += 1
        return numbers

    def keep(self, result: RestoredBlocks) -> None:
        """Put what a task restored into the journal."""
        self.running -= 1
        for number, pixels, saturated in result.blocks:
            self.journal.put(number, pixels, saturated=saturated)
        if result.sides != self.sides:  # memory ran out
            self.sides = result.sides
            self.journal.note(sides=self.sides)
