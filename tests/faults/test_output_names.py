"""RELIABILITY 3C, C07 and C12: names of outputs, and of the parts that become them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from output_cases import GRAY, names

from dgno.errors import (
    OutputError,
    OutputExists,
    OutputFormat,
    OutputName,
    OutputNotWritable,
)
from dgno.io.atomic import temporary_name, write_atomically
from dgno.io.image import check_output, read_image, write_image
from dgno.restoration.batch import plan_jobs

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


def test_a_link_laid_under_the_temporary_name_is_not_written_through(tmp_path, monkeypatch):
    """Somebody who may write into the folder lays it just before the file is opened."""
    victim, real = tmp_path / "victim", os.open
    victim.write_bytes(b"precious")

    def racing(path, flags, *rest):
        if flags & os.O_CREAT:
            Path(path).symlink_to(victim)
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", racing)
    with pytest.raises(OutputError):
        write_atomically(tmp_path / "out.bin", lambda file: file.write(b"other"), lambda path: None)
    assert victim.read_bytes() == b"precious"
    assert names(tmp_path) == ["victim"]


@pytest.mark.parametrize("kind", ["device", "pipe", "file"])
def test_an_output_folder_that_is_none_is_refused_as_what_it_is(tmp_path, kind):
    """`-o /dev/stdout`: named like no image, it stands for a folder; nothing is written into it."""
    image, out = tmp_path / "in.png", tmp_path / "out"
    write_image(image, GRAY)
    if kind == "device":
        out = Path(os.devnull)
    elif kind == "pipe":
        os.mkfifo(out)
    else:
        out.touch()
    for inputs in ([image], [image, image], [tmp_path]):
        with pytest.raises(OutputNotWritable, match="a device or a pipe" if kind != "file" else "a file") as caught:
            plan_jobs(inputs, out)
        assert (caught.value.path, "name an image file" in caught.value.hint) == (out, True)
    assert sorted(names(tmp_path)) == sorted({"in.png", *(["out"] if kind != "device" else [])})
