"""`dgno restore` on slides, as a user sees it: folders, formats, planes, labels; and images written as slides."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from pictures import photograph
from skimage.io import imsave

from command_line import Cli
from dgno.cli.console import progress_bar
from dgno.io.image import read_image
from dgno.io.image_slide import ImageSlide
from dgno.io.open_slide import open_slide
from slide_files import tissue, write_pyramid, write_svs

OFF = ("--route", "off", "--device", "cpu")


def pixels_of(path: Path, plane: int = 0) -> np.ndarray:
    with open_slide(path) as slide:
        height, width = slide.facts.shape
        return slide.read((0, height), (0, width), plane=plane)


def test_a_folder_of_slides_and_images(cli: Cli, tmp_path: Path) -> None:
    """With weights chosen from each; the broken one stops nobody, and what is complete is skipped. A result of ours is
    an input only by name."""
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    write_svs(inputs / "a.svs", tissue(150, 200), tile=64)
    imsave(inputs / "b.png", photograph(), check_contrast=False)
    (inputs / "c.ndpi").write_text("broken")
    write_pyramid(inputs / "d.tiff", tissue(90, 100), tile=64)
    assert cli("restore", inputs / "d.tiff", "-o", inputs / "e.ome.zarr", *OFF).status == 0
    (inputs / "e.ome.zarr.report.json").unlink()
    for status in ("restored", "complete"):
        more = ["--resume"] if status == "complete" else []
        result = cli("restore", inputs, inputs / "e.ome.zarr", "-o", out, *OFF, "--json", *more)
        assert result.status == 7
        found = {Path(one["output"]).name: one["status"] for one in result.json["results"]}
        names = {"a.ome.tif": status, "b.png": status, "d.tiff": status, "e.ome.zarr": status}
        assert found == names | {"c.ome.tif": "failed"}
        kept = {path.name for path in out.iterdir()}
        assert kept == {*names, "report.json", *(f"{n}.report.json" for n in names if n != "b.png")}
    quiet = cli("restore", inputs, "-o", out, *OFF, "--resume", "--quiet")  # without e: nobody names it
    assert len(quiet.err.splitlines()) == 2 and "E-IN-FORMAT" in quiet.err  # the failed one, and the end


@pytest.mark.parametrize(
    ("more", "name", "kind"),
    [
        ((), "x.ome.zarr", "ome-zarr"),
        (("--format", "tiff-pyramid"), "x.tif", "tiff"),
        (("--format", "ome-zarr"), "", "ome-zarr"),
    ],
)
def test_images_are_written_with_all_levels(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], more: tuple[str, ...], name: str, kind: str
) -> None:
    """All of the image is restored, as it is without levels: the default for slides is not that for images."""
    pixels = np.tile(photograph((70, 90, 3)), (1, 6, 1))
    imsave(tmp_path / "x.png", pixels, check_contrast=False)
    out = tmp_path / "out" / name if name else tmp_path / "out"
    common = ("--weights", weights[3], "--device", "cpu", "--tile", 256)
    result = cli("restore", tmp_path / "x.png", "-o", out, *common, *more)
    assert result.status == 0, result.err
    assert cli("restore", tmp_path / "x.png", "-o", tmp_path / "plain.png", *common).status == 0
    with open_slide(tmp_path / "out" / (name or "x.ome.zarr")) as slide:
        assert len(slide.levels) == 2 and slide.format == kind
    np.testing.assert_array_equal(pixels_of(tmp_path / "out" / (name or "x.ome.zarr")), read_image(
        tmp_path / "plain.png").pixels)  # fmt: skip


def test_images_that_are_no_slides(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    imsave(tmp_path / "alpha.png", photograph((70, 90, 4)), check_contrast=False)
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(photograph(), metadata=None)
        writer.write(photograph((50, 60)), metadata=None)
    for name, text in (("alpha.png", "transparency"), ("two.tif", "2 images in one file")):
        result = cli("restore", tmp_path / name, "-o", tmp_path / "o.zarr", "--weights", weights[1], *OFF)
        assert result.status == 3 and "E-IN-UNSUPPORTED" in result.err and text in result.err
    assert not list(tmp_path.glob("*o.zarr*"))


@pytest.mark.parametrize(("axes", "named"), [("TZC", "TZC"), ("Q", "Z"), ("C", "C")])
def test_planes_of_images_keep_their_order(tmp_path: Path, axes: str, named: str) -> None:
    shape = (2, 3, 4)[: len(axes)]
    pixels = np.random.default_rng(0).integers(0, 999, (*shape, 40, 50)).astype(np.uint16)
    name = "x.ome.tif" if axes != "Q" else "x.tif"
    tifffile.imwrite(tmp_path / name, pixels, photometric="minisblack",
                     metadata={"axes": axes + "YX"} if axes != "Q" else None)  # fmt: skip
    slide = ImageSlide(tmp_path / name)
    assert (slide.facts.axes, slide.facts.sizes) == (named, shape)
    for number, plane in enumerate(pixels.reshape(-1, 40, 50)):
        np.testing.assert_array_equal(slide.read((3, 40), (0, 47), plane=number)[..., 0], plane[3:, :47])


def test_only_some_channels(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (3, 90, 100)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as writer:
        tiles = {"tile": (64, 64), "photometric": "minisblack"}
        writer.write(pixels, subifds=1, metadata={"axes": "CYX", "Channel": {"Name": ["a", "b", "c"]}}, **tiles)
        writer.write(pixels[:, ::2, ::2], subfiletype=1, **tiles)
    out = tmp_path / "o.ome.zarr"
    result = cli("restore", tmp_path / "x.ome.tif", "-o", out, "--weights", weights[1], "--channels", "1", *OFF)
    assert result.status == 0, result.err
    assert [bool((pixels_of(out, i)[..., 0] == pixels[i]).all()) for i in range(3)] == [True, False, True]
    with open_slide(out) as slide:
        assert slide.facts.channel_names == ("a", "b", "c")
    assert json.loads((tmp_path / "o.ome.zarr.report.json").read_text())["facts"]["restored_planes"] == [1]


def test_labels_and_other_channels_are_refused_before_anything_is_kept(
    cli: Cli, tmp_path: Path, weights: dict[int, Path]
) -> None:
    labels = np.kron(np.random.default_rng(0).integers(0, 60, (9, 10)), np.ones((16, 16))).astype(np.uint16)
    write_pyramid(tmp_path / "labels.tif", labels, tile=64)
    common = ("restore", tmp_path / "labels.tif", "-o", tmp_path / "o.tif", *OFF, "--weights")
    for route in ((), ("--route", "auto")):
        result = cli(*common, weights[1], *route)
        assert result.status == 3 and "E-IN-UNSUPPORTED" in result.err and "--allow-labels" in result.err
    result = cli(*common, weights[3], "--allow-labels")
    assert result.status == 5 and "E-CK-CHANNELS" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["labels.tif"]
    assert cli(*common, weights[1], "--allow-labels").status == 0


def test_weights_for_gray_on_colours_are_told(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    write_pyramid(tmp_path / "x.tif", tissue(90, 100), tile=64)
    result = cli("restore", tmp_path / "x.tif", "-o", tmp_path / "o.tif", "--weights", weights[1], *OFF)
    assert result.status == 0 and "each colour was restored on its own" in result.err


@pytest.mark.parametrize("is_blurred", [True, False])
def test_one_type_for_the_whole_slide(cli: Cli, tmp_path: Path, weights: dict[int, Path], is_blurred: bool) -> None:
    """`--route image`: all of a blurred slide is restored, its empty ground too; nothing of one in focus."""
    pixels = tissue(400, 800, blurred=is_blurred)[:, 400:]
    write_pyramid(tmp_path / "x.tif", pixels, tile=64)
    found = {}
    for route in ("image", "off"):
        out = tmp_path / f"{route}.tif"
        result = cli(
            "restore", tmp_path / "x.tif", "-o", out, "--weights", weights[3], "--device", "cpu", "--route", route
        )
        assert result.status == 0, result.err
        found[route] = pixels_of(out)
    assert (found["off"] != pixels).mean() > 0.5
    np.testing.assert_array_equal(found["image"], found["off"] if is_blurred else pixels)


@pytest.mark.parametrize("mode", ["inpaint", "mask"])
@pytest.mark.parametrize("route", ["off", "auto"])
def test_values_that_are_nan_stay_so_or_become_black(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], route: str, mode: str
) -> None:
    """As in images."""
    pixels = tissue(300, 320)[..., 1].astype(np.float32) / 255
    pixels[100:103, 210], pixels[5, 5], pixels[256:, 256:] = np.nan, np.inf, np.nan  # one stored tile is nothing else
    write_pyramid(tmp_path / "x.tif", pixels, tile=64)
    common = ("restore", tmp_path / "x.tif", "-o", tmp_path / "o.ome.tif", "--weights", weights[1], "--device", "cpu")
    common = (*common, "--tile", 128, "--route", route)
    result = cli(*common)
    assert result.status == 3 and "E-IN-NONFINITE" in result.err and "mask" in result.err
    result = cli(*common, "--nonfinite", mode, "--json")
    assert result.status == 0, result.err
    found, bad = pixels_of(tmp_path / "o.ome.tif")[..., 0], ~np.isfinite(pixels)
    np.testing.assert_array_equal(found[bad], pixels[bad] if mode == "inpaint" else 0)
    assert np.isfinite(found[~bad]).all() and (found[~bad] != pixels[~bad]).any()
    report = json.loads((tmp_path / "o.ome.tif.report.json").read_text(), parse_constant=pytest.fail)
    assert report["facts"]["nonfinite"]["count"] == bad.sum() and any("NaN or inf" in note for note in report["notes"])


@pytest.mark.parametrize("name", ["o.tif", "o.ome.tif", "o.ome.zarr"])
@pytest.mark.parametrize("mode", ["inpaint", "mask"])
def test_an_image_with_nan_is_the_same_in_every_format(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], name: str, mode: str
) -> None:
    """The refusal names the modes that there are, and each does what it does for the image as it was."""
    pixels = photograph(dtype=np.float32)
    pixels[10, 20:23] = np.nan
    tifffile.imwrite(tmp_path / "x.tif", pixels)
    more = ("--weights", weights[1], *OFF, *(() if name == "o.ome.zarr" else ("--format", "tiff-pyramid")))
    refused = cli("restore", tmp_path / "x.tif", "-o", tmp_path / name, *more)
    assert refused.status == 3 and "inpaint" in refused.err and "mask" in refused.err
    assert cli("restore", tmp_path / "x.tif", "-o", tmp_path / name, *more, "--nonfinite", mode).status == 0
    plain = ("--weights", weights[1], *OFF, "--nonfinite", mode)
    assert cli("restore", tmp_path / "x.tif", "-o", tmp_path / "plain.tif", *plain).status == 0
    expected = tifffile.imread(tmp_path / "plain.tif")
    np.testing.assert_allclose(pixels_of(tmp_path / name)[..., 0], expected, atol=1e-6)


def test_a_background_of_nan_is_black_if_it_is_masked(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """Chunks that were never stored, of a store whose fill value is NaN."""
    group = zarr.open_group(tmp_path / "x.ome.zarr", mode="w", zarr_format=2)
    array = group.create_array("0", shape=(300, 320), chunks=(64, 64), dtype="float32", fill_value=np.nan)
    array[:150, :200] = tissue(150, 200)[..., 1].astype(np.float32) / 255
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    arguments = ("restore", tmp_path / "x.ome.zarr", "-o", tmp_path / "o.ome.zarr", "--weights", weights[1], *OFF)
    result = cli(*arguments, "--nonfinite", "mask", "--on-bad-tile", "mask", "--tile", 128)
    assert result.status in (0, 7), result.err
    found = zarr.open_array(tmp_path / "o.ome.zarr" / "0", mode="r")[:]
    assert np.isfinite(found).all() and (found[200:, 250:] == 0).all() and (found[:150, :200] != 0).any()


def test_an_output_with_only_its_report_to_come(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """A kill just between the two: the report is found in the folder of the run."""
    write_pyramid(tmp_path / "x.tif", tissue(90, 100), tile=64)
    common = ("restore", tmp_path / "x.tif", "-o", tmp_path / "o.tif", "--weights", weights[3], *OFF)
    assert cli(*common).status == 0
    (tmp_path / ".o.tif.dgno-work").mkdir()
    report = tmp_path / "o.tif.report.json"
    before = report.read_bytes()
    shutil.move(report, tmp_path / ".o.tif.dgno-work" / "report.json")
    result = cli(*common, "--resume")
    assert result.status == 0 and "already complete" in result.err
    assert report.read_bytes() == before and not (tmp_path / ".o.tif.dgno-work").exists()


def test_the_bar_shows_the_time_left_and_the_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("restoring") as bar:
        bar.size(40.0)
        for step in range(1, 6):
            bar(step / 10)
            time.sleep(0.06)
    assert "Mpx/s" in capsys.readouterr().err
    with progress_bar("restoring", quiet=True) as bar:
        bar.size(1.0)
        bar(0.5)
    assert capsys.readouterr().err == ""
