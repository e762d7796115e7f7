"""`dgno` as a process: terminals, pipes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imsave


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dgno", *map(str, arguments)]


def test_a_closed_pipe_is_quiet() -> None:
    """Whoever read our output has gone before the first word of it: 141, as programs that SIGPIPE ends have."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command("doctor"), stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_plain_ascii_terminals(tmp_path: Path, weights: dict[int, Path]) -> None:
    """With LC_ALL=C any name is printed in escapes, and any name works."""
    source = tmp_path / "Zelle α\n✂.png"
    imsave(tmp_path / "x.png", np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8), check_contrast=False)
    (tmp_path / "x.png").rename(source)
    arguments = command("restore", source, "-o", tmp_path / "out.png", "--weights", weights[1])
    done = subprocess.run(
        arguments, capture_output=True, env={**os.environ, "LC_ALL": "C", "NO_COLOR": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.isascii()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_their_status(tmp_path: Path, weights: dict[int, Path], number: int, status: int) -> None:
    """What was finished stays whole, nothing half-written stands under a final name."""
    (tmp_path / "in").mkdir()
    for i in range(200):
        pixels = np.random.default_rng(i).integers(0, 255, (200, 200), np.uint8)
        imsave(tmp_path / "in" / f"{i:03d}.png", pixels, check_contrast=False)
    arguments = command("restore", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights[1])
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as child:
        while not list((tmp_path / "out").glob("*.png")) and child.poll() is None:
            time.sleep(0.02)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    assert child.returncode == status, err
    assert err.splitlines()[-1].startswith("dgno: error[E-")
    assert not list((tmp_path / "out").glob(".*"))
    assert all(
        tifffile.imread(p).shape == (200, 200) if p.suffix == ".tif" else p.stat().st_size
        for p in (tmp_path / "out").iterdir()
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(number: int) -> None:
    """The first lets the work stop in good order; who asks again does not want to wait."""
    code = (
        "import os, signal, sys; from dgno.cli import main\n"
        "def work(arguments):\n"
        "    try: os.kill(os.getpid(), int(sys.argv[1]))\n"
        "    except main.Stopped: print('stopping', flush=True)\n"
        "    os.kill(os.getpid(), int(sys.argv[1])); print('still here')\n"
        "main.status_of = work; main.run([])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(int(number))], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-number, b"stopping\n")
