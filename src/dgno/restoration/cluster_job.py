"""One job on its way through a cluster: what the process that asks keeps of it. It alone writes the journal."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from dgno.errors import DgnoError, printable
from dgno.io.image import check_output
from dgno.io.lock import LOCK
from dgno.restoration.batch import Job, Outcome
from dgno.restoration.cluster_tasks import Failure, Looked, Recipe, RestoredBlocks, Sides, smaller
from dgno.restoration.journal import Journal
from dgno.restoration.slide_files import check_target, clear_away, hold_work, is_restored_as_slide
from dgno.restoration.slide_run import JOURNAL, work_folder

TOGETHER = 2  # blocks of a task: the second is read while the first is restored
LOOKING, WRITING = 0.1, 0.1  # of the work, for the progress that is told


class ClusterJob:
    """See above; begun by `begin`, ended by `end`.

    job : as it was asked for
    recipe : as workers get it
    is_slide : else an image that one task restores
    waiting : blocks that no worker has got
    running : tasks of blocks that workers have
    steps : what was changed when memory ran out, in words
    """

    def __init__(self, job: Job, recipe: Recipe) -> None:
        self.job, self.recipe = job, recipe
        self.started = time.monotonic()
        self.is_slide = self.is_over = False
        self.waiting: list[int] = []
        self.running = self.needed = self.done = 0
        self.identity: dict[str, str] = {}
        self.sides: Sides = {}
        self.steps: dict[str, None] = {}
        self.journal: Journal | None = None
        self._stack = contextlib.ExitStack()

    def begin(self, inputs: tuple[Path, ...]) -> None:
        """Refuse what could not be written, and hold the folder of a slide's run. inputs : of all jobs"""
        job, options = self.recipe.job, self.recipe.options
        self.is_slide = is_restored_as_slide(job, limits=options.limits)
        if self.is_slide:
            check_target(job, options, inputs)
            self._stack.enter_context(hold_work(job, options))
        else:
            check_output(job.target, inputs=inputs, overwrite=options.overwrite or options.resume)

    def go_on_from(self, looked: Looked) -> None:
        """Open the journal; what it has is done."""
        folder = work_folder(self.recipe.job.target)
        self.identity, self.sides = dict(looked.identity), looked.sides
        self.journal = self._stack.enter_context(Journal(folder / JOURNAL, looked.identity))
        self.needed = len(looked.needed)
        self.waiting = [number for number in looked.needed if number not in self.journal]
        self.done = self.needed - len(self.waiting)
        for note in self.journal.notes:
            self.sides = smaller(self.sides, note.get("sides", {}))

    def taken(self) -> tuple[int, ...]:
        """The next blocks, for a task."""
        numbers, self.waiting = tuple(self.waiting[:TOGETHER]), self.waiting[TOGETHER:]
        self.running += 1
        return numbers

    def keep(self, result: RestoredBlocks) -> None:
        """Put what a task restored into the journal. Where memory ran out, all workers take smaller tiles from here on;
        blocks that they have already may come in larger ones."""
        assert self.journal is not None
        self.running -= 1
        for block in result.blocks:
            self.journal.put(block.number, block.pixels, saturated=block.saturated)
            self.done += 1
        self.steps |= dict.fromkeys(result.steps)
        sides = smaller(self.sides, result.sides)
        if sides != self.sides:
            self.sides = sides
            self.journal.note(sides=sides)

    def is_restored(self) -> bool:
        """Are all blocks in the journal? It is closed then: a worker reads it."""
        if self.journal is None or self.waiting or self.running:
            return False
        self.journal.close()
        return True

    @property
    def share(self) -> float:
        """Of the job that is done."""
        if self.journal is None:
            return 0.0
        return LOOKING + (1 - LOOKING - WRITING) * self.done / max(self.needed, 1)

    @property
    def elapsed(self) -> float:
        """s since it was begun."""
        return time.monotonic() - self.started

    def end(self, result: Outcome | Failure) -> Outcome:
        """Give back what is held, and say what became of it, in the words that it was asked for in."""
        self.is_over = True
        source, target = printable(self.job.source), printable(self.job.target)
        outcome = result if isinstance(result, Outcome) else Outcome(source, target, "failed", error=result.facts)
        self.let_go(None if isinstance(result, Outcome) else result.as_error())
        if self.is_slide and isinstance(result, Outcome):
            clear_away(work_folder(self.recipe.job.target))
        facts = {name: value for name, value in vars(outcome).items() if name not in ("input", "output", "seconds")}
        return Outcome(source, target, seconds=self.elapsed, **facts)

    def let_go(self, error: BaseException | None) -> None:
        """Close the journal and give the folder back; what is done stays for `--resume`."""
        folder = work_folder(self.recipe.job.target)
        with contextlib.suppress(DgnoError):  # such as a full disk: what was synced before is good
            self._stack.close()
        if error is not None and self.is_slide and folder.is_dir() and [one.name for one in folder.iterdir()] == [LOCK]:
            clear_away(folder)  # nothing was done that could be gone on with
