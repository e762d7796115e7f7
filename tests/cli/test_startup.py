"""What commands import: those that compute nothing import nothing large, and restoring only what it uses.

How long they take is measured by benchmarks/startup.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

LARGE = ("torch", "numpy", "scipy", "skimage", "matplotlib", "tifffile", "imagecodecs", "onnx")
UNUSED = (
    "torch._dynamo", "torch._inductor", "sympy", "triton", "pandas", "matplotlib", "skimage", "onnx", "dask",
    "scipy.signal", "scipy.stats", "scipy.optimize", "scipy.interpolate",
)  # fmt: skip


def imported(*arguments: object) -> tuple[int, set[str]]:
    """The exit status of a command in a process of its own, and the modules that are there in the end."""
    code = (
        "import sys; from dgno.cli.main import status_of; status = status_of(sys.argv[1:]); "
        "print('modules:', *sys.modules); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, set(done.stdout.partition("modules:")[2].split())


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["restore", "--help"], 0),
        (["doctor", "--help"], 0),
        (["train", "--help"], 0),
        (["export", "--help"], 0),
        (["restore"], 2),
        (["restore", "image.tif", "--nonsense"], 2),
        (["nonsense"], 2),
    ],
)
def test_help_and_wrong_arguments_import_nothing_large(arguments: list[str], status: int) -> None:
    found, modules = imported(*arguments)
    assert found == status
    assert "dgno.cli.main" in modules
    assert modules.isdisjoint(LARGE)


@pytest.mark.parametrize("route", ["off", "auto"])
def test_restoring_imports_only_what_it_uses(tmp_path: Path, route: str) -> None:
    """Compilers of torch, plotting and statistics would take longer than the network."""
    tifffile.imwrite(tmp_path / "in.tif", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    found, modules = imported("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--route", route)
    assert found == 0
    assert "torch" in modules
    assert modules.isdisjoint(UNUSED)
