"""`dgno info` tells what files say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from command_line import Cli
from dgno.arrays import Image
from dgno.io.image import read_image, write_image

APERIO = "Aperio Image Library v11.2.1\r\n90x70 (32x32) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Two levels, a thumbnail and a label."""
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "x.svs") as writer:
        tiled = {"tile": (32, 32), "photometric": "rgb", "metadata": None, "compression": "jpeg"}
        plain = {"photometric": "rgb", "metadata": None}
        writer.write(pixels, description=APERIO, iccprofile=b"profile of 128 bytes" + bytes(108), **tiled)
        writer.write(pixels[::4, ::4], description="Aperio Image Library\r\nthumbnail", **plain)
        writer.write(pixels[::2, ::2], description="Aperio Image Library\r\n90x70 -> 45x35", **tiled)
        writer.write(pixels[:20, :30], description="Aperio Image Library\r\nlabel 30x20", subfiletype=1, **plain)
    return tmp_path / "x.svs"


def test_a_slide(cli: Cli, slide: Path) -> None:
    result = cli("info", slide)
    assert result.status == 0 and result.err == ""
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == [str(slide)]
    for wanted in (
        "format svs (slide, read by tifffile)",
        "size 90 x 70 px",
        "pixels uint8, 3 colours",
        "range 0 to 255",
        "pixel size 0.499 x 0.499 um",
        "magnification 20x",
        "ICC profile yes, 128 bytes",
        "associated thumbnail 23 x 18, label 30 x 20",
        "level width height downsample tile compression",
        "0 90 70 1 32 x 32 jpeg",
        "1 45 35 2 32 x 32 jpeg",
    ):
        assert wanted.split() in lines, wanted


def test_json_has_all_of_it(cli: Cli, slide: Path) -> None:
    result = cli("info", slide, "--json")
    (one,) = result.json["results"]
    (image,) = one["images"]
    assert one["input"] == str(slide)
    assert image["levels"][1] == {"shape": [35, 45], "downsample": 2.0, "block": [32, 32], "compression": "jpeg"}
    assert image["associated"] == {"thumbnail": [18, 23], "label": [20, 30]}
    assert image["properties"]["aperio.MPP"] == "0.4990" and image["pixel_size"] == [0.499, 0.499]
    assert image["provenance"] is None and image["notes"] == []


def test_small_images_and_what_made_them(cli: Cli, tmp_path: Path) -> None:
    stack = Image(np.arange(60 * 2 * 9, dtype=np.uint16).reshape(2, 60, 9), "CYX", (0, 4095), (0.25, 0.5),
                  channel_names=("DAPI", "GFP"))  # fmt: skip
    write_image(tmp_path / "x.ome.tif", stack, provenance={"method": "wiener", "balance": "0.1"})
    Pillow.new("RGB", (30, 20)).save(tmp_path / "y.png")
    result = cli("info", tmp_path / "x.ome.tif", tmp_path / "y.png")
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert result.status == 0
    for wanted in ("size 9 x 60 px, C 2", "channels DAPI, GFP", "range 0 to 4095", "pixel size 0.5 x 0.25 um",
                   "made by method: wiener", "0 9 60 1 9 x 60 deflate", "size 30 x 20 px", "made by balance: 0.1",
                   "format png (image, read by dgno)"):  # fmt: skip
        assert wanted in lines, wanted


def test_a_picture_beside_the_slide_is_saved(cli: Cli, slide: Path, tmp_path: Path) -> None:
    target = tmp_path / "label.png"
    result = cli("info", slide, "--associated", "label", "-o", target)
    assert result.status == 0 and result.err == f"{target}: saved\n"
    np.testing.assert_array_equal(read_image(target).pixels, tifffile.imread(slide, key=3))
    assert cli("info", slide, "--associated", "label", "-o", target).err.startswith("dgno: error[E-OUT-EXISTS]")
    assert cli("info", slide, "--associated", "label", "-o", target, "--overwrite").status == 0
    wrong = cli("info", slide, "--associated", "macro", "-o", target, "--overwrite")
    assert wrong.status == 2 and "those it has: thumbnail, label" in wrong.err
    assert cli("info", slide, "--associated", "label").status == 2
    assert cli("info", slide, slide, "--associated", "label", "-o", target).status == 2
    assert cli("info", slide, "--associated", "label", "-o", slide, "--overwrite").status == 4


def test_one_that_fails_does_not_stop_the_others(cli: Cli, slide: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.svs").write_bytes(slide.read_bytes()[:-50])
    alone = cli("info", tmp_path / "broken.svs")
    assert (alone.status, alone.out) == (3, "") and alone.err.startswith("dgno: error[E-IN-TRUNC]")
    result = cli("info", tmp_path / "broken.svs", tmp_path / "missing.tif", slide)
    assert result.status == 7 and "magnification" in result.out
    assert "E-IN-TRUNC" in result.err and "E-IN-MISSING" in result.err
    assert result.err.splitlines()[-1].startswith("dgno: error[E-BATCH]: 2 of 3 inputs cannot be read")
    facts = cli("info", tmp_path / "broken.svs", slide, "--json").json
    assert [("error" in one, "images" in one) for one in facts["results"]] == [(True, False), (False, True)]


def test_what_a_file_says_cannot_command_the_terminal(cli: Cli, tmp_path: Path) -> None:
    names = {"axes": "CYX", "Channel": {"Name": ["\u009b31m red", "two"]}}
    tifffile.imwrite(tmp_path / "x.ome.tif", np.zeros((2, 64, 64), np.uint8), tile=(16, 16), metadata=names)
    result = cli("info", tmp_path / "x.ome.tif")
    assert result.status == 0 and "\u009b" not in result.out and "\\x9b31m red" in result.out


def test_folders_of_ome_zarr(cli: Cli, tmp_path: Path, shared_data: Path) -> None:
    result = cli("info", shared_data / "slides" / "image-02.ome.zarr")
    assert result.status == 0 and "ome-zarr (slide, read by zarr)" in result.out and "float64" in result.out
    unnamed = tmp_path / "named otherwise"
    unnamed.symlink_to(shared_data / "slides" / "image-02.ome.zarr")
    assert "ome-zarr (slide, read by zarr)" in cli("info", unnamed).out


def test_folders_are_listed(cli: Cli, slide: Path, tmp_path: Path) -> None:
    """One line an image, results of dgno among them; --json has as much as of files that are named."""
    image = Image(np.zeros((2, 60, 9), np.uint16), "CYX", (0, 4095), (0.25, 0.5))
    (tmp_path / "below").mkdir()
    write_image(tmp_path / "below" / "a.ome.tif", image, provenance={"software": "dgno 0", "operation": "restore"})
    Pillow.new("RGB", (30, 20)).save(tmp_path / "b.png", dpi=(300, 300))
    (tmp_path / "notes.txt").write_text("no image")
    result = cli("info", tmp_path)
    assert (result.status, result.err) == (0, "")
    header, *lines = (" ".join(line.split()) for line in result.out.splitlines())
    assert header.startswith("image format width height planes pixels pixel size notes")
    png, tiff, scanned = lines
    assert png.startswith(f"{tmp_path / 'b.png'} png 30 20 1 uint8, 3 colours 84.667 x 84.667 um pixel size 84.7 um")
    assert tiff.startswith(f"{tmp_path / 'below' / 'a.ome.tif'} ome-tiff 9 60 C 2 uint16, gray 0.5 x 0.25 um")
    assert scanned.startswith(f"{slide} svs 90 70 1 uint8, 3 colours 0.499 x 0.499 um")
    found = cli("info", tmp_path, "--json").json
    named = cli("info", tmp_path / "b.png", tmp_path / "below" / "a.ome.tif", slide, "--json").json
    assert found == named and len(found["results"]) == 3


def test_folders_with_files_that_fail_and_without_any(cli: Cli, slide: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = cli("info", tmp_path / "empty")
    assert result.status == 2 and "no images" in result.err
    result = cli("info", tmp_path / "empty" / "*.png")
    assert result.status == 2 and "nothing matches this pattern" in result.err
    (tmp_path / "empty" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert cli("info", tmp_path / "empty").status == 7
    result = cli("info", tmp_path)
    assert result.status == 7 and "1 of 2 inputs cannot be read" in result.err and str(slide) in result.out


def test_the_shared_slides(cli: Cli, shared_data: Path) -> None:
    files = sorted(file for file in (shared_data / "slides").iterdir() if file.name != "broken.svs")
    assert cli("info", *files).status == 0
