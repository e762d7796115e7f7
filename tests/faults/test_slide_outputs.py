"""RELIABILITY 3C and 4.1 for slides: outputs appear complete or not at all, and never on top of an input."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from output_cases import names

from dgno.errors import InputError, NoSpace, OutputError, OutputExists, OutputNotWritable, WouldOverwriteInput
from dgno.io import zarr_store
from dgno.io.slide import SlideFacts
from dgno.io.slide_output import ENDINGS
from dgno.io.slide_write import write_slide

FACTS, KINDS = SlideFacts((520, 530), np.dtype("uint8")), list(ENDINGS)


def noise(seed: int):
    pixels = np.random.default_rng(seed).integers(0, 256, (*FACTS.shape, 1), dtype=np.uint8)
    return lambda rows, columns, plane: pixels[slice(*rows), slice(*columns)]


def write(path: Path, kind: str, seed: int = 0, **settings) -> None:
    write_slide(path, FACTS, noise(seed), kind=kind, **settings)


def contents(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file.relative_to(path.parent)): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def test_c01_an_output_is_replaced_only_when_asked(tmp_path, kind):
    path = tmp_path / f"out{ENDINGS[kind]}"
    write(path, kind)
    before = contents(path)
    with pytest.raises(OutputExists, match="--overwrite"):
        write(path, kind, 1)
    assert contents(path) == before
    write(path, kind, 1, overwrite=True)
    assert contents(path) != before and names(tmp_path) == [path.name]


def test_c02_an_input_is_never_replaced(tmp_path, kind):
    path = tmp_path / f"out{ENDINGS[kind]}"
    write(path, kind)
    (tmp_path / "link").symlink_to(path.name)
    before = contents(path)
    for name in (path, tmp_path / "link", tmp_path / "." / path.name):
        with pytest.raises(WouldOverwriteInput):
            write(name, kind, 1, inputs=[path], overwrite=True)
    assert contents(path) == before


def test_c02_neither_around_an_input_nor_inside_of_one(tmp_path, kind):
    outer = tmp_path / "in.zarr"
    write(outer, "ome-zarr")
    before = contents(outer)
    with pytest.raises(WouldOverwriteInput, match="one lies in the other"):
        write(outer, "ome-zarr", 1, inputs=[outer / "0"], overwrite=True)
    with pytest.raises(WouldOverwriteInput, match="one lies in the other"):
        write(outer / f"out{ENDINGS[kind]}", kind, 1, inputs=[outer])
    assert contents(outer) == before


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_folders_of_the_user_are_never_replaced(tmp_path, ngff):
    path = tmp_path / "out.zarr"
    path.mkdir()
    for name in (None, "notes.txt"):
        if name is not None:
            write_slide(tmp_path / "other.zarr", FACTS, noise(0), kind="ome-zarr", ngff=ngff)
            path.rmdir()
            (tmp_path / "other.zarr").rename(path)
            (path / name).write_text("mine")
        with pytest.raises(OutputNotWritable, match="a folder that is not just a Zarr"):
            write(path, "ome-zarr", overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"
    (tmp_path / "file.zarr").write_text("mine")
    with pytest.raises(OutputNotWritable, match="a file has this name"):
        write(tmp_path / "file.zarr", "ome-zarr", overwrite=True)
    with pytest.raises(OutputNotWritable, match="a folder has this name"):
        write(path, "ome-tiff", overwrite=True)


def test_c03_folders_that_are_missing(tmp_path, kind):
    write(tmp_path / "new" / "out", kind)
    assert names(tmp_path / "new") == ["out"]
    with pytest.raises(OutputNotWritable, match="missing as well"):
        write(tmp_path / "a" / "b" / "out", kind)
    with pytest.raises(OutputNotWritable, match="scratch"):
        write(tmp_path / "out", kind, scratch=tmp_path / "nowhere")
    assert names(tmp_path) == ["new"]


CHILD = """
import os, resource, sys
import numpy as np
from pathlib import Path
from dgno.errors import DgnoError
from dgno.io.slide import SlideFacts
from dgno.io.slide_write import write_slide
path, kind, limit, blank = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), len(sys.argv) > 4
facts = SlideFacts((2100, 2100), np.dtype("uint8"))
pixels = np.random.default_rng(int(limit)).integers(0, 256, (2100, 2100, 1), dtype=np.uint8)
"""
FULL = (
    CHILD
    + """
if limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try: write_slide(path, facts, lambda r, c, p: pixels[slice(*r), slice(*c)], kind=kind, overwrite=True)
except DgnoError as error: print(error.code, sorted(os.listdir(path.parent)), str(path) in str(error))
"""
)


def printed(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize("limit", [1, 5000, 800_000])
def test_c04_a_limit_on_file_size_leaves_nothing_behind(tmp_path, kind, limit):
    """The kernel answers EFBIG: in the output with the small limits; with the large one in scratch files, too."""
    assert printed(FULL, tmp_path / "out", kind, limit) == "E-OUT-NOSPACE [] True"


@pytest.mark.parametrize("size", ["64k", "2m"])
def test_c04_a_disk_that_is_full_leaves_nothing_behind(tmp_path, kind, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        assert printed(FULL, disk / "out", kind, 0) == "E-OUT-NOSPACE [] True"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_seen_before_pixels_are_read(tmp_path, monkeypatch, kind):
    full = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([*full[:4], 0, *full[5:]]))

    def source(rows, columns, plane):
        raise AssertionError("not to be asked")

    with pytest.raises(NoSpace, match=r"0\.1 MB are needed.*0\.0 MB are free"):
        write_slide(tmp_path / "new" / "out", FACTS, source, kind=kind)
    with pytest.raises(NoSpace, match=r"0\.5 MB are needed"):
        write_slide(tmp_path / "out", FACTS, source, kind=kind, compression="none")
    assert names(tmp_path) == []


class Failing:
    """Does what it stands for, except for the n-th call that counts."""

    def __init__(self, real, number: int, fault: int, counts=lambda *arguments: True) -> None:
        self.real, self.number, self.fault, self.counts, self.calls = real, number, fault, counts, 0

    def __call__(self, *arguments, **keywords):
        if self.counts(*arguments):
            self.calls += 1
            if self.calls == self.number + 1:
                raise OSError(self.fault, os.strerror(self.fault))
        return self.real(*arguments, **keywords)


COUNTED = {  # which calls of those that are made can matter
    "open": lambda path, flags=0, *_: bool(flags & os.O_ACCMODE != os.O_RDONLY),
    "mkdir": lambda path, *_: not os.path.lexists(path),
}


CALLS = ["fsync", "replace", "open", "pwrite"]
CASES = [("ome-tiff", call, errno.ENOSPC, True) for call in CALLS] + [("ome-tiff", "fsync", errno.EIO, True)]
CASES += [("ome-zarr", call, errno.ENOSPC, True) for call in [*CALLS, "mkdir"]]
CASES += [("ome-zarr", "rename", errno.EIO, False)]


@pytest.mark.parametrize("kind, call, fault, swap", CASES)
def test_c04_c05_the_nth_failure_leaves_the_old_output_and_nothing_else(tmp_path, monkeypatch, kind, call, fault, swap):
    """swap : can the system exchange two names at once?"""
    path, real, number = tmp_path / "out", getattr(os, call), 0
    if not swap:
        monkeypatch.setattr(zarr_store, "_exchange", lambda one, other: False)
    write(path, kind, 1)
    new = contents(path)
    write(path, kind, 0, overwrite=True)
    old = contents(path)
    while True:
        failing = Failing(real, number, fault, COUNTED.get(call, lambda *arguments: True))
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            try:
                write(path, kind, 1, overwrite=True)
                break
            except OutputError as error:
                assert str(path) in str(error) and ".dgno-part" not in str(error)
                assert isinstance(error, NoSpace) == (fault == errno.ENOSPC)
        assert names(tmp_path) == ["out"]
        now = contents(path)
        assert now == old or (call == "fsync" and now == new)  # that of the folder comes after the new name
        if now == new:
            write(path, kind, 0, overwrite=True)
        number += 1
    assert contents(path) == new and names(tmp_path) == ["out"]
    is_file = kind == "ome-tiff"  # of a Zarr all files and folders are synced, and it is renamed
    least = {"fsync": 2 if is_file else 15, "replace": int(is_file), "open": 1 + is_file, "pwrite": 4, "rename": 2}
    assert number >= (least | {"mkdir": 10})[call]


def test_c04_the_nth_chunk_that_cannot_be_written(tmp_path, monkeypatch):
    number = 0
    while True:
        failing = Failing(Path.open, number, errno.ENOSPC, lambda path, mode="r", *rest: "r" not in mode)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", lambda self, *rest, call=failing, **more: call(self, *rest, **more))
            try:
                write(tmp_path / "out", "ome-zarr")
                break
            except NoSpace:
                assert names(tmp_path) == []
        number += 1
    assert number > 5


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_leaves_nothing_behind(tmp_path, kind, workers):
    def source(rows, columns, plane):
        if columns[0]:
            raise KeyboardInterrupt
        return noise(0)(rows, columns, plane)

    with pytest.raises(KeyboardInterrupt):
        write_slide(tmp_path / "out", FACTS, source, kind=kind, workers=workers)
    assert names(tmp_path) == []


def test_a_crash_between_two_renames_is_undone_by_the_next_run(tmp_path):
    path = tmp_path / "out.zarr"
    write(path, "ome-zarr")
    before = contents(path)
    path.rename(tmp_path / ".out.zarr.dgno-old")

    def source(rows, columns, plane):
        raise InputError("no more")

    with pytest.raises(InputError):
        write_slide(path, FACTS, source, kind="ome-zarr", overwrite=True)
    assert contents(path) == before and names(tmp_path) == ["out.zarr"]


KILLED = (
    CHILD
    + """
print("ready", flush=True)
while True: write_slide(path, facts, lambda r, c, p: pixels[slice(*r), slice(*c)], kind=kind, overwrite=True)
"""
)


@pytest.mark.parametrize("kind", ["ome-tiff", "ome-zarr"])
def test_a_kill_leaves_one_complete_output(tmp_path, kind):
    path, seen = tmp_path / "out", set()
    printed(FULL, path, kind, 10_000_000)
    whole = contents(path)
    for number in range(3):
        command = [sys.executable, "-c", KILLED, str(path), kind, "10000000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.05 + 0.11 * number)
            child.send_signal(signal.SIGKILL)
        assert contents(path) == whole
        seen |= set(names(tmp_path)) - {"out"}
    assert all(name.startswith(".out.") and name.endswith(".dgno-part") for name in seen)  # no scratch files


def test_memory_is_named(tmp_path, kind):
    from dgno.errors import OutOfMemory

    def source(rows, columns, plane):
        raise MemoryError

    with pytest.raises(OutOfMemory, match="out"):
        write_slide(tmp_path / "out", FACTS, source, kind=kind)
    assert names(tmp_path) == []
