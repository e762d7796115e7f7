"""RELIABILITY 3C and 4.1: outputs appear complete or not at all, and never on top of an input."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dgno.arrays import Image, Stored
from dgno.errors import (
    ConfigError,
    DgnoError,
    NoSpace,
    OutOfMemory,
    OutputError,
    OutputExists,
    OutputFormat,
    OutputName,
    OutputNotWritable,
    WouldOverwriteInput,
)
from dgno.io.atomic import temporary_name, write_atomically
from dgno.io.image import check_output, read_image, write_image, write_images
from dgno.io.output import output_format

GRAY = Image(np.arange(63, dtype=np.uint8).reshape(9, 7), "YX", (0, 255))
OTHER = Image(255 - GRAY.pixels, "YX", (0, 255))
SUFFIXES = [".tif", ".ome.tif", ".png", ".jpg", ".bmp"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- C01, C02: what stands there already ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_c01_an_output_is_replaced_only_when_asked(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_image(path, GRAY)
    before = path.read_bytes()
    with pytest.raises(OutputExists, match="--overwrite"):
        write_image(path, OTHER)
    assert path.read_bytes() == before
    write_image(path, OTHER, overwrite=True)
    assert path.read_bytes() != before and names(tmp_path) == [path.name]


def same_path(path: Path) -> Path:
    return path


def dotted(path: Path) -> Path:
    return path.parent / "." / "below" / ".." / path.name


def symbolic_link(path: Path) -> Path:
    (path.parent / "link.png").symlink_to(path.name)
    return path.parent / "link.png"


def hard_link(path: Path) -> Path:
    (path.parent / "hard.png").hardlink_to(path)
    return path.parent / "hard.png"


def linked_folder(path: Path) -> Path:
    (path.parent / "folder").symlink_to(path.parent)
    return path.parent / "folder" / path.name


@pytest.mark.parametrize("alias", [same_path, dotted, symbolic_link, hard_link, linked_folder])
@pytest.mark.parametrize("overwrite", [False, True])
def test_c02_an_input_is_never_replaced_whatever_its_name(tmp_path, alias, overwrite):
    (tmp_path / "below").mkdir()
    source = tmp_path / "in.png"
    write_image(source, GRAY)
    before, output = source.read_bytes(), alias(source)
    with pytest.raises(WouldOverwriteInput, match="same file as the input"):
        check_output(output, images=[GRAY], inputs=[tmp_path / "missing", source], overwrite=overwrite)
    with pytest.raises(WouldOverwriteInput):
        write_image(output, OTHER, inputs=[source], overwrite=overwrite)
    assert source.read_bytes() == before


def test_a_link_to_an_old_output_stays_a_link(tmp_path):
    write_image(tmp_path / "real.png", GRAY)
    (tmp_path / "link.png").symlink_to("real.png")
    write_image(tmp_path / "link.png", OTHER, overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(read_image(tmp_path / "real.png").pixels, OTHER.pixels)


def test_a_link_to_nowhere_counts_as_something(tmp_path):
    (tmp_path / "link.png").symlink_to("nowhere.png")
    with pytest.raises(OutputExists, match="a link to nowhere"):
        write_image(tmp_path / "link.png", GRAY)


# --- C03: folders ---------------------------------------------------------------------------------------------------


def test_c03_a_missing_last_folder_is_created_when_it_is_needed(tmp_path):
    path = tmp_path / "new" / "out.png"
    check_output(path, images=[GRAY])
    assert names(tmp_path) == []
    write_image(path, GRAY)
    assert names(path.parent) == ["out.png"]


def test_c03_more_missing_folders_are_refused_before_computing(tmp_path):
    with pytest.raises(OutputNotWritable, match="missing as well"):
        check_output(tmp_path / "a" / "b" / "out.png", images=[GRAY])
    assert names(tmp_path) == []


def test_c03_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "file" / "out.png", tmp_path / "file" / "b" / "out.png"):
        with pytest.raises(OutputNotWritable):
            check_output(path, images=[GRAY])


def test_c03_folders_devices_and_pipes_are_no_outputs(tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/full")
    for name, text in (("folder.png", "a folder has this name"), ("pipe.png", "a pipe"), ("device.png", "a device")):
        with pytest.raises(OutputNotWritable, match=text):
            write_image(tmp_path / name, GRAY, overwrite=True)


def as_another_user(code: str, *arguments: object) -> str:
    """What a child prints that has given up the rights of root."""
    head = (
        "import os, sys\nimport numpy as np\nfrom pathlib import Path\nfrom dgno.arrays import Image\n"
        "from dgno.errors import DgnoError\nfrom dgno.io.image import *\n"
        "image = Image(np.zeros((9, 7), np.uint8), 'YX', (0, 255))\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_c03_a_folder_without_permission_is_refused_before_computing(tmp_path):
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    code = "try: check_output(sys.argv[1], images=[image])\nexcept DgnoError as error: print(error.code)"
    assert as_another_user(code, tmp_path / "out.png") == "E-OUT-DIR"
    assert as_another_user(code, tmp_path / "new" / "out.png") == "E-OUT-DIR"
    assert as_another_user(code, "/proc/out.png") == "E-OUT-DIR"


def test_the_umask_is_respected(tmp_path):
    old = os.umask(0o027)
    try:
        write_image(tmp_path / "out.png", GRAY)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out.png").stat().st_mode) == 0o640


# --- C04, C05: the disk ---------------------------------------------------------------------------------------------


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


# --- C07: names -----------------------------------------------------------------------------------------------------

NAMES = [
    "with space.png",
    "quo'te\".png",
    "new\nline.png",
    "-leading.png",
    "100%.png",
    "😀.png",
    "شعاع.png",
    "e\u0301.png",
    "x" * 251 + ".png",
    "é" * 125 + ".png",
    "CON.png",
    os.fsdecode(b"\xff\xfe.png"),
    ".hidden.png",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_c07_names_of_all_kinds(tmp_path, name):
    write_image(tmp_path / name, GRAY)
    np.testing.assert_array_equal(read_image(tmp_path / name).pixels, GRAY.pixels)
    assert names(tmp_path) == [name]
    with pytest.raises(OutputExists) as caught:
        write_image(tmp_path / name, GRAY)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["x" * 252 + ".png", "é" * 126 + ".png", "a\0.png", ".", ".."])
def test_c07_impossible_names(tmp_path, name):
    with pytest.raises((OutputName, OutputFormat)):
        check_output(tmp_path / name, images=[GRAY])
    with pytest.raises(OutputName):
        check_output(Path("/".join(["x" * 250] * 17)) / "a.png", images=[GRAY])


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_c07_temporary_names_fit(name):
    temporary = temporary_name(Path("/folder") / name)
    assert temporary.name.startswith(".") and temporary.name.endswith(".dgno-part")
    assert len(os.fsencode(temporary.name)) <= 255


def test_c12_a_part_left_by_a_crash_does_not_disturb(tmp_path):
    temporary_name(tmp_path / "out.png").write_bytes(b"half a file")
    write_image(tmp_path / "out.png", GRAY)
    assert names(tmp_path) == ["out.png"]


# --- C14: formats ---------------------------------------------------------------------------------------------------


def image(dtype: str, axes: str = "YX", shape: tuple[int, ...] = (9, 7), **facts) -> Image:
    return Image(np.zeros(shape, dtype), axes, **facts)


REFUSED = [
    (".jpg", image("uint16"), "JPEG holds 8 bits, not uint16.*write .png"),
    (".jpg", image("uint8", alpha=np.zeros((9, 7), np.uint8)), "JPEG cannot hold an alpha channel"),
    (".jpg", image("uint8", "ZYX", (2, 9, 7)), "JPEG cannot hold axes ZYX.*write .ome.tif"),
    (".jpg", image("uint8", shape=(1, 65_501)), "JPEG cannot hold sides above 65,500 px"),
    (".png", image("float32"), "PNG cannot hold float32.*write .tif"),
    (".png", image("int16"), "PNG cannot hold int16"),
    (".png", image("uint8", "TYXS", (2, 9, 7, 3)), "PNG cannot hold axes TYXS"),
    (".png", image("uint8", shape=(1, 1_000_001)), "PNG cannot hold sides above 1,000,000"),
    (".bmp", image("uint16"), "BMP holds 8 bits, not uint16"),
    (".bmp", image("uint8", "CYX", (2, 9, 7)), "BMP cannot hold axes CYX"),
    (".bmp", image("uint8", stored=Stored(orientation=6)), "BMP cannot hold the orientation"),
    (".ome.tif", image("float16"), "OME-TIFF cannot hold float16.*write .tif"),
    (".ome.tif", image("uint8", "QRYX", (2, 2, 9, 7)), "OME-TIFF knows the axes T, Z and C.*write .tif"),
    (".gif", image("uint8"), "does not write .gif.*choose one of .png"),
    ("", image("uint8"), "does not write no extension"),
]


@pytest.mark.parametrize("suffix, one, text", REFUSED, ids=[f"{text[:30]!r}" for _, _, text in REFUSED])
def test_c14_what_a_format_cannot_hold_is_refused_before_computing(tmp_path, suffix, one, text):
    with pytest.raises(OutputFormat, match=text) as caught:
        check_output(tmp_path / f"out{suffix}", images=[one])
    assert caught.value.hint and caught.value.path is not None
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_c14_several_images_need_tiff(tmp_path, suffix):
    with pytest.raises(OutputFormat, match="holds one image, not 2"):
        write_images(tmp_path / f"out{suffix}", [GRAY, OTHER])


def test_no_image_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(ConfigError, match="no image"):
        write_images(tmp_path / "out.tif", [])


@pytest.mark.parametrize(
    "name, one, kind",
    [
        ("a.tif", image("uint8"), "tiff"),
        ("a.TIFF", image("uint8"), "tiff"),
        ("a.ome.tif", image("uint8"), "ome-tiff"),
        ("a.OME.TIFF", image("uint8"), "ome-tiff"),
        ("a.tif", image("uint8", stored=Stored("ome-tiff")), "ome-tiff"),
        ("a.tif", image("uint8", stored=Stored("imagej-tiff")), "imagej-tiff"),
        ("a.tif", image("float64", stored=Stored("imagej-tiff")), "ome-tiff"),
        ("a.tif", image("float16", "ZYX", (2, 9, 7), stored=Stored("imagej-tiff")), "tiff"),
        ("a.tif", image("uint16", "ZYX", (2, 9, 7)), "imagej-tiff"),
        ("a.tif", image("int16", "ZYX", (2, 9, 7)), "ome-tiff"),
        ("a.tif", image("uint16", "CZYX", (2, 2, 9, 7)), "ome-tiff"),
        ("a.tif", image("uint16", "ZYX", (2, 9, 7), stored=Stored("tiff")), "tiff"),
        ("a.tif", image("uint16", "IYX", (2, 9, 7)), "tiff"),
        ("a.tif", image("uint8", stored=Stored("png")), "tiff"),
        ("a.JPG", image("uint8"), "jpeg"),
    ],
)
def test_the_kind_of_tiff_follows_name_and_origin(name, one, kind):
    assert output_format(name, [one]) == kind


def test_checking_leaves_no_trace_and_names_the_format(tmp_path):
    assert check_output(tmp_path / "out.png") == "png"
    assert check_output(tmp_path / "out.tif", images=[GRAY]) == "tiff"
    assert names(tmp_path) == []


def test_errors_are_errors_of_ours_with_exit_status_4(tmp_path):
    with pytest.raises(DgnoError) as caught:
        write_image(tmp_path / "a" / "b" / "c.png", GRAY)
    assert caught.value.exit_status == 4 and caught.value.as_json()["code"] == "E-OUT-DIR"


def test_b13_outputs_beyond_4_gib_are_bigtiff_and_it_is_known_before(monkeypatch, tmp_path):
    from dgno.io import tiff_write

    monkeypatch.setattr(tiff_write, "LARGEST_CLASSIC", 1000)
    for size, magic in ((30, b"II*\0"), (40, b"II+\0")):
        one = Image(np.zeros((size, size), np.uint8), "YX", (0, 255))
        write_image(tmp_path / "out.tif", one, overwrite=True)
        assert (tmp_path / "out.tif").read_bytes()[:4] == magic


def test_descriptors_are_closed(tmp_path):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(60):
        write_image(tmp_path / f"out{SUFFIXES[number % 5]}", GRAY, overwrite=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before < soft
