"""Third-party checkpoints as archives: bombs, lies and damage are refused, and the child that reads may die."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from dgno.errors import CheckpointError, CorruptCheckpoint, UnsafeCheckpoint
from dgno.weights import pth
from dgno.weights.pth import read_params

here = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    torch.save({"params": {"weight": torch.arange(1000.0)}}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def rezipped(path: Path, compression: int = zipfile.ZIP_STORED, extra: dict[str, bytes] | None = None) -> Path:
    """The archive written again with another compression, or with more entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in (entries | (extra or {})).items():
            archive.writestr(name, data)
    return path


@here
def test_archives_written_again_are_read(good: Path) -> None:
    """An archive that another program has stored anew is as good: the refusals below have their own reasons."""
    assert torch.equal(read_params(rezipped(good))["weight"], torch.arange(1000.0))


def test_compressed_archives_are_refused(good: Path) -> None:
    """torch.save never compresses, bombs do: 100 MB in 100 kB are refused from the directory, before unpacking."""
    with pytest.raises(UnsafeCheckpoint, match="unpacks to more"):
        read_params(rezipped(good, zipfile.ZIP_DEFLATED, {"net/data/bomb": bytes(10**8)}))


def test_directories_that_lie_are_refused(good: Path) -> None:
    """An entry that claims to be longer than the file is refused."""
    data = bytearray(good.read_bytes())
    entry = data.rfind(b"PK\1\2")
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    good.write_bytes(data)
    with pytest.raises(CheckpointError):
        read_params(good)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "net/../../evil"])
def test_names_outside_the_archive_are_refused(good: Path, name: str) -> None:
    """Entries named as places elsewhere are refused."""
    with pytest.raises(UnsafeCheckpoint, match="outside"):
        read_params(rezipped(good, extra={name: b"x"}))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_archives_are_corrupt(good: Path, share: float) -> None:
    """An archive that ends early is corrupt."""
    data = good.read_bytes()
    good.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CorruptCheckpoint):
        read_params(good)


@here
def test_damaged_archives_are_errors_of_ours(good: Path) -> None:
    """Flipped bytes anywhere give a CheckpointError, or tensors; never another exception."""
    data = good.read_bytes()
    for position in range(0, len(data), len(data) // 60):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        good.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            assert read_params(good)["weight"].shape == (1000,)


@pytest.mark.parametrize(
    "status, expected", [(-9, CorruptCheckpoint), (1, CorruptCheckpoint), (137, CorruptCheckpoint)]
)
def test_a_child_that_dies_is_an_error(
    good: Path, status: int, expected: type[CheckpointError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is killed, or ends without tensors, is a CheckpointError."""

    def die(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, status, stderr="")

    monkeypatch.setattr(pth.subprocess, "run", die)
    with pytest.raises(expected, match="killed"):
        read_params(good)


def test_a_child_that_hangs_is_ended(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes too long is ended, and the file called unsafe."""
    run = subprocess.run

    def sleep(command: list[str], *, timeout: float, **rest: Any) -> object:
        return run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2, **rest)

    monkeypatch.setattr(pth.subprocess, "run", sleep)
    with pytest.raises(UnsafeCheckpoint, match="too long"):
        read_params(good)


def test_systems_without_limits_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system knows no bound on memory (Windows), the reader does without."""
    monkeypatch.setitem(sys.modules, "resource", None)
    pth._limit_memory(0)


def test_the_child_is_asked_without_a_shell(good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file name is an argument, whatever characters it has; and one like an option stays a file."""
    commands = []

    def record(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append((command, options))
        return subprocess.CompletedProcess(command, 1, stderr="")

    monkeypatch.setattr(pth.subprocess, "run", record)
    strange = tmp_path / "-c import os; $(touch x) `y`.pth"
    good.rename(strange)
    with pytest.raises(CorruptCheckpoint):
        read_params(strange)
    ((command, options),) = commands
    assert str(strange) in command
    assert not options.get("shell")
