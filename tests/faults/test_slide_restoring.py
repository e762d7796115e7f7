"""RELIABILITY 3A, 3C, 3D, 3F and 4.4 for `dgno restore` on slides: exact codes, and nothing left but what is asked."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from slide_site import Site, block_place, bytes_of, each_block, pixels_of, refused

from dgno.io.lock import sole_writer
from dgno.io.slide import SlideFacts
from dgno.io.slide_write import write_slide
from dgno.restoration.slide_run import work_folder
from slide_files import tissue, write_pyramid, write_svs

FORMATS = [".ome.tif", ".tif", ".ome.zarr"]


# 3A: broken inputs


@pytest.mark.parametrize("name", ["empty.svs", "empty.ome.zarr"])
def test_a01_a04_what_is_no_slide(site: Site, name: str) -> None:
    path = site.folder.parent / name
    path.write_bytes(b"")
    refused(site.restore(path, site.folder / "o.tif"), "E-IN-EMPTY", 3, name)
    path.write_text("a text")
    refused(site.restore(path, site.folder / "o.tif"), "E-IN-FORMAT", 3, name)
    data = site.slide.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(site.restore(path, site.folder / "new" / "o.tif"), "E-IN-TRUNC", 3, name)
    assert site.names == []


def test_a02_a_slide_cut_anywhere(site: Site) -> None:
    """Aperio's layout; the last directories stand at the end, so a cut anywhere is seen at once."""
    path = write_svs(site.folder.parent / "cut.svs", tissue(150, 200), tile=64)
    data = path.read_bytes()
    for size in [1, 3, 7, 8, 9, *np.linspace(40, len(data) - 1, 9).astype(int)]:
        path.write_bytes(data[:size])
        refused(site.restore(path, site.folder / "o.ome.tif"), "E-IN-TRUNC", 3, "cut.svs")
        assert site.names == []


def test_a06_a_loop_of_pages(site: Site) -> None:
    data = bytearray(site.slide.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    after = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    data[after : after + 4] = data[4:8]
    site.slide.write_bytes(data)
    refused(site.restore(site.slide, site.folder / "o.tif"), "E-IN-CORRUPT", 3, "loop")
    assert site.names == []


def test_a07_a_tile_that_would_be_huge(site: Site) -> None:
    """60,000 x 60,000 px in one deflated tile: refused before it is decoded, whatever the slide."""
    path = site.folder.parent / "bomb.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(64, 64), compression="zlib", photometric="minisblack",
                     metadata=None)  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("ImageWidth", "ImageLength", "TileWidth", "TileLength"):
            tiff.pages[0].tags[name].overwrite(60_000)
    result = site.restore(path, site.folder / "o.tif")
    refused(result, "E-IN-TOOLARGE", 3, "1000 times")
    assert site.names == []


@pytest.mark.parametrize("ending", FORMATS)
def test_a08_one_broken_tile(site: Site, ending: str) -> None:
    sound, out = site.folder / f"sound{ending}", site.folder / f"out{ending}"
    assert site.restore(site.slide, sound).status == 0
    place, length = block_place(site.slide, 5)  # rows and columns 64 to 127
    data = bytearray(site.slide.read_bytes())
    data[place : place + length] = bytes(length)
    site.slide.write_bytes(data)
    before = site.names
    result = site.restore(site.slide, out)
    refused(result, "E-IN-TRUNC", 3, "row 1, column 1")
    assert "rows 64 to 127 and columns 64 to 127" in result.err and "--on-bad-tile mask" in result.err
    assert site.names == before
    result = site.restore(site.slide, out, "--on-bad-tile", "mask", "--json")
    refused(result, "E-BATCH", 7)
    report = json.loads((site.folder / f"out{ending}.report.json").read_text())
    for told in (report, result.json["results"][0]):
        assert told["status"] == "incomplete"
        (bad,) = told["facts"]["bad_tiles"]
        assert (bad["level"], bad["plane"], bad["rows"], bad["columns"]) == (0, 0, [64, 128], [64, 128])
    same, found = pixels_of(sound), pixels_of(out)
    assert (found[64:128, 64:128] == 255).all()
    far = np.ones(same.shape[:2], bool)  # where no block saw the broken tile
    far[64 - 96 : 128 + 96, max(64 - 96, 0) : 128 + 96] = False
    far[:, :] &= ~_seen_by_blocks(64, 128, far.shape)
    np.testing.assert_array_equal(found[far], same[far])
    assert far.any() and (found != tissue(150, 200)).any()
    again = site.restore(site.slide, out, "--on-bad-tile", "mask", "--resume")
    refused(again, "E-BATCH", 7)  # nothing is done again, and it is said again


def _seen_by_blocks(start: int, stop: int, shape: tuple[int, int]) -> np.ndarray:
    """Which pixels may depend on these rows and columns: blocks keep up to 80 px, and see 16 px around them."""
    seen = np.zeros(shape, bool)
    seen[max(start - 64 - 32, 0) : stop + 32, max(start - 64 - 32, 0) : stop + 32] = True
    return seen


def test_a09_a_zarr_with_a_chunk_that_is_missing_or_broken(site: Site) -> None:
    path = site.folder.parent / "in.ome.zarr"
    pixels = np.random.default_rng(0).integers(0, 255, (520, 530, 3), np.uint8)
    facts = SlideFacts((520, 530), np.dtype("uint8"), 3)
    write_slide(path, facts, lambda r, c, p: pixels[slice(*r), slice(*c)], kind="ome-zarr")
    chunk = path / "0" / "0" / "0" / "0" / "1" / "1"
    data = chunk.read_bytes()
    flipped = bytes([data[0], data[1], data[2] ^ 4]) + data[3:]
    for change, text in ((None, "is missing"), (flipped, "was written")):
        chunk.unlink() if change is None else chunk.write_bytes(change)
        result = site.restore(path, site.folder / "o.ome.zarr", "--tile", 1024)
        assert result.status == 3 and "E-IN-" in result.err and text in result.err, result.err
        result = site.restore(path, site.folder / "o.ome.zarr", "--on-bad-tile", "mask", "--tile", 1024)
        refused(result, "E-BATCH", 7)
        assert (pixels_of(site.folder / "o.ome.zarr")[512:, 512:] == 0).all()
        for name in site.names:
            shutil.rmtree(site.folder / name) if name.endswith("zarr") else (site.folder / name).unlink()
    chunk.write_bytes(data)
    (path / ".zattrs").unlink()
    refused(site.restore(path, site.folder / "o.ome.zarr"), "E-IN-FORMAT", 3, "metadata")
    assert site.names == []


def test_a10_a_compression_without_decoder(site: Site) -> None:
    with tifffile.TiffFile(site.slide, mode="r+") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(34676)  # SGI LogLuv
    result = site.restore(site.slide, site.folder / "o.tif")
    refused(result, "E-IN-CODEC", 3)
    assert site.names == []


@pytest.mark.parametrize("failures", [1, 10**6])
def test_a12_a_disk_that_fails_while_the_slide_is_read(
    site: Site, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """Once: it is tried again. For good: an error, also where broken tiles may be masked."""
    expected, real, left = site.whole("o.tif", "--on-bad-tile", "mask"), os.pread, [5 + failures]

    def pread(descriptor: int, length: int, place: int) -> bytes:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == site.slide:
            left[0] -= 1
            if 0 <= left[0] < failures:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, length, place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", pread)
        result = site.restore(site.slide, site.folder / "o.tif", "--on-bad-tile", "mask")
    if failures > 1:
        assert result.status == 3 and "Input/output error" in result.err, result.err
        assert not (site.folder / "o.tif").exists()
        result = site.restore(site.slide, site.folder / "o.tif", "--on-bad-tile", "mask", "--resume")
    assert result.status == 0 and (site.folder / "o.tif").read_bytes() == expected


@pytest.mark.parametrize("change", ["replaced", "appended", "removed"])
def test_a11_the_slide_changes_while_it_is_restored(site: Site, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def happens(number: int, x: torch.Tensor) -> None:
        if number == 2 and change == "replaced":
            write_pyramid(site.slide.with_name("new"), tissue(150, 200, seed=4)).replace(site.slide)
        elif number == 2 and change == "appended":
            with site.slide.open("ab") as file:
                file.write(b"more")
        elif number == 2:
            site.slide.unlink()

    with each_block(monkeypatch, happens):
        result = site.restore(site.slide, site.folder / "o.tif")
    refused(result, *(("E-IN-MISSING", 3) if change == "removed" else ("E-IN-CHANGED", 3)))
    assert site.names == [".o.tif.dgno-work"]
    if change != "removed":
        refused(site.restore(site.slide, site.folder / "o.tif", "--resume"), "E-RES-MISMATCH", 5, "input state")
        assert site.restore(site.slide, site.folder / "o.tif", "--overwrite").status == 0
        assert site.names == ["o.tif", "o.tif.report.json"]


def test_a13_what_is_no_file(site: Site) -> None:
    os.mkfifo(site.folder.parent / "pipe.svs")
    for source in (site.folder.parent / "pipe.svs", "/dev/zero"):
        refused(site.restore(source, site.folder / "o.tif"), "E-IN-NOTFILE", 3)
    refused(site.restore(site.folder.parent / "none.svs", site.folder / "o.tif"), "E-IN-MISSING", 3)
    assert site.names == []


# 3C: outputs


@pytest.mark.parametrize("ending", FORMATS)
def test_c01_c02_outputs_that_are_there(site: Site, ending: str) -> None:
    out = site.folder / f"out{ending}"
    assert site.restore(site.slide, out).status == 0
    before, names = bytes_of(out), site.names
    refused(site.restore(site.slide, out), "E-OUT-EXISTS", 4, "--overwrite")
    link = site.folder.parent / f"link{ending}"
    link.symlink_to(out)
    for name in (out, link, site.folder / "." / out.name):
        refused(site.restore(out, name, "--overwrite"), "E-OUT-INPUT", 4)
    assert bytes_of(out) == before and site.names == names
    assert site.restore(site.slide, out, "--overwrite").status == 0
    assert bytes_of(out) == before and site.names == names


def test_c03_folders_that_are_missing_or_none(site: Site) -> None:
    refused(site.restore(site.slide, site.folder / "a" / "b" / "o.tif"), "E-OUT-DIR", 4, "missing")
    (site.folder / "file").write_text("mine")
    refused(site.restore(site.slide, site.folder / "file" / "o.tif"), "E-OUT-DIR", 4)
    disk = site.folder.parent / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(disk)]
    if not subprocess.run(command, capture_output=True, check=False).returncode:  # where there is the right to
        try:
            refused(site.restore(site.slide, disk / "o.tif"), "E-OUT-DIR", 4, "Read-only")
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    assert site.restore(site.slide, site.folder / "new" / "o.tif").status == 0
    assert site.names == ["file", "new"]


def test_c06_c10_equal_stems_and_own_outputs(site: Site) -> None:
    inputs = site.folder.parent / "in"
    inputs.mkdir()
    for name in ("a.svs", "a.ndpi"):
        shutil.copy(site.slide, inputs / name)
    refused(site.restore(inputs, site.folder), "E-OUT-COLLISION", 4, "a.ome.tif")
    assert site.names == []
    (inputs / "a.ndpi").unlink()
    for more in ((), ("--resume",)):  # the outputs lie among the inputs, and are no inputs
        result = site.restore(inputs, inputs / "out", *more)
        assert result.status == 0, result.err
        assert sorted(p.name for p in (inputs / "out").iterdir()) == [
            "a.ome.tif",
            "a.ome.tif.report.json",
            "report.json",
        ]
    assert "already complete" in result.err


ODD = ["a b", "q'\"$x", "new\nline", "-dash", "%d", "\U0001f52c", "\u202ertl", "e\u0301", "x" * 246, "\u00e9" * 122]
ODD.append(os.fsdecode(b"\xff\xfe"))


@pytest.mark.parametrize("stem", ODD, ids=range(len(ODD)))
def test_c07_odd_names(site: Site, stem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of inputs and outputs; those of 255 bytes leave no room for the names of the folder and the report."""
    monkeypatch.chdir(site.folder)
    ending = ".ome.tif" if len(os.fsencode(stem)) < 200 else ".ome.zarr"
    source, out = Path(f"../{stem}.svs"), Path(f"./{stem}{ending}")
    shutil.copy(site.slide, source)
    result = site.restore(source, f"./{out}")
    assert result.status == 0, result.err
    assert len(site.names) == 2 and out.name in site.names
    report = next(name for name in site.names if name.endswith(".report.json"))
    assert json.loads((site.folder / report).read_text())["status"] == "restored"
    assert len([line for line in result.err.splitlines() if "restored" in line]) == 1


def test_c07_names_that_are_too_long(site: Site) -> None:
    refused(site.restore(site.slide, site.folder / ("x" * 248 + ".ome.tif")), "E-OUT-NAME", 4)
    assert site.names == []


def test_c11_two_processes_and_one_output(site: Site) -> None:
    folder = work_folder(site.folder / "o.tif")
    folder.mkdir()
    with sole_writer(folder):
        refused(site.restore(site.slide, site.folder / "o.tif"), "E-OUT-BUSY", 4, str(os.getpid()))
    assert site.restore(site.slide, site.folder / "o.tif").status == 0
    assert site.names == ["o.tif", "o.tif.report.json"]


def test_c14_formats_that_cannot_hold_the_slide(site: Site) -> None:
    for name in ("o.png", "o.jpg", "o.bmp"):
        refused(site.restore(site.slide, site.folder / name), "E-OUT-FORMAT", 4, ".ome.tif")
    refused(site.restore(site.slide, site.folder / "o.ome.zarr", "--compression", "jpeg"), "E-OUT-FORMAT", 4)
    planes = site.folder.parent / "planes.ome.tif"
    write_pyramid(planes, tissue(150, 200))
    facts = SlideFacts((600, 520), np.dtype("uint8"), axes="Z", sizes=(3,))
    write_slide(planes, facts, lambda r, c, p: np.full((r[1] - r[0], c[1] - c[0], 1), 40 * p, np.uint8),
                kind="ome-tiff", overwrite=True)  # fmt: skip
    refused(site.restore(planes, site.folder / "o.tif", "--channels", "replicate"), "E-OUT-FORMAT", 4, ".ome.tif")
    assert site.names == []
