"""A library that was compiled from other sources than those beside it is refused: its structures may be others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from kernel_comparison import compiled_versions

from dgno.kernels import backends, compiled, dg_operator, uniform
from dgno.kernels import dg_operator_c as compiled_operator
from dgno.kernels.choice import Choice
from dgno.kernels.sources import fingerprint, source_files

pytestmark = pytest.mark.skipif(not compiled_versions(uniform), reason="the kernels were not compiled")

HERE, REFUSED = compiled.FOLDER, "compiled from other sources: run `pip install -e .` again"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which libraries are loaded: two of them, and the sources."""
    for path in (*source_files(HERE), *HERE.glob("_uniform.*"), *HERE.glob("_dg_operator.*")):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(compiled, "FOLDER", tmp_path)
    for cache in (compiled.load_library, compiled_operator.load):
        cache.cache_clear()
    yield tmp_path
    for cache in (compiled.load_library, compiled_operator.load):
        cache.cache_clear()


def edit(path: Path) -> None:
    path.write_text(path.read_text() + "\n")


CHANGES: dict[str, Callable[[Path], object]] = {
    "its source": lambda folder: edit(folder / "uniform.c"),
    "a header": lambda folder: edit(folder / "tasks.h"),
    "the source of another": lambda folder: edit(folder / "pointwise.c"),
    "one more": lambda folder: (folder / "more.h").touch(),
    "one less": lambda folder: (folder / "gelu.h").unlink(),
    "another name": lambda folder: (folder / "gelu.h").rename(folder / "gelus.h"),
}


@pytest.mark.parametrize("name", [path.stem for path in source_files(HERE) if path.suffix == ".c"])
def test_the_libraries_here_are_of_these_sources(name: str) -> None:
    """Every library tells what it was compiled from."""
    assert compiled._fingerprint_of(compiled.load_library(name)) == fingerprint(HERE)


def test_a_library_beside_its_sources_is_loaded(folder: Path) -> None:
    """Wherever they lie."""
    assert compiled.load_library("uniform").dgno_best_version() >= 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_library_of_other_sources_is_refused(folder: Path, change: str) -> None:
    """As after a `git pull` that brought other sources to an old library."""
    CHANGES[change](folder)
    with pytest.raises(OSError, match=re.escape(REFUSED)):
        compiled.load_library("uniform")


def test_a_library_that_does_not_tell_is_refused(folder: Path) -> None:
    """As those that were compiled before any told."""
    (path,) = folder.glob("_uniform.*")
    silent = path.read_bytes().replace(b"dgno_sources", b"dgno_nothing")
    path.unlink()
    path.write_bytes(silent)
    with pytest.raises(OSError, match=re.escape(REFUSED)):
        compiled.load_library("uniform")


def test_without_sources_there_is_nothing_to_compare(folder: Path) -> None:
    """An installation may leave them out: a library there was installed together with the Python code."""
    for path in source_files(folder):
        path.unlink()
    assert compiled.load_library("uniform").dgno_best_version() >= 0


def test_the_reference_runs_instead(folder: Path) -> None:
    """The same kernel integrals, bit for bit those of the reference; what is shown as the reason says what to do."""
    edit(folder / "dg_operator.c")
    assert backends.choose_operator(torch.device("cpu"), torch.float32, 4, 64) == Choice("reference", REFUSED)
    kv, norm = torch.rand(1, 32, 16, 16), torch.rand(2, 4, 4)
    volume, _ = backends.integrate(kv, norm, norm, (8, 8), False)
    assert torch.equal(volume, dg_operator.integrate(kv, norm, norm, (8, 8), False)[0])
