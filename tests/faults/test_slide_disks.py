"""RELIABILITY 3C, C04 and C05, for `dgno restore` on slides: whatever call of the system fails, and wherever a disk is
full, there is no half output, and the run can be gone on with to the same bytes."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from slide_site import Site, limited, refused, remove_all

from dgno.restoration import journal
from slide_files import tissue, write_pyramid


@pytest.fixture
def small(site: Site) -> Site:
    """With a slide of two blocks."""
    write_pyramid(site.slide, tissue(80, 130), tile=64)
    return site


def failing(real: Callable[..., object], number: int, fault: int, counts: Callable[..., bool]) -> Callable[..., object]:
    """Does what it stands for, except for one of the calls that count."""
    calls = iter(range(10**9))

    def call(*arguments: object, **named: object) -> object:
        if counts(*arguments) and next(calls) == number:
            raise OSError(fault, os.strerror(fault))
        return real(*arguments, **named)

    return call


def always(*arguments: object) -> bool:
    return True


def writes(path: object, flags: int = 0, *rest: object) -> bool:
    return flags & os.O_ACCMODE != os.O_RDONLY


def makes(path: object, *rest: object) -> bool:
    return not os.path.lexists(str(path))


CASES = [
    ("fsync", errno.EIO, always, ".ome.tif"),
    ("replace", errno.ENOSPC, always, ".ome.tif"),
    ("rename", errno.EROFS, always, ".ome.zarr"),
    ("open", errno.ENOSPC, writes, ".ome.tif"),
    ("mkdir", errno.ENOSPC, makes, ".ome.zarr"),
    ("pwrite", errno.ENOSPC, always, ".tif"),
]


@pytest.mark.parametrize(("call", "fault", "counts", "ending"), CASES, ids=[f"{c[0]}{c[3]}" for c in CASES])
def test_c04_c05_the_nth_call_fails(
    small: Site, monkeypatch: pytest.MonkeyPatch, call: str, fault: int, counts: Callable[..., bool], ending: str
) -> None:
    out = small.folder / f"out{ending}"
    expected = small.whole(out.name)
    for number in range(1000):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing(getattr(os, call), number, fault, counts))
            result = small.restore(small.slide, out)
        if result.status == 0:
            break
        check_and_go_on(small, result, out, expected)
    least = {"fsync": 15, "replace": 5, "rename": 1, "open": 5, "mkdir": 5, "pwrite": 0}
    assert number >= least[call]


def test_c04_the_nth_write_to_the_journal_is_cut_short(small: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    out = small.folder / "out.ome.tif"
    expected, real = small.whole(out.name), journal._write
    for number in range(1000):
        calls = iter(range(1000))

        def half(file: object, data: bytes, calls=calls, number=number) -> None:
            if next(calls) == number:
                real(file, memoryview(data)[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(file, data)

        with monkeypatch.context() as patched:
            patched.setattr(journal, "_write", half)
            result = small.restore(small.slide, out)
        if result.status == 0:
            break
        check_and_go_on(small, result, out, expected)
    assert number >= 3


def check_and_go_on(site: Site, result, out: Path, expected: bytes) -> None:
    """A typed error, nothing half; then the same run, gone on with, ends well."""
    from slide_site import bytes_of

    assert result.status == 4 and "error[E-OUT" in result.err, result.err
    assert ".dgno-part" not in " ".join(site.names)
    is_there = out.exists()  # complete, but for its report or the sync of its folder
    assert not is_there or bytes_of(out) == expected
    assert {name for name in site.names if not name.startswith(".")} <= {out.name, f"{out.name}.report.json"}
    result = site.restore(site.slide, out, "--resume")
    assert result.status == 0, result.err
    assert bytes_of(out) == expected
    assert site.names == sorted([out.name, f"{out.name}.report.json"])
    remove_all(site.folder)


@pytest.mark.parametrize("size", [0, 3000, 20_000, 40_000, 60_000])
def test_c04_a_limit_on_file_size(site: Site, size: int) -> None:
    out = site.folder / "out.ome.tif"
    expected = site.whole()
    with limited(resource.RLIMIT_FSIZE, size):
        result = site.restore(site.slide, out)
    refused(result, "E-OUT-NOSPACE", 4)
    check_and_go_on(site, result, out, expected)


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_c04_a_disk_that_is_full_and_then_has_room(site: Site, ending: str) -> None:
    disk, out = site.folder / "disk", site.folder / "disk" / f"out{ending}"
    expected = site.whole(out.name)
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        on_disk = Site(site.cli, disk, site.slide, site.weights)
        failures = 0
        for size in range(16, 800, 40):
            subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
            result = on_disk.restore(site.slide, out)
            if result.status == 0:
                break
            failures += 1
            refused(result, "E-OUT-NOSPACE", 4)
            subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
            check_and_go_on(on_disk, result, out, expected)
        assert failures >= 3
    finally:
        subprocess.run(["umount", str(disk)], check=True)
