"""`dgno assess` on slides: focus report, heat map, polygons, and which slides should be scanned again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from skimage import data
from skimage.io import imread

from blur_readers import LevelReader, coded, types_in_blocks
from command_line import Cli
from dgno.arrays import Image
from dgno.io.image import read_image
from dgno.io.provenance import read_provenance
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.psf import gaussian
from dgno.restoration.assessment import assess_image

OUTPUTS = ("geojson", "overlay.png", "strength.tif", "types.tif")


def write_slide(path: Path, pixels: np.ndarray, um: float | None = 0.5) -> Path:
    """A pyramid of three levels, as generic tiled TIFF."""
    path.parent.mkdir(exist_ok=True)
    how = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate", "metadata": None}
    if um is not None:
        how |= {"resolution": (1e4 / um, 1e4 / um), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels, subifds=2, **how)
        for step in (2, 4):
            writer.write(pixels[::step, ::step], subfiletype=1, **how)
    return path


def on_glass(types: np.ndarray, shape: tuple[int, int] = (700, 900)) -> np.ndarray:
    """A piece coded for `LevelReader` on bright glass."""
    pixels = 240 + np.random.default_rng(0).integers(0, 5, (*shape, 3), dtype=np.uint8)
    piece = coded(types, samples=3).pixels
    pixels[64 : 64 + len(piece), 96 : 96 + piece.shape[1]] = piece
    return pixels


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The weights of a reader, which stand for `LevelReader`."""
    path = tmp_path / "reader.safetensors"
    path.write_bytes(b"levels")
    monkeypatch.setattr("dgno.evaluation.assessing.files.make_reader", lambda name, device: LevelReader())
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_slide_is_told_drawn_and_mapped(cli: Cli, levels: Path, tmp_path: Path) -> None:
    """The values of the table are those of the squares, those of the files are of squares four times as wide."""
    pixels = on_glass(types_in_blocks(64, 80))
    slide = write_slide(tmp_path / "in" / "a.tif", pixels)
    out = tmp_path / "out"
    arguments = ("assess", slide, "-o", out, "--reader", levels, "--numerical-aperture", 0.5)
    result = cli(*arguments, "--json")
    (found,) = result.json["results"]
    assert result.status == 0
    image = assess_image(Image(pixels, "YXS", (0, 255)), LevelReader())[0]
    assert found["in_focus_share"] == pytest.approx(image.shares["in focus"], abs=1e-3)
    assert found["blurred"] == pytest.approx(image.blurred.sum() / image.tissue.sum(), abs=1e-3)
    assert found["strength_um"] == pytest.approx(0.5 * found["strength"])
    assert found["tissue"] == pytest.approx(70 * 86 / (88 * 113), abs=0.01)  # 3 squares around
    names = {path.name for path in out.iterdir()}
    assert names == {"assessment.csv", "regions.csv", "rescan.csv", "a.defocus.tif", *(f"a.{name}" for name in OUTPUTS)}
    types, strength = (read_image(out / f"a.{name}.tif") for name in ("types", "strength"))
    assert types.pixels.shape == (22, 29)
    assert types.pixel_size == pytest.approx((16.0, 16.0))
    assert (types.pixels[3:9, 4:12] == 0).all()
    assert (types.pixels[11:17, 14:22] == 3).all()
    np.testing.assert_allclose(strength.pixels[3:9, 14:22], 2.0, rtol=0.01)
    depth = tifffile.imread(out / "a.defocus.tif")
    assert found["defocus"] == pytest.approx(np.median(depth[depth > 0]), rel=0.02)
    polygons = json.loads((out / "a.geojson").read_text())["features"]
    corners = np.array([p for one in polygons for p in one["geometry"]["coordinates"][0]])
    assert (corners.min(0) >= (64, 32)).all()
    assert (corners.max(0) <= (96 + 640 + 32, 64 + 512 + 32)).all()
    assert (corners.max(0) > (700, 550)).all()
    assert sum(one["properties"]["measurements"]["Area px^2"] for one in polygons) == pytest.approx(
        0.75 * 512 * 640, rel=0.15
    )
    assert imread(out / "a.overlay.png").shape[1] >= 640
    assert json.loads(read_provenance(out / "a.types.tif")["options"])["numerical_aperture"] == 0.5
    before = (out / "a.types.tif").read_bytes()
    assert cli(*arguments).status == 4  # nothing is overwritten
    assert cli(*arguments, "--overwrite").status == 0
    assert (out / "a.types.tif").read_bytes() == before


def test_the_worst_slides_are_to_be_scanned_again_and_one_bad_never_stops_the_others(
    cli: Cli, levels: Path, tmp_path: Path
) -> None:
    kinds = {share: np.zeros((32, 40), int) for share in (0, 30, 60)}
    for share, types in kinds.items():
        types[:, : 40 * share // 100] = 1
    for share, types in kinds.items():
        write_slide(tmp_path / "in" / f"s{share}.tif", on_glass(types, (400, 500)))
    write_slide(tmp_path / "in" / "empty.tif", on_glass(np.zeros((0, 0), int), (400, 500)))
    (tmp_path / "in" / "broken.svs").write_bytes(b"II*\0broken")
    out = tmp_path / "out"
    result = cli("assess", tmp_path / "in", "-o", out, "--reader", levels, "--rescan-above", 0.2)
    assert result.status == 7
    lines = rows(out / "rescan.csv")
    assert [Path(line["input"]).name for line in lines] == ["s60.tif", "s30.tif", "empty.tif", "broken.svs"]
    assert "most of it defocus" in lines[0]["reason"]
    assert float(lines[0]["blurred"]) == pytest.approx(
        0.6 * 32 * 40 / (38 * 46), abs=0.04
    )  # glass around it, which is in focus
    assert "no tissue" in lines[2]["reason"]
    assert lines[3]["error"].startswith("E-IN")
    assert {Path(line["input"]).name for line in rows(out / "assessment.csv")} >= {"s0.tif", "broken.svs"}
    for strength, wanted in (("2.1px", 0), ("0.9um", 2)):
        options = ("--rescan-strength", strength, "--overwrite")
        assert cli("assess", tmp_path / "in", "-o", out, "--reader", levels, *options).status == 7
        assert len(rows(out / "rescan.csv")) == 2 + wanted, strength


BAD = [
    (("--rescan-above", "1.2"), 2, "rescan_above"),
    (("--rescan-strength", "soft"), 2, "2px or 0.5um"),
    (("--rescan-strength", "1um"), 2, "pixel size"),
    (("--numerical-aperture", "0.5"), 2, "pixel size"),
    (("--tile", "0"), 2, "px on a slide"),
    (("--pages", "3"), 2, "page 3"),
    (("-o", "no/such/place"), 4, "E-OUT-DIR"),
]


@pytest.mark.parametrize(("options", "status", "said"), BAD, ids=str)
def test_wrong_options_are_refused(
    cli: Cli, levels: Path, tmp_path: Path, options: tuple[str, ...], status: int, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    slide = write_slide(tmp_path / "a.tif", on_glass(np.zeros((8, 8), int), (256, 256)), um=None)
    result = cli("assess", slide, "--reader", levels, *options)
    assert (result.status, said in result.err) == (status, True), result.err


def test_half_of_real_tissue_blurred_by_a_known_gaussian_is_found(cli: Cli, tmp_path: Path) -> None:
    """With the reader of the package: the right half of stained tissue is out of focus by a sigma of 3 px."""
    rng = np.random.default_rng(0)
    scene = np.full((640, 1152, 3), 242.0)
    y, x = np.mgrid[:640, :1152]
    piece = ((y - 320) / 250) ** 2 + ((x - 576) / 520) ** 2 + 0.1 * np.sin(x / 23) * np.cos(y / 31) < 1
    scene[piece] = np.tile(data.immunohistochemistry(), (2, 3, 1))[:640, :1152][piece]
    sharp = torch.from_numpy(scene / 255).permute(2, 0, 1)[None].float()
    blurred = SpatiallyVaryingBlur(torch.full((640, 1152), 3.0), gaussian).apply(sharp)
    light = torch.cat([sharp[..., :576], blurred[..., 576:]], -1)[0].permute(1, 2, 0).numpy() * 255
    pixels = np.rint(light + rng.normal(0, 1, light.shape)).clip(0, 255).astype(np.uint8)
    slide = write_slide(tmp_path / "half.tif", pixels)
    (found,) = cli("assess", slide, "-o", tmp_path / "out", "--json").json["results"]
    types = read_image(tmp_path / "out" / "half.types.tif").pixels
    left, right = types[:, :17], types[:, 19:]
    assert (left[left != 255] == 0).mean() > 0.95
    assert (right[right != 255] == 1).mean() > 0.9
    blurred = (right != 255).sum() / (types != 255).sum()
    assert found["defocus_share"] == pytest.approx(blurred, abs=0.06)
    assert found["motion_share"] + found["mixed_share"] < 0.05
    assert found["strength"] == pytest.approx(3.0, rel=0.25)  # the reader says a fifth less
    assert found["strength_um"] == pytest.approx(found["strength"] / 2)


def test_the_folder_of_an_ome_zarr_is_one_slide(cli: Cli, levels: Path, shared_data: Path, tmp_path: Path) -> None:
    slide = shared_data / "slides" / "image-02.ome.zarr"
    (found,) = cli("assess", slide, "-o", tmp_path / "out", "--reader", levels, "--json").json["results"]
    assert found["input"] == str(slide)
    assert (tmp_path / "out" / "image-02.types.tif").exists()
    assert len(read_provenance(tmp_path / "out" / "image-02.types.tif")["input sha256"]) == 64
    assert cli("assess", tmp_path / "gone.zarr", "--reader", levels).status == 3
