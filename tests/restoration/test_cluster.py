"""Many slides on a real cluster, on the loopback: the same bytes as in one process, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_child import Cluster, cluster_in, start, status, wait_for
from cluster_place import OPTIONS, copy_of, digests, furnish, records, results

SPEEDY = (6.0, 6.0, 20.0, 0.2)  # patience in s; see `dgno.restoration.cluster_watch`


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    furnish(folder)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_in(tmp_path_factory.mktemp("cluster") / "two", 2) as found:
        yield found


@pytest.fixture(scope="module")
def alone(place: Path, cluster: Cluster) -> dict[str, str]:
    """What one process makes of all inputs, while the cluster starts."""
    assert status(start(place, ["in", "-o", "alone", *OPTIONS], place / "alone.log")) == 7
    return digests(place / "alone")


def on(cluster: Cluster, *more: str) -> list[str]:
    return [*OPTIONS, "--scheduler", cluster.address, *more]


def test_all_kinds_of_inputs_in_one_run(place: Path, cluster: Cluster, alone: dict[str, str]) -> None:
    """Names relative to a folder that is not the workers'; two slides of one name; one that is broken."""
    log = place / "all.log"
    child = start(place, ["in", "-o", "all", *on(cluster, "--json")], log)
    assert status(child) == 7, log.read_text()
    assert digests(place / "all") == alone
    assert set(alone) == {"a/slide.tif", "b/slide.ome.tif", "image.tif"}
    mine, theirs = results(place / "all"), results(place / "alone")
    assert mine.keys() == theirs.keys() == {"in/a/slide.tif", "in/b/slide.svs", "in/image.tif", "in/broken.svs"}
    for name in mine:
        same = ("input", "status", "megapixels", "notes", "error", "facts")
        got, wanted = ({key: one[key] for key in same} for one in (mine[name], theirs[name]))
        if got["error"]:
            got["error"], wanted["error"] = ({**one["error"], "path": ""} for one in (got, wanted))
        assert got == wanted
    assert mine["in/broken.svs"]["error"]["code"] == "E-IN-TRUNC"
    line = next(line for line in log.read_text().splitlines() if line.startswith("{"))
    assert len(json.loads(line)["results"]) == 4
    assert status(start(place, ["in", "-o", "all", *on(cluster, "--resume")], log)) == 7
    assert {one["status"] for one in results(place / "all").values()} == {"complete", "failed"}
    assert digests(place / "all") == alone


@pytest.mark.parametrize("done", [-1, 2, 12])
def test_a_worker_is_killed_and_a_new_one_joins(
    place: Path, cluster: Cluster, alone: dict[str, str], done: int
) -> None:
    """done : blocks in the journal when it happens; -1: the slide is being looked at"""
    name = f"killed{done}"
    child = start(place, ["in/a/slide.tif", "-o", f"{name}.tif", *on(cluster)], place / f"{name}.log")
    if done < 0:
        wait_for((place / f".{name}.tif.dgno-work").exists, child)
    else:
        wait_for(lambda: records(place, f"{name}.tif") >= done, child)
    victim = cluster.processes[-1]
    cluster.worker()
    victim.kill()
    assert status(child) == 0, (place / f"{name}.log").read_text()
    assert digests(place)[f"{name}.tif"] == alone["a/slide.tif"]
    assert not (place / f".{name}.tif.dgno-work").exists()


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_whoever_stops_it_can_go_on_with_or_without_a_cluster(
    place: Path, cluster: Cluster, alone: dict[str, str], number: signal.Signals, expected: int
) -> None:
    name = f"stopped{expected}"
    log = place / f"{name}.log"
    arguments = ["in/a/slide.tif", "-o", f"{name}.tif"]
    child = start(place, [*arguments, *on(cluster)], log)
    wait_for(lambda: records(place, f"{name}.tif") >= 3, child)
    if expected == 130:
        busy = place / "busy.log"
        os.kill(child.pid, signal.SIGSTOP)  # else it may be done before the other begins
        assert status(start(place, [*arguments, *on(cluster, "--resume")], busy)) == 4
        assert "E-OUT-BUSY" in busy.read_text()
        os.kill(child.pid, signal.SIGCONT)
    began = time.monotonic()
    os.kill(child.pid, number)
    assert status(child) == expected, log.read_text()
    assert time.monotonic() - began < 5
    assert "--resume" in log.read_text() and "Traceback" not in log.read_text()
    assert records(place, f"{name}.tif") >= 3 and not (place / f"{name}.tif").exists()
    more = OPTIONS if expected == 130 else on(cluster)
    assert status(start(place, [*arguments, *more, "--resume"], log)) == 0, log.read_text()
    assert digests(place)[f"{name}.tif"] == alone["a/slide.tif"]
    assert not (place / f".{name}.tif.dgno-work").exists()


def test_one_input_has_its_own_error(place: Path, cluster: Cluster) -> None:
    log = place / "own.log"
    cases = {
        ("in/broken.svs", "-o", "broken.tif"): (3, "E-IN-TRUNC"),
        ("in/a/slide.tif", "-o", "w.tif", "--weights", "nothing"): (5, "E-CK-UNKNOWN"),
        ("in", "-o", "device", "--device", "cuda"): (6, "E-RS-DEVICE"),  # asked of workers; ends the whole run
    }
    for case, (expected, code) in cases.items():
        assert status(start(place, [*on(cluster), *case], log)) == expected, log.read_text()
        assert f"error[{code}]" in log.read_text().splitlines()[-1]
    left = [path.name for path in place.iterdir() if path.name.startswith((".broken", ".w.", "broken.tif"))]
    assert left == []


def test_fail_fast_begins_nothing_more(place: Path, cluster: Cluster) -> None:
    many = [copy_of(place, f"more{i}.svs", "in/b/slide.svs") for i in range(12)]
    log = place / "fast.log"
    child = start(place, ["in/broken.svs", *many, "-o", "fast", *on(cluster, "--fail-fast", "--quiet")], log)
    assert status(child) == 3, log.read_text()
    found = [one["status"] for one in results(place / "fast").values()]
    assert found.count("failed") == 1 and found.count("not begun") >= 3 and len(found) == 13
    assert found.count("restored") == len(digests(place / "fast")) == 12 - found.count("not begun")
    assert [line for line in log.read_text().splitlines() if "restored" in line] == []


PRELOADED = """
import os, signal, time
from dgno.restoration import cluster_tasks

def deadly(self, numbers, compute=cluster_tasks.SlideRun.compute):
    if "poison" in self.job.source.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "sleepy" in self.job.source.name:
        time.sleep(1000)
    return compute(self, numbers)

cluster_tasks.SlideRun.compute = deadly
"""


def test_tasks_that_kill_or_hang_cost_their_own_job_alone(place: Path, alone: dict[str, str], tmp_path: Path) -> None:
    """No worker survives the one, none answers the other; both are given up, and the rest is done."""
    (tmp_path / "preloaded.py").write_text(PRELOADED)
    deadly = [copy_of(place, f"{name}.svs", "in/b/slide.svs") for name in ("poison", "sleepy")]
    names = [*deadly, "in/b/slide.svs", "in/image.tif"]
    log = place / "deadly.log"
    nervous = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with cluster_in(tmp_path / "deadly", 1, "--nanny", "--preload", str(tmp_path / "preloaded.py"), **nervous) as found:
        child = start(place, [*names, "-o", "deadly", *on(found)], log, *SPEEDY)
        assert status(child, 120) == 7, log.read_text()
    ended = results(place / "deadly")
    assert {name: one["status"] for name, one in ended.items()} == dict(
        zip(names, ("failed", "failed", "restored", "restored"), strict=True)
    )
    assert {ended[name]["error"]["code"] for name in names[:2]} == {"E-RS-WORKER"}
    assert "no answer" in ended["sleepy.svs"]["error"]["message"]
    made = digests(place / "deadly")
    assert made["in/b/slide.ome.tif"] == alone["b/slide.ome.tif"] and made["in/image.tif"] == alone["image.tif"]


def test_the_scheduler_goes_and_the_run_can_be_resumed(place: Path, alone: dict[str, str], tmp_path: Path) -> None:
    """Begun before there is any worker, which is told; ended when the scheduler dies."""
    log = place / "gone.log"
    with cluster_in(tmp_path / "gone", 0) as found:
        child = start(place, ["in/a/slide.tif", "-o", "gone.tif", *on(found)], log, *SPEEDY)
        wait_for(lambda: log.exists() and "no workers" in log.read_text(), child)
        found.worker()
        wait_for(lambda: records(place, "gone.tif") >= 3, child)
        found.scheduler.kill()
        began = time.monotonic()
        assert status(child) == 6, log.read_text()
        assert time.monotonic() - began < 10
        assert "E-RS-SCHEDULER" in log.read_text().splitlines()[-1]
        began = time.monotonic()
        assert status(start(place, ["in/a/slide.tif", "-o", "none.tif", *on(found)], log)) == 6
        assert time.monotonic() - began < 15
    assert "no scheduler at" in log.read_text().splitlines()[-1]
    assert status(start(place, ["in/a/slide.tif", "-o", "gone.tif", *OPTIONS, "--resume"], log)) == 0
    assert digests(place)["gone.tif"] == alone["a/slide.tif"]
