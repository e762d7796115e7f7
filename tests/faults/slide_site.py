"""A folder with a small slide, weights, and `dgno restore` on it: what the tests of slide restoring share."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from torch import Tensor

from command_line import Cli, Result
from dgno.io.open_slide import open_slide
from dgno.restoration.placed import Placed

QUICK = ("--route", "off", "--tile", "96", "--device", "cpu")
EMPTY: frozenset[str] = frozenset()


@dataclass
class Site:
    """folder : of the outputs, empty at first; slide : beside it, of 12 blocks"""

    cli: Cli
    folder: Path
    slide: Path
    weights: Path

    def restore(self, source: object, out: object, *more: object) -> Result:
        return self.cli("restore", source, "-o", out, "--weights", self.weights, *QUICK, *more)

    def whole(self, name: str = "out.ome.tif", *more: object) -> bytes:
        """The bytes of an output that nobody disturbed; the folder is empty again."""
        result = self.restore(self.slide, self.folder / name, *more)
        assert result.status == 0, result.err
        data = bytes_of(self.folder / name)
        remove_all(self.folder)
        return data

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def refused(result: Result, code: str, status: int, text: str = "") -> None:
    """One line that says so, with the right code and status."""
    found = re.findall(r"error\[(E-[A-Z0-9-]+)\]", result.err)
    assert (found, result.status) == ([code], status), result.err
    assert text in result.err, result.err
    assert "Traceback" not in result.err


def bytes_of(path: Path) -> bytes:
    """Of a file, or of all files of a Zarr."""
    if path.is_file():
        return path.read_bytes()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return b"".join(os.fsencode(file.relative_to(path)) + file.read_bytes() for file in files)


def remove_all(folder: Path) -> None:
    """Empty a folder of outputs."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


@contextmanager
def each_block(patch: pytest.MonkeyPatch, happens: Callable[[int, Tensor], object]) -> Iterator[None]:
    """Meanwhile something happens before each block is computed; it is told its number, from 0 on, and the pixels."""
    real, calls = Placed.__call__, iter(range(10**6))

    def call(self: Placed, x: Tensor) -> Tensor:
        happens(next(calls), x)
        return real(self, x)

    with patch.context() as patched:
        patched.setattr(Placed, "__call__", call)
        yield


@contextmanager
def limited(what: int, value: int) -> Iterator[None]:
    """Meanwhile the system grants this process no more; see the module `resource`."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def block_place(path: Path, number: int) -> tuple[int, int]:
    """Where a tile of level 0 stands in its file, and its length."""
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].dataoffsets[number], tiff.pages[0].databytecounts[number]


def pixels_of(path: Path) -> np.ndarray:
    with open_slide(path) as slide:
        height, width = slide.facts.shape
        return slide.read((0, height), (0, width))
