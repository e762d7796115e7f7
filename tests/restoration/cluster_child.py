"""Processes of a cluster, on the loopback, for tests: a scheduler, workers, and the command that has work done."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from restoring_child import restore_here

SOURCE = Path(__file__).resolve().parents[2] / "src"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
SERVER = multiprocessing.get_context("forkserver")  # imports once, so that lives are short
SERVER.set_forkserver_preload(
    ["dgno.cli.main", "dgno.restoration.cluster", "dgno.restoration.cluster_client", "distributed", "cluster_child"]
)


def restore_from(folder: Path, arguments: list[str], log: Path, patience: tuple[float, ...]) -> None:
    """`dgno restore` with these arguments in this folder; patience : with workers that hang, see `Patience`"""
    from dgno.restoration import cluster
    from dgno.restoration.cluster_watch import Patience

    os.setpgid(0, 0)
    os.chdir(folder)
    if patience:
        cluster.PATIENCE = Patience(*patience)
    restore_here(arguments, log)


def start(folder: Path, arguments: list[str], log: Path, *patience: float) -> multiprocessing.Process:
    """The command, begun."""
    child = SERVER.Process(target=restore_from, args=(folder, arguments, log, patience))
    child.start()
    return child


def status(child: multiprocessing.Process, seconds: float = 90) -> int | None:
    """How it ended; None if it did not."""
    child.join(seconds)
    if child.exitcode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.join()
        return None
    return child.exitcode


def wait_for(fact: Callable[[], object], child: multiprocessing.Process | None = None, seconds: float = 60) -> None:
    """Wait until it is so, while the child lives."""
    until = time.monotonic() + seconds
    while not fact():
        assert child is None or child.exitcode is None, f"it ended with {child.exitcode}"
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.005)


class Cluster:
    """A scheduler, and workers that come and go.

    settings : of Dask, for the scheduler
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        command = ["scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard"]
        self.scheduler = self._run([*command, "--scheduler-file", str(self.file)], **settings)
        wait_for(lambda: self.file.exists() and self.file.read_text().endswith("}"))

    @property
    def address(self) -> str:
        import json

        return str(json.loads(self.file.read_text())["address"])

    def worker(self, *more: str) -> subprocess.Popen[bytes]:
        """One more worker, without a process that begins it anew when it dies, unless `more` says --nanny."""
        how = ["--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--host", "127.0.0.1"]
        nanny = [] if "--nanny" in more else ["--no-nanny"]
        return self._run(["worker", "--scheduler-file", str(self.file), *how, *nanny, *more])

    def _run(self, command: list[str], **settings: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[0]}{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                env={**ENVIRONMENT, **settings},
                cwd=tempfile.gettempdir(),  # another folder than the command's
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def cluster_in(folder: Path, workers: int, *more: str, **settings: str) -> Iterator[Cluster]:
    """A cluster with so many workers."""
    folder.mkdir()
    cluster = Cluster(folder, **settings)
    try:
        for _ in range(workers):
            cluster.worker(*more)
        yield cluster
    finally:
        cluster.end()
