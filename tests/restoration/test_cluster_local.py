"""Workers that a command starts on its own machine: none of them outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cluster_child import ENVIRONMENT, start, status, wait_for
from cluster_place import OPTIONS, digests, furnish, records

from dgno.errors import ConfigError
from dgno.restoration.cluster_client import connected, refuse_address


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    furnish(folder)
    return folder


@pytest.fixture(scope="module")
def whole(place: Path) -> str:
    """The digest of what one process makes of the slide."""
    assert status(start(place, ["in/a/slide.tif", "-o", "whole.tif", *OPTIONS], place / "whole.log")) == 0
    return digests(place)["whole.tif"]


@pytest.mark.parametrize("number, expected", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_workers_end_with_the_command(place: Path, whole: str, number: signal.Signals, expected: int) -> None:
    """Killed alone, or stopped by Ctrl-C, which all processes of a terminal get."""
    name = f"local{expected}"
    log = place / f"{name}.log"
    arguments = ["in/a/slide.tif", "-o", f"{name}.tif", *OPTIONS]
    child = start(place, [*arguments, "--workers", "2"], log)
    wait_for(lambda: records(place, f"{name}.tif") >= 2, child)
    below = psutil.Process(child.pid).children(recursive=True)
    assert len(below) >= 2
    assert {one.laddr.ip for process in below for one in process.net_connections() if one.laddr} == {"127.0.0.1"}
    began = time.monotonic()
    (os.killpg if expected == 130 else os.kill)(child.pid, number)
    assert status(child) == expected, log.read_text()
    _, alive = psutil.wait_procs(below, timeout=max(0.1, 5 - (time.monotonic() - began)))
    assert alive == []
    assert "Traceback" not in log.read_text()
    assert status(start(place, [*arguments, "--resume"], log)) == 0, log.read_text()
    assert digests(place)[f"{name}.tif"] == whole


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'dgno\[cluster\]'"), connected("tcp://127.0.0.1:1", None):
        pass


def test_two_clusters_at_once_are_no_reason_to_warn() -> None:
    """Warnings are errors in tests, also in the thread that starts the cluster."""
    with connected(None, 1) as first, connected(None, 1) as second:
        assert [len(client.scheduler_info()["workers"]) for client in (first, second)] == [1, 1]


@pytest.mark.parametrize(
    "scheduler",
    [
        "foo",
        "tcp://",
        "tcp://host",
        "host:port",
        "tcp://:8786",
        "tcp://[::1",
        "host:0",
        "host:99999",
        "gopher://host:1",
    ],
)
def test_what_is_no_address_is_refused_at_once(scheduler: str) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"no address of a scheduler: .*; give tcp://HOST:PORT"):
        refuse_address(scheduler)
    with pytest.raises(ConfigError, match="no address of a scheduler"), connected(scheduler, None):
        pass
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "scheduler", ["host:8786", "tcp://10.0.0.1:8786", "tls://host.org:8786", "tcp://[::1]:8786", "wss://host:443"]
)
def test_addresses_of_all_kinds_are_taken(scheduler: str) -> None:
    refuse_address(scheduler)


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1"])
def test_one_line_says_that_no_scheduler_is_there(tmp_path: Path, scheduler: str) -> None:
    """No traceback of Dask follows; TLS ends by its missing certificate, of which Dask complained for 10 s."""
    furnish(tmp_path)
    command = [sys.executable, "-m", "dgno", "restore", "in/a/slide.tif", "-o", "out.tif", *OPTIONS]
    command += ["--scheduler", scheduler]
    ended = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=90)
    assert ended.returncode == 6
    assert [line.split(":")[1] for line in ended.stderr.splitlines()] == [" error[E-RS-SCHEDULER]"]


@pytest.mark.parametrize("workers", [0, 1025])
def test_a_number_of_workers_is_wanted(workers: int) -> None:
    wanted = f"workers is {workers}, wanted a whole number of at least 1 and at most 1024"
    with pytest.raises(ConfigError, match=wanted), connected(None, workers):
        pass
