"""Two processes never write into one run: the second is told who the first is; a killed one holds nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dgno.errors import OutputBusy
from dgno.io.lock import sole_writer
from dgno.training.config import load_config
from dgno.training.loop import train

HOLDER = """
import sys, time
from pathlib import Path
from dgno.io.lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(run_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes into the folder `run`."""
    (run_folder / "run").mkdir()
    command = [sys.executable, "-c", HOLDER, str(run_folder / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_the_second_is_told_of_the_first(run_folder: Path, holder: subprocess.Popen[str]) -> None:
    for _ in range(2):  # asking changes nothing
        told = pytest.raises(OutputBusy, match=f"process {holder.pid} on .* since .*; wait for it")
        with told as raised, sole_writer(run_folder / "run"):
            pass
        assert (raised.value.code, raised.value.exit_status) == ("E-OUT-BUSY", 4)


def test_a_run_is_not_trained_twice_at_once(run_folder: Path, holder: subprocess.Popen[str]) -> None:
    config = load_config(run_folder / "config.toml")
    with pytest.raises(OutputBusy):
        train(config)
    assert [path.name for path in config.out.iterdir()] == [".dgno-lock"], "nothing is written beside the first"
    holder.kill()
    holder.wait()
    assert train(config, max_minutes=0)[1] == 0
    assert (config.out / "weights.safetensors").is_file()


def test_one_after_the_other(tmp_path: Path) -> None:
    for _ in range(2):
        with sole_writer(tmp_path):
            pass
