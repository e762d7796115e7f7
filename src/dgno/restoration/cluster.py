"""Restore many images and slides on a Dask cluster: slides and their blocks are spread over its workers.

The process that asks owns the journals; workers get small tasks and keep nothing but caches. All processes must see
inputs and outputs under the same names.

    prepare  load weights: what is wrong with them ends the run      one task
    look     where a slide is blurred, and which blocks need work    one task a slide
    restore  some blocks of a slide                                  many tasks
    write    the pyramid, from the journal                           one task a slide
    image    an image that fits into memory                          one task

A worker that dies or hangs costs the tasks that it had: others get them. A task that workers died of again and again
is tried once more with nothing else on the cluster, since it may have died of its neighbours; then its job has failed.

What is promised of bytes: workers with the same dgno, torch, kind of device and number of threads give those of a run
in one process, whoever dies, and whatever is resumed where. Not so if memory ran out: then tiles shrink, and which
blocks had the larger ones is chance. Such outputs differ by rounding, and their reports name the smaller tiles.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgno.errors import ConfigError, SchedulerUnavailable, WorkerDied, printable
from dgno.restoration.batch import NOT_BEGUN, Job, Outcome
from dgno.restoration.cluster_job import ClusterJob
from dgno.restoration.cluster_tasks import (
    Failure,
    Looked,
    Recipe,
    RestoredBlocks,
    changed,
    failure_of,
    look_at,
    prepare,
    restore_some,
    restore_whole,
    write_out,
)
from dgno.restoration.cluster_watch import Patience, Watch
from dgno.restoration.image import Progress
from dgno.restoration.options import RestoreOptions
from dgno.restoration.slide_files import completed

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 3  # tasks for each worker thread that the scheduler has at a time
HELD = 200  # slides that are begun at a time: each takes three open files
PATIENCE = Patience()


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker is asked for. job : None if it is for all. is_alone : nothing else runs meanwhile"""

    step: str
    job: ClusterJob | None
    work: Callable[..., object]
    arguments: tuple[object, ...]
    is_alone: bool = False


class ClusterRun:
    """The run of all jobs: a task for each step that can be done, no more at a time than keeps the workers busy.

    One job that fails never stops the others, unless the user wants that: then those that are begun are ended, and the
    rest is not begun.

    outcomes : of the jobs that ended, as they came
    failures : among them
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
        self.client, self.progress, self.report = client, progress, report
        self.options, self.name = _with_absolute_names(options), uuid.uuid4().hex
        self.inputs = tuple(job.source for job in jobs)
        self.rest, self.count = list(reversed(jobs)), len(jobs)
        self.begun: list[ClusterJob] = []
        self.tasks: dict[str, tuple[Task, Future[Any]]] = {}
        self.suspects: list[Task] = []
        self.ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.watch = Watch(client, PATIENCE)
        self.outcomes: list[Outcome] = []
        self.failures: list[Failure] = []

    def run(self) -> list[Outcome]:
        """Do all jobs; gives `outcomes`. An interruption leaves what is done in the journals.

        Raises SchedulerUnavailable (it has gone), ConfigError (workers cannot run dgno), and what is wrong for all.
        """
        from distributed.comm.core import CommClosedError

        try:
            self._submit(Task("prepare", None, prepare, (self.options, self.name), is_alone=True))
            while self.tasks:
                self._take_next()
                self._restart_what_hangs()
                self._fill()
                self.progress((len(self.outcomes) + sum(job.share for job in self.begun)) / self.count)
        except CommClosedError as error:
            raise _gone(error) from error
        finally:
            self._leave(sys.exc_info()[1])
        return self.outcomes

    def _leave(self, error: BaseException | None) -> None:
        for job in self.begun:
            job.let_go(error)
        with contextlib.suppress(Exception):  # nobody may be there to be told
            self.client.cancel([future for _, future in self.tasks.values()], force=True)

    def _fill(self) -> None:
        """Give the scheduler tasks: suspects alone; else blocks of slides that are begun, then new jobs."""
        if self.suspects and not self.tasks:
            self._submit(self.suspects.pop())
        if self.suspects or any(task.is_alone for task, _ in self.tasks.values()):
            return
        while len(self.tasks) < AHEAD * self.watch.threads:
            job = next((one for one in self.begun if one.waiting), None)
            if job is not None:
                numbers = job.taken()
                self._submit(Task("restore", job, restore_some, (job.recipe, job.identity, numbers, job.sides)))
            elif self.rest and len(self.begun) < HELD:
                self._begin(self.rest.pop())
            else:
                return

    def _begin(self, asked: Job) -> None:
        job = ClusterJob(asked, self._recipe_of(asked))
        self.begun.append(job)
        try:
            job.begin(self.inputs)
        except Exception as error:
            self._end(job, failure_of(error))
        else:
            step, work = ("look", look_at) if job.is_slide else ("image", restore_whole)
            self._submit(Task(step, job, work, (job.recipe,)))

    def _recipe_of(self, job: Job) -> Recipe:
        return Recipe(Job(job.source.absolute(), job.target.absolute()), self.options, self.name)

    def _submit(self, task: Task) -> None:
        future = self.client.submit(task.work, *task.arguments, key=f"dgno-{task.step}-{uuid.uuid4().hex}", pure=False)
        self.tasks[str(future.key)] = task, future
        future.add_done_callback(self.ended.put)

    def _take_next(self) -> None:
        """Wait for a task to end, for a while, and go on with its job."""
        try:
            future = self.ended.get(timeout=self.watch.patience.poll)
        except queue.Empty:
            return
        if str(future.key) not in self.tasks:  # nobody waits for it any more
            return
        task, _ = self.tasks.pop(str(future.key))
        result = self._result_of(future, task)
        future.release()
        if result is None or task.job is None:
            if isinstance(result, Failure):
                raise result.as_error()
            return
        try:
            self._take(task.job, result)
        except Exception as error:  # such as a full disk; it is that job's
            self._end(task.job, failure_of(error))

    def _result_of(self, future: Future[Any], task: Task) -> object:
        """What a task gave; None if it gave nothing, or will be tried once more."""
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as error:
            return self._suspect(task, str(error))
        except CancelledError as error:
            raise _gone(error) from error
        except Exception as error:  # tasks catch their own: it could not even be sent
            hint = "scheduler and workers need the same Python packages as this process, dgno above all"
            raise ConfigError("workers cannot run dgno", why=f"{type(error).__name__}: {error}", hint=hint) from error

    def _suspect(self, task: Task, why: str) -> Failure | None:
        """Have a task that workers died of tried alone; a second time it has failed."""
        if not task.is_alone:
            self.suspects.append(Task(task.step, task.job, task.work, task.arguments, is_alone=True))
            return None
        path = None if task.job is None else task.job.job.source
        hint = "see the logs of the workers: did memory run out?"
        return failure_of(WorkerDied(f"workers died that had to {task.step} it", path=path, why=why, hint=hint))

    def _restart_what_hangs(self) -> None:
        timed = [key for key, (task, _) in self.tasks.items() if task.step == "restore"]
        for worker, keys in self.watch.look(timed).items():
            for key in keys & self.tasks.keys():
                task, future = self.tasks.pop(key)
                future.cancel(force=True)
                failure = self._suspect(task, f"no answer after {self.watch.limit_of(worker):.0f} s")
                if failure is not None and task.job is not None:
                    self._end(task.job, failure)
            with contextlib.suppress(Exception):  # one that does not end in time is left out by the scheduler
                self.client.restart_workers([worker], raise_for_error=False)

    def _take(self, job: ClusterJob, result: object) -> None:
        """Go on with a job, by what a task of it gave."""
        if isinstance(result, RestoredBlocks):
            self.watch.told(result.worker, result.seconds)
        if job.is_over:
            return
        if isinstance(result, Failure | Outcome):
            self._end(job, result)
            return
        if isinstance(result, Looked):
            if result.is_complete:
                self._end(job, completed(job.job))
                return
            job.go_on_from(result)
        elif isinstance(result, RestoredBlocks):
            job.keep(result)
        if job.is_restored():
            self._submit(Task("write", job, write_out, (job.recipe, job.identity, tuple(job.steps), job.elapsed)))

    def _end(self, job: ClusterJob, result: Outcome | Failure) -> None:
        """A job is over; tasks of it that are under way count no more."""
        if job.is_over:
            return
        self.begun.remove(job)
        self.suspects = [task for task in self.suspects if task.job is not job]
        late = [key for key, (task, _) in self.tasks.items() if task.job is job]
        if late:
            self.client.cancel([self.tasks.pop(key)[1] for key in late], force=True)
        self._tell(job.end(result))
        if isinstance(result, Failure):
            self.failures.append(result)
            if self.options.fail_fast:
                while self.rest:
                    asked = self.rest.pop()
                    self._tell(Outcome(printable(asked.source), printable(asked.target), NOT_BEGUN))

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.report(outcome)


def _with_absolute_names(options: RestoreOptions) -> RestoreOptions:
    """The options for processes in other folders."""
    files = {name: getattr(options, name) for name in ("weights", "reader", "psf")}
    found = {name: str(Path(given).absolute()) for name, given in files.items() if given and Path(given).is_file()}
    return changed(options, **found)


def _gone(error: BaseException) -> SchedulerUnavailable:
    hint = "start it again, and this run with --resume"
    return SchedulerUnavailable("the scheduler has gone", why=str(error), hint=hint)
