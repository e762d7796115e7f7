"""RELIABILITY 3C, C04 and C05: what a disk that is full or fails leaves behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from output_cases import GRAY, OTHER, SUFFIXES, names

from dgno.errors import (
    NoSpace,
    OutOfMemory,
    OutputError,
)
from dgno.io.atomic import write_atomically
from dgno.io.image import check_output, read_image, write_image


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_c04_a_limit_on_file_size_leaves_nothing_behind(tmp_path, suffix):
    """In a child, as the limit holds for the whole process; the kernel answers EFBIG."""
    code = (
        "import resource\nrng = np.random.default_rng(0)\n"
        "image = Image(rng.integers(0, 256, (200, 200), dtype=np.uint8), 'YX', (0, 255))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "try: write_image(sys.argv[1], image, overwrite=True)\n"
        "except DgnoError as error: print(error.code, sorted(os.listdir(Path(sys.argv[1]).parent)))\n"
    )
    head = "import os, sys\nimport numpy as np\nfrom pathlib import Path\nfrom dgno.arrays import Image\n"
    head += "from dgno.errors import DgnoError\nfrom dgno.io.image import *\n"
    for limit in (0, 5000):
        arguments = [sys.executable, "-c", head + code, str(tmp_path / f"out{suffix}"), str(limit)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "E-OUT-NOSPACE []", done.stdout + done.stderr


FAULTS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("fault", FAULTS, ids=errno.errorcode.get)
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_c04_c05_the_nth_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, fault, suffix):
    path, real, number = tmp_path / f"out{suffix}", getattr(os, call), 0
    write_image(path, GRAY)
    before = path.read_bytes()
    while True:
        calls = 0

        def failing(*arguments, number=number, **keywords):
            nonlocal calls
            is_counted = call != "open" or arguments[1] & os.O_ACCMODE != os.O_RDONLY
            calls += is_counted
            if is_counted and calls == number + 1:
                raise OSError(fault, os.strerror(fault))
            return real(*arguments, **keywords)

        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            try:
                write_image(path, OTHER, overwrite=True)
                break
            except OutputError as error:
                assert error.exit_status == 4 and str(path) in str(error) and ".dgno-part" not in str(error)
                assert isinstance(error, NoSpace) == (fault in (errno.ENOSPC, errno.EDQUOT))
        assert names(tmp_path) == [path.name]
        if call == "fsync" and number == 1:  # that of the folder comes after the rename: the new file is complete
            np.testing.assert_array_equal(read_image(path).pixels, OTHER.pixels)
        else:
            assert path.read_bytes() == before
        number += 1
    assert number == {"fsync": 2, "replace": 1, "open": 2}[call]
    np.testing.assert_array_equal(read_image(path).pixels, OTHER.pixels)


class FailingFile:
    """A file whose n-th write fails."""

    def __init__(self, file, allowed: int, fault: int) -> None:
        self.file, self.allowed, self.fault = file, allowed, fault

    def write(self, content) -> int:
        if self.allowed == 0:
            raise OSError(self.fault, os.strerror(self.fault))
        self.allowed -= 1
        return self.file.write(content)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_c04_the_nth_write_that_fails(tmp_path, monkeypatch, suffix):
    path, real, allowed = tmp_path / f"out{suffix}", os.fdopen, 0
    while True:

        def opening(descriptor, mode, allowed=allowed):
            file = real(descriptor, mode)
            return _Both(file, FailingFile(file, allowed, errno.ENOSPC)) if "w" in mode else file

        with monkeypatch.context() as patched:
            patched.setattr("dgno.io.atomic.os.fdopen", opening)
            try:
                write_image(path, GRAY)
                break
            except NoSpace:
                assert names(tmp_path) == []
        allowed += 1
    assert allowed >= 1


class _Both:
    """Gives the failing file to those who write, and closes the real one."""

    def __init__(self, file, failing) -> None:
        self.file, self.failing = file, failing

    def __enter__(self):
        return self.failing

    def __exit__(self, *error) -> None:
        self.file.close()


def test_a_full_disk_is_seen_before_computing(tmp_path, monkeypatch):
    full = os.statvfs(tmp_path)
    sizes = [*full[:4], 0, *full[5:]]
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(sizes))
    with pytest.raises(NoSpace, match=r"0\.0 MB are free"):
        check_output(tmp_path / "out.bmp", images=[GRAY])


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "out.png", interrupted, lambda path: None)
    assert names(tmp_path) == []


def test_too_little_memory_is_named(tmp_path):
    def hungry(file):
        raise MemoryError

    with pytest.raises(OutOfMemory, match=r"out\.png"):
        write_atomically(tmp_path / "out.png", hungry, lambda path: None)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-40], lambda data: data[:60] + b"\0" + data[61:], lambda data: b""]
)
def test_what_does_not_read_back_is_not_kept(tmp_path, monkeypatch, damage):
    from dgno.io import image as module

    real = module._encoded
    monkeypatch.setattr(module, "_encoded", lambda *arguments: damage(real(*arguments)))
    with pytest.raises(OutputError, match=r"read back.*out\.png.*please report"):
        write_image(tmp_path / "out.png", GRAY)
    assert names(tmp_path) == []


def test_other_pixels_than_the_image_s_are_noticed(tmp_path, monkeypatch):
    from dgno.io import image as module

    real = module._encoded
    monkeypatch.setattr(module, "_encoded", lambda image, *rest: real(OTHER, *rest))
    with pytest.raises(OutputError, match="does not read back the same"):
        write_image(tmp_path / "out.png", GRAY)
