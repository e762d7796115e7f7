"""RELIABILITY 3C and 4.1: outputs appear complete or not at all, and never on top of an input."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from output_cases import GRAY, OTHER, SUFFIXES, names

from dgno.errors import (
    DgnoError,
    OutputExists,
    OutputNotWritable,
    WouldOverwriteInput,
)
from dgno.io.image import check_output, read_image, write_image

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


# --- C14: formats ---------------------------------------------------------------------------------------------------


def test_checking_leaves_no_trace_and_names_the_format(tmp_path):
    assert check_output(tmp_path / "out.png") == "png"
    assert check_output(tmp_path / "out.tif", images=[GRAY]) == "tiff"
    assert names(tmp_path) == []


def test_errors_are_errors_of_ours_with_exit_status_4(tmp_path):
    with pytest.raises(DgnoError) as caught:
        write_image(tmp_path / "a" / "b" / "c.png", GRAY)
    assert caught.value.exit_status == 4 and caught.value.as_json()["code"] == "E-OUT-DIR"


def test_descriptors_are_closed(tmp_path):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(60):
        write_image(tmp_path / f"out{SUFFIXES[number % 5]}", GRAY, overwrite=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before < soft
