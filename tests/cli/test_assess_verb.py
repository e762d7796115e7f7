"""`dgno assess`, with a reader that needs no training: tables, files, exit statuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from skimage.io import imread, imsave

from blur_readers import LevelReader, coded, types_in_blocks
from command_line import Cli
from dgno.io.image import read_image
from dgno.io.provenance import read_provenance

OUTPUTS = ("geojson", "overlay.png", "strength.tif", "types.tif")


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The weights of a reader, which stand for `LevelReader`."""
    path = tmp_path / "reader.safetensors"
    path.write_bytes(b"levels")
    monkeypatch.setattr("dgno.evaluation.assessing.files.make_reader", lambda name, device: LevelReader())
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A bright colour image: some of it in focus, and each type of blur."""
    path = tmp_path / "in" / "picture.png"
    path.parent.mkdir()
    imsave(path, coded(types_in_blocks(24, 24)[4:, 4:], samples=3).pixels, check_contrast=False)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_and_json(cli: Cli, picture: Path, reader: Path) -> None:
    result = cli("assess", picture, "--reader", reader)
    assert result.status == 0
    assert "mixed" in result.out
    assert "For research use only" in result.err
    (found,) = cli("assess", picture, "--reader", reader, "--json").json["results"]
    assert found["type"] == "mixed"
    assert found["in_focus"] is False
    assert found["tissue"] == 1.0
    assert found["in_focus_share"] == pytest.approx(0.16, abs=0.04)
    assert found["blurred"] == pytest.approx(0.84, abs=0.04)
    assert found["defocus"] is None
    assert list(picture.parent.iterdir()) == [picture]  # nothing beside the input


def test_files(cli: Cli, picture: Path, reader: Path, tmp_path: Path) -> None:
    """Maps with the values of the table, polygons, a picture of the image's size, and how they were made."""
    out = tmp_path / "out"
    arguments = ("assess", picture, "-o", out, "--reader", reader, "--numerical-aperture", 0.5, "--pixel-size", 0.25)
    assert cli(*arguments).status == 0
    names = {path.name for path in out.iterdir()}
    assert names == {"assessment.csv", "regions.csv", "picture.defocus.tif", *(f"picture.{name}" for name in OUTPUTS)}
    types, strength = (read_image(out / f"picture.{name}.tif") for name in ("types", "strength"))
    assert types.pixels.shape == strength.pixels.shape == (20, 20)
    assert types.pixels.dtype == np.uint8
    assert strength.pixels.dtype == np.float32
    assert strength.pixel_size == pytest.approx((2.0, 2.0))
    (line,) = rows(out / "assessment.csv")
    assert float(line["strength"]) == pytest.approx(np.median(strength.pixels[strength.pixels > 0]), rel=1e-4)
    depth = tifffile.imread(out / "picture.defocus.tif")
    assert float(line["defocus"]) == pytest.approx(np.median(depth[depth > 0]), rel=1e-4)
    found = json.loads((out / "picture.geojson").read_text())
    assert len(found["features"]) == len(rows(out / "regions.csv")) == 3
    assert "research use only" in found["dgno"]["use"]
    assert json.loads(read_provenance(out / "picture.types.tif")["options"])["numerical_aperture"] == 0.5
    overlay = imread(out / "picture.overlay.png")
    assert overlay.shape[1] >= 160
    assert cli(*arguments).status == 4  # nothing is overwritten
    before = (out / "picture.types.tif").read_bytes()
    assert cli(*arguments, "--overwrite").status == 0
    assert (out / "picture.types.tif").read_bytes() == before


def test_folders_are_mirrored_and_what_fails_is_told(cli: Cli, picture: Path, reader: Path, tmp_path: Path) -> None:
    (picture.parent / "deep").mkdir()
    (picture.parent / "deep" / "broken.tif").touch()
    imsave(picture.parent / "deep" / "flat.png", np.full((40, 40), 7, np.uint8), check_contrast=False)
    out = tmp_path / "out"
    result = cli("assess", picture.parent, "-o", out, "--reader", reader, "--json")
    assert result.status == 7
    assert result.json["code"] == "E-BATCH"
    lines = {Path(line["input"]).name: line for line in rows(out / "assessment.csv")}
    assert lines["broken.tif"]["error"] == "E-IN-EMPTY"
    assert "0 bytes" in lines["broken.tif"]["message"]
    assert lines["picture.png"]["message"] == ""
    flat = lines["flat.png"]  # a blank image is not counted as sharp
    assert (flat["tissue"], flat["type"], flat["in_focus"]) == ("0", "no tissue", "")
    assert lines["picture.png"]["error"] == ""
    assert (out / "deep" / "flat.overlay.png").exists()
    assert not list(out.rglob("broken*"))
    shown = cli("assess", picture.parent, "--reader", reader)
    assert shown.status == 7
    assert "no tissue" in shown.out
    assert "E-IN-EMPTY" in shown.err


def test_stacks_have_a_line_for_every_place_and_one_for_all_channels(cli: Cli, reader: Path, tmp_path: Path) -> None:
    """z 1 has one blurred channel, and counts as blurred."""
    planes = {kind: np.tile(coded(np.full((8, 8), kind), samples=1).pixels, (1, 1)) for kind in (0, 1)}
    ramp = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    stack = np.stack([[planes[0], planes[0]], [planes[0], planes[1]], [ramp, planes[0]]])
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, metadata={"axes": "ZCYX"})
    out = tmp_path / "out"
    result = cli("assess", tmp_path / "stack.ome.tif", "-o", out, "--reader", reader, "--json")
    assert [found["scene"] for found in result.json["results"]] == ["z 0", "z 1", "z 2"]
    assert sorted(path.name for path in out.glob("stack.*.overlay.png")) == [f"stack.{i}.overlay.png" for i in range(3)]
    assert read_image(out / "stack.types.tif").axes == "ZYX"
    one = cli("assess", tmp_path / "stack.ome.tif", "--reader", reader, "--pages", "2,3", "--json")
    assert [found["scene"] for found in one.json["results"]] == ["z 1"]


def test_what_is_wrong_with_every_image_is_an_error_of_usage(
    cli: Cli, picture: Path, reader: Path, tmp_path: Path
) -> None:
    """With the option that is missing, and without leaving tables that refuse the next attempt."""
    imsave(picture.with_name("other.bmp"), imread(picture), check_contrast=False)
    images, out = (picture, picture.with_name("other.bmp")), tmp_path / "out"
    arguments = ("assess", *images, "-o", out, "--reader", reader, "--numerical-aperture", 0.5)
    refused = cli(*arguments)
    assert refused.status == 2
    assert all("pixel size" in line and "say --pixel-size UM" in line for line in refused.err.splitlines())
    assert "others" not in refused.err
    assert not list(out.glob("*"))
    assert cli(*arguments, "--pixel-size", 0.25).status == 0


def test_nothing_is_written_where_every_image_failed(cli: Cli, picture: Path, reader: Path, tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).touch()
    out = tmp_path / "out"
    failed = cli("assess", tmp_path / "a.tif", tmp_path / "b.tif", "-o", out, "--reader", reader)
    assert (failed.status, "2 of 2 images failed; none was assessed" in failed.err) == (7, True)
    assert not list(out.glob("*"))
    described = cli("info", tmp_path / "a.tif", tmp_path / "b.tif")
    assert (described.status, "none is described" in described.err) == (7, True)


BAD = [
    ({"--min-confidence": "2"}, 2, "E-CONFIG"),
    ({"--numerical-aperture": "1.2", "--pixel-size": "0.25"}, 2, "E-CONFIG"),
    ({"--numerical-aperture": "0.5"}, 2, "pixel size"),
    ({"--pixel-size": "0"}, 2, "E-CONFIG"),
    ({"--pages": "x"}, 2, "E-CONFIG"),
    ({"--device": "abacus"}, 2, "E-CONFIG"),
    ({"-o": "report.csv"}, 2, "folder"),
    ({"-o": "no/such/place"}, 4, "E-OUT-DIR"),
    ({"--tile": "7"}, 2, "E-CONFIG"),
]


@pytest.mark.parametrize(("options", "status", "said"), BAD, ids=lambda value: str(value))
def test_wrong_options_are_refused(
    cli: Cli, picture: Path, reader: Path, options: dict[str, str], status: int, said: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    if "--device" in options:
        monkeypatch.undo()  # the true place, which knows devices
    monkeypatch.chdir(tmp_path)
    result = cli("assess", picture, "--reader", reader, *(part for pair in options.items() for part in pair))
    assert (result.status, said in result.err) == (status, True)


def test_what_reading_notes_is_told(cli: Cli, picture: Path, reader: Path) -> None:
    """As by `dgno restore` and `dgno info`: 300 dots an inch are no pixel size of a microscope."""
    Pillow.fromarray(imread(picture)).save(picture, dpi=(300, 300))
    note = "pixel size 84.7 um (PNG pHYs) is unlikely in microscopy; --pixel-size overrules it"
    result = cli("assess", picture, "--reader", reader)
    assert result.status == 0 and f"{picture}: {note}\n" in result.err
    assert note not in cli("assess", picture, "--reader", reader, "--quiet").err
    (found,) = cli("assess", picture, "--reader", reader, "--json").json["results"]
    assert found["notes"] == [note]
    assert "unlikely" not in cli("assess", picture, "--reader", reader, "--pixel-size", "0.5").err


def test_wrong_inputs_are_refused(cli: Cli, reader: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((30, 30)).astype(np.float32)
    pixels[3, 3] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", pixels)
    labels = np.kron(np.arange(16).reshape(4, 4), np.ones((8, 8), int)).astype(np.uint16) * np.uint16(1)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    cases = (("nan.tif", 3, "E-IN-NONFINITE"), ("labels.tif", 3, "E-IN-UNSUPPORTED"), ("gone.tif", 3, "E-IN-MISSING"))
    for name, status, code in cases:
        result = cli("assess", tmp_path / name, "--reader", reader)
        assert (result.status, code in result.err) == (status, True), name
    assert cli("assess", tmp_path / "nan.tif", "--reader", reader, "--nonfinite", "inpaint").status == 0
    assert cli("assess", tmp_path / "labels.tif", "--reader", reader, "--allow-labels").status == 0


def test_two_inputs_of_one_stem_get_outputs_of_their_whole_names(
    cli: Cli, picture: Path, reader: Path, tmp_path: Path
) -> None:
    imsave(picture.with_suffix(".tif"), imread(picture), check_contrast=False)
    assert cli("assess", picture.parent, "-o", tmp_path / "out", "--reader", reader).status == 0
    found = sorted(path.name for path in (tmp_path / "out").glob("*.geojson"))
    assert found == [f"{picture.name}.geojson", f"{picture.stem}.tif.geojson"]


def test_two_inputs_that_would_share_outputs_are_refused(cli: Cli, picture: Path, reader: Path, tmp_path: Path) -> None:
    """Upper and lower case are one name to some file systems."""
    imsave(picture.with_name(picture.name.swapcase()), imread(picture), check_contrast=False)
    result = cli("assess", picture.parent, "-o", tmp_path / "out", "--reader", reader)
    assert (result.status, "E-OUT-COLLISION" in result.err) == (4, True)
    assert cli("assess", picture.parent, "--reader", reader).status == 0
