"""Names that the system refuses, and folders that it keeps closed: one clear error each, and the others go on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from command_line import Cli

LONG = "a" * 300
RIGHTS = "-dac_override,-dac_read_search"


@pytest.mark.parametrize("arguments", [
    ("restore", f"{LONG}.png", "-o", "b.png"),
    ("info", LONG),
    ("evaluate", LONG),
    ("train", LONG),
    ("check-data", LONG),
], ids=lambda arguments: arguments[0])  # fmt: skip
def test_names_that_are_too_long_are_missing(cli: Cli, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments)
    assert result.status == 3
    assert "error[E-IN-MISSING]" in result.err


def test_weights_of_such_a_name_are_unknown(cli: Cli) -> None:
    result = cli("models", "show", LONG)
    assert (result.status, "E-CK-UNKNOWN" in result.err) == (5, True)


@pytest.mark.parametrize("arguments", [("restore", "", "-o", "out"), ("restore", "in.png", "--out="), ("info", "")])
def test_empty_names_are_no_folder(cli: Cli, arguments: tuple[str, ...]) -> None:
    """An empty variable of the shell would else be the folder that one is in."""
    result = cli(*arguments)
    assert result.status == 2
    assert "is a variable of the shell not set?" in result.err


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """Two folders with an image each, of which one may not be read."""
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)).save(tmp_path / name / "p.png")
    (tmp_path / "closed").chmod(0)
    yield tmp_path
    (tmp_path / "closed").chmod(0o755)


@pytest.mark.parametrize("inputs", [["."], ["open/p.png", "closed/p.png"]], ids=["a folder", "files"])
def test_a_closed_folder_costs_no_other_image(closed: Path, inputs: list[str]) -> None:
    """Root gives up its right to read everything."""
    drop = ["setpriv", "--bounding-set", RIGHTS, "--inh-caps", RIGHTS] if os.geteuid() == 0 else []
    if drop and not shutil.which("setpriv"):
        pytest.skip("root may read everything, and there is no setpriv")
    command = [*drop, sys.executable, "-m", "dgno", "restore", *inputs, "-o", "out", "-q"]
    done = subprocess.run(command, cwd=closed, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert (closed / "out" / "open" / "p.png").exists()
    assert "E-IN-PERM" in (closed / "out" / "report.json").read_text()
