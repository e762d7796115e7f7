"""RELIABILITY 3A: files that are broken, cut, foreign, hostile or no files at all. One line of the table, one case.

A case makes a file and names the code that reading it must give ("ok": the pixels), and a part of what the user reads.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from broken_cases import CASES, COLOURS, PIXELS, gray, tiff

from dgno.arrays import Image
from dgno.errors import DgnoError
from dgno.io.image import read_image, read_images, write_image
from dgno.io.limits import DEFAULT_LIMITS
from dgno.io.provenance import read_provenance

# --- good files, from which broken ones are made --------------------------------------------------------------------


def good_files(folder: Path) -> dict[str, bytes]:
    """Small files of all kinds."""
    image, stack = Image(COLOURS, "YXS", (0, 255)), Image(np.stack([PIXELS] * 3).astype(np.uint16), "ZYX")
    for name, one in (("a.png", image), ("a.jpg", image), ("a.bmp", image), ("a.tif", image), ("a.ome.tif", stack)):
        write_image(folder / name, one, overwrite=True)
    write_image(folder / "imagej.tif", stack, overwrite=True)
    tifffile.imwrite(folder / "jpeg.tif", COLOURS, photometric="rgb", compression="jpeg", tile=(16, 16))
    tifffile.imwrite(folder / "lzw.tif", COLOURS, photometric="rgb", compression="lzw", rowsperstrip=5, metadata=None)
    tifffile.imwrite(folder / "big.tif", COLOURS, photometric="rgb", bigtiff=True, metadata=None)
    names = ("a.png", "a.jpg", "a.bmp", "a.tif", "a.ome.tif", "imagej.tif", "jpeg.tif", "lzw.tif", "big.tif")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> dict[str, bytes]:
    return good_files(tmp_path_factory.mktemp("good"))


GOOD = ["a.png", "a.jpg", "a.bmp", "a.tif", "a.ome.tif", "imagej.tif", "jpeg.tif", "lzw.tif", "big.tif"]


def outcome(path: Path) -> str:
    """ "ok" or the code of the error; anything else that is raised fails the test."""
    try:
        read_images(path)
        read_provenance(path)
    except DgnoError as error:
        text = str(error)
        assert error.exit_status in (3, 6) and "\n" not in text and str(path) in text
        return error.code
    return "ok"


# --- A02, A03, A05: loops -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_a02_a03_cut_files_are_refused_at_every_place(tmp_path, good, name):
    data, path = good[name], tmp_path / name
    path.write_bytes(data)
    whole = [image.pixels for image in read_images(path)]
    for end in sorted({int(k) for k in np.linspace(1, len(data) - 1, 50)}):
        path.write_bytes(data[:end])
        try:
            found = [image.pixels for image in read_images(path)]
        except DgnoError as error:
            assert error.code == "E-IN-TRUNC", f"{end} of {len(data)}: {error}"
            if end > 16 and "jpg" not in name:
                assert re.search(r"[\d,]+ bytes wanted, the file has [\d,]+", str(error)), error
        else:  # only padding that nothing refers to was cut off
            assert end >= len(data) - 2 and all(map(np.array_equal, found, whole))


@pytest.mark.parametrize("name", GOOD)
def test_a05_flipped_bytes_give_pixels_or_an_error_of_ours(tmp_path, good, name, capfd):
    data, path, rng = good[name], tmp_path / name, np.random.default_rng(5)
    start = time.monotonic()
    for number in range(120):  # 9 kinds of files make 1,080
        flipped = bytearray(data)
        place = int(rng.integers(len(data))) if number % 2 else int(rng.integers(min(len(data), 400)))
        flipped[place] ^= int(rng.integers(1, 256))
        path.write_bytes(flipped)
        outcome(path)
    assert time.monotonic() - start < 60
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "magic", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0"]
)
def test_a05_random_bytes(tmp_path, seed, magic):
    path = tmp_path / "x.tif"
    path.write_bytes(magic + np.random.default_rng(seed).bytes(3000))
    assert outcome(path) in {"E-IN-FORMAT"} if not magic else outcome(path).startswith("E-IN-")


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.id} {case.name[:40]!r}")
def test_broken_files_are_refused_for_what_they_are(tmp_path, case, capfd):
    path = tmp_path / case.name
    case.make(path)
    start = time.monotonic()
    with pytest.raises(DgnoError) as caught:
        read_image(path, limits=case.limits)
    assert time.monotonic() - start < 10
    error = caught.value
    assert error.code.startswith(case.code), error
    assert re.search(case.text, str(error)), error
    assert "\n" not in str(error) and error.as_json()["path"] is not None
    assert capfd.readouterr() == ("", "")


def test_memory_stays_small(tmp_path):
    """A06, A07: all hostile files of the table in one process, which must not grow beyond 512 MiB."""
    for number, case in enumerate(
        case for case in CASES if case.id in ("A06", "A07") and case.limits == DEFAULT_LIMITS
    ):
        case.make(tmp_path / f"{number}{Path(case.name).suffix}")
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom dgno.io.image import read_image\n"
        "from dgno.errors import DgnoError\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: read_image(path)\n    except DgnoError: pass\n    else: sys.exit(f'{path} was read')\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and done.stderr == ""
    assert int(done.stdout) < 512 * 1024


def test_a04_contents_count_and_not_the_name(tmp_path, good):
    for name in ("a.png", "a.jpg", "a.bmp", "a.tif"):
        for suffix in (".png", ".jpg", ".bmp", ".tif", ".svs", ".dat", ""):
            path = tmp_path / f"x{suffix}"
            path.write_bytes(good[name])
            found = read_image(path)
            is_own = suffix in (Path(name).suffix, ".dat", "") or (name == "a.tif" and suffix == ".svs")
            assert any("the contents are" in note for note in found.notes) != is_own
            assert found.pixels.shape == COLOURS.shape


def test_a11_a_file_that_grows_while_it_is_read_is_refused(tmp_path, good, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(good["a.png"])

    def growing(opened, limits):
        with path.open("ab") as file:
            file.write(b"more")
        return Image(PIXELS)

    monkeypatch.setattr("dgno.io.image.read_png", growing)
    with pytest.raises(DgnoError) as caught:
        read_image(path)
    assert caught.value.code == "E-IN-CHANGED"


def test_a12_errors_of_the_disk_are_typed(tmp_path, good, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(good["a.jpg"])

    def failing(opened, limits):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("dgno.io.image.read_jpeg", failing)
    with pytest.raises(DgnoError, match=r"the file cannot be read.*Input/output error") as caught:
        read_image(path)
    assert caught.value.code == "E-IN-CORRUPT"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything; see the next test")
def test_a14_no_permission(tmp_path, good):
    path = tmp_path / "a.png"
    path.write_bytes(good["a.png"])
    path.chmod(0)
    assert outcome(path) == "E-IN-PERM"


def test_a14_no_permission_as_another_user(tmp_path, good):
    """Root gives up its rights in a child process."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    path = tmp_path / "a.png"
    path.write_bytes(good["a.png"])
    path.chmod(0)
    code = (
        "import os, sys\nfrom dgno.io.image import read_image\nfrom dgno.errors import DgnoError\nos.setuid(65534)\n"
        "try: read_image(sys.argv[1])\nexcept DgnoError as error: print(error.code)"
    )
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "E-IN-PERM", done.stderr


def test_files_are_closed(tmp_path, good):
    """180 files read and refused leave no descriptor behind."""
    path = tmp_path / "x.tif"
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(180):
        name = GOOD[number % len(GOOD)]
        path.write_bytes(good[name][: len(good[name]) // (1 + number % 2)])
        outcome(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_threads_get_their_own_errors(tmp_path, good):
    """Messages of libraries are collected per thread: a good file is not blamed for a bad one read beside it."""
    from concurrent.futures import ThreadPoolExecutor

    (tmp_path / "good.tif").write_bytes(good["lzw.tif"])
    (tmp_path / "bad.tif").write_bytes(tiff(*gray(9, 9)[:5], body=bytes(81)))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(outcome, [tmp_path / ("bad.tif" if i % 2 else "good.tif") for i in range(100)]))
    assert results == ["ok", "E-IN-CORRUPT"] * 50
