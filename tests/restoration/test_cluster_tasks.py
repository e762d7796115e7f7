"""Tasks of a cluster and what is kept of a job: done twice, done late, done by a worker that differs."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cluster_place import digests, furnish

from dgno.errors import InputChanged, OutOfMemory, OutputExists, ResumeError, UnknownWeights
from dgno.io.opening import UnreadableInput
from dgno.restoration import cluster_tasks
from dgno.restoration.batch import Job, Outcome
from dgno.restoration.cluster_job import ClusterJob
from dgno.restoration.cluster_tasks import Failure, Looked, Recipe, RestoredBlocks, changed, smaller
from dgno.restoration.cluster_watch import Patience, Watch
from dgno.restoration.options import RestoreOptions


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    furnish(folder)
    return folder


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tasks run in this process, which is no worker."""
    monkeypatch.setattr(cluster_tasks, "_own_address", lambda: "tcp://here")
    yield
    while cluster_tasks._RUNS:
        cluster_tasks._RUNS.popitem()[1].slide.close()
    cluster_tasks._bench_of.cache_clear()


def options(place: Path, **more: object) -> RestoreOptions:
    return RestoreOptions(weights=str(place / "tiny.safetensors"), route="off", tile_size=160, device="cpu", **more)


def looked_at(place: Path, name: str, **more: object) -> tuple[ClusterJob, Looked]:
    job = Job(place / "in/b/slide.svs", place / name)
    held = ClusterJob(job, Recipe(job, options(place, **more), "run"))
    held.begin((job.source,))
    looked = cluster_tasks.look_at(held.recipe)
    assert isinstance(looked, Looked)
    held.go_on_from(looked)
    return held, looked


def restored(held: ClusterJob) -> RestoredBlocks:
    result = cluster_tasks.restore_some(held.recipe, held.identity, held.taken(), held.sides)
    assert isinstance(result, RestoredBlocks)
    return result


def written(held: ClusterJob) -> Outcome | Failure:
    return cluster_tasks.write_out(held.recipe, held.identity, tuple(held.steps), 3.0)


def test_an_output_that_a_dead_worker_wrote_is_written_again(place: Path) -> None:
    """Its task is given to another, which finds the output that the first could not tell of."""
    held, _ = looked_at(place, "twice.tif")
    while not held.is_restored():
        held.keep(restored(held))
    first = written(held)
    assert isinstance(first, Outcome) and first.seconds >= 3
    before = digests(place)["twice.tif"]
    again = written(held)
    assert isinstance(again, Outcome) and again.status == "restored" and again.facts == first.facts
    assert digests(place)["twice.tif"] == before
    (place / "twice.tif").write_bytes((place / "in/a/slide.tif").read_bytes())
    other = written(held)
    assert isinstance(other, Failure) and isinstance(other.error, OutputExists)
    held.end(other)


def test_an_image_too_and_nothing_of_others_is_replaced(place: Path) -> None:
    job = Job(place / "in/image.tif", place / "image.tif")
    recipe = Recipe(job, options(place), "run")
    assert [cluster_tasks.restore_whole(recipe).status for _ in range(2)] == ["restored", "restored"]
    with pytest.raises(OutputExists):
        ClusterJob(job, recipe).begin((job.source,))
    (place / "image.tif").write_bytes(job.source.read_bytes())
    failure = cluster_tasks.restore_whole(recipe)
    assert isinstance(failure, Failure) and isinstance(failure.error, ResumeError)
    assert (place / "image.tif").read_bytes() == job.source.read_bytes()


def test_a_worker_that_sees_something_else_refuses(place: Path) -> None:
    held, looked = looked_at(place, "else.tif")
    for key, error in (("weights", ResumeError), ("software", ResumeError), ("input state", InputChanged)):
        held.identity = {**looked.identity, key: "another"}
        failure = cluster_tasks.restore_some(held.recipe, held.identity, (0,), {})
        assert isinstance(failure, Failure) and isinstance(failure.error, error)
        assert failure.facts["path"] == str(held.recipe.job.source)
    held.end(failure)
    assert (place / ".else.tif.dgno-work" / "journal").is_dir()  # what was done is kept


def test_tiles_never_grow_again(place: Path) -> None:
    """Blocks that were under way when memory ran out come late, in larger tiles."""
    held, _ = looked_at(place, "late.tif")
    first, second = restored(held), restored(held)
    held.keep(cluster_tasks.replace(first, sides={"-1": 128}, steps=("memory ran out",)))
    held.keep(second)
    assert held.sides == {"-1": 128} and list(held.steps) == ["memory ran out"]
    assert held.journal is not None and held.journal.notes == [{"sides": {"-1": 128}}]
    assert restored(held).sides == {"-1": 128}
    assert smaller({"0": 0, "1": 256}, {"0": 512, "1": 128}) == {"0": 512, "1": 128}
    held.let_go(None)


def test_nothing_is_kept_of_another_run(place: Path) -> None:
    """A worker outlives runs; weights of the same name may have changed since."""
    first, again, other = (cluster_tasks._bench_of(options(place), name) for name in ("one", "one", "two"))
    assert first is again and first is not other


def test_errors_arrive_with_all_they_say(place: Path) -> None:
    for error in (UnreadableInput("broken", path=place, why="so", hint="do"), UnknownWeights("none", hint="which")):
        failure = pickle.loads(pickle.dumps(cluster_tasks.failure_of(error)))  # noqa: S301
        assert str(failure.as_error()) == str(error) and type(failure.as_error()) is type(error)
    assert isinstance(cluster_tasks.failure_of(MemoryError()).error, OutOfMemory)
    try:
        raise KeyError("lost")
    except KeyError as error:
        failure = pickle.loads(pickle.dumps(cluster_tasks.failure_of(error)))  # noqa: S301
    assert failure.error is None and failure.facts["code"] == "E-BUG"
    assert "raise KeyError" in "".join(failure.as_error().__notes__)


def test_changed_options_are_the_same_otherwise() -> None:
    """`dataclasses.replace` would take the default route for one that was asked for."""
    before = RestoreOptions(device="cpu")
    after = changed(before, overwrite=True)
    assert after.slide_route == before.slide_route == "auto"
    assert after.overwrite and not before.overwrite
    assert after.decisive() == before.decisive()


class Workers:
    """What a scheduler tells of its workers."""

    def __init__(self, **tasks: tuple[str, ...]) -> None:
        self.tasks = tasks

    def processing(self) -> dict[str, tuple[str, ...]]:
        return self.tasks

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.tasks, 1)


def test_who_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = np.zeros(1)
    monkeypatch.setattr("dgno.restoration.cluster_watch.time.monotonic", lambda: float(now[0]))
    workers = Workers(old=("a", "b"), new=("c",), looking=("d", "look"))
    watch = Watch(workers, Patience())
    watch.told("old", 10.0)
    hung: list[tuple[float, str]] = []
    for now[0] in range(0, 1000, 5):
        if now[0] == 100:
            workers.tasks = {**workers.tasks, "old": ("b", "e")}  # "a" has ended
        hung += [(float(now[0]), worker) for worker in watch.look({"a", "b", "c", "d", "e"})]
    assert min(when for when, worker in hung if worker == "old") == 305  # 20 times its own 10 s, after "a"
    assert min(when for when, worker in hung if worker == "new") == 605
    assert {worker for _, worker in hung} == {"old", "new"}  # a look takes as long as its slide is large
