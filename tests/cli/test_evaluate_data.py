"""`dgno evaluate` on data sets as they lie on the disk, and with more measures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from skimage.io import imread

from command_line import Cli
from dgno.evaluation.compare import Score
from dgno.evaluation.measures import MEASURES
from dgno.evaluation.plots import box_plots


def write(path: Path, seed: int, blur: float = 0.0, shape: tuple[int, ...] = (48, 60)) -> None:
    """Blocks of grays; a flat image for seed 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grays = np.random.default_rng(seed).random((shape[0] // 12, shape[1] // 12))
    values = np.kron(grays if seed else np.full_like(grays, 0.5), np.ones((12, 12)))
    values = gaussian_filter(values, blur) if blur else values
    tifffile.imwrite(path, (values * 255).round().astype(np.uint8))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three pairs, one of which is flat."""
    for seed in range(3):
        write(tmp_path / "pairs" / "sharp" / f"{seed}.tif", seed)
        write(tmp_path / "pairs" / "blurred" / f"{seed}.tif", seed, blur=1.5 + seed)
    return tmp_path / "pairs"


def test_measures_stand_in_table_csv_json_and_picture(cli: Cli, pairs: Path, tmp_path: Path) -> None:
    """Behind the two that are always there; how many images one is not defined for is said."""
    arguments = ("evaluate", pairs, "--measure", "edge-psnr", "--measure", "mae")
    result = cli(*arguments, "-o", tmp_path / "report")
    assert result.status == 0, result.err
    title, columns = result.out.splitlines()[:2]
    assert title == f"{pairs}, protocol dgno"
    assert columns.split() == ["method", "n", "PSNR", "dB", "sd", "SSIM", "sd", "edge-psnr", "sd", "mae", "sd", "s/Mpx"]
    assert "edge-psnr: not defined for 1 of 3 images, which are left out of its mean" in result.err
    picture = imread(tmp_path / "report" / "scores.png")
    with (tmp_path / "report" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "method", "psnr", "ssim", "edge-psnr", "mae", "seconds_per_megapixel", "protocol"]
    assert [row["edge-psnr"] == "" for row in rows] == [True, False, False]
    (line,) = cli(*arguments, "--json").json["summary"]
    assert line["measures"]["edge-psnr"]["skipped"] == 1
    values = [float(row["edge-psnr"]) for row in rows[1:]]
    assert line["measures"]["edge-psnr"]["mean"] == pytest.approx(np.mean(values))
    assert min(values) < line["measures"]["edge-psnr"]["pooled"] < max(values)
    assert line["measures"]["mae"]["pooled"] is None
    box_plots(tmp_path / "two.png", [Score(str(i), "blurred", 30.0 + i, 0.9, 1.0) for i in range(3)])
    assert imread(tmp_path / "two.png").shape[0] < picture.shape[0]


def test_a_measure_that_no_image_has_is_null(cli: Cli, pairs: Path) -> None:
    for folder in ("sharp", "blurred"):
        for name in "12":
            (pairs / folder / f"{name}.tif").unlink()
    result = cli("evaluate", pairs, "--measure", "edge-psnr", "--json")
    assert result.json["summary"][0]["measures"]["edge-psnr"] == {
        "mean": None, "sd": None, "n": 0, "skipped": 1, "pooled": None,
    }  # fmt: skip


def test_all_measures_need_images_that_are_large_enough(cli: Cli, tmp_path: Path) -> None:
    for folder, blur in (("sharp", 0.0), ("blurred", 2.0)):
        write(tmp_path / folder / "1.tif", 1, blur, (180, 192))
    result = cli("evaluate", tmp_path, "--measure", "all", "--json")
    assert result.status == 0, result.err
    assert list(result.json["summary"][0]["measures"]) == list(MEASURES)


@pytest.mark.parametrize(("arguments", "said"), [
    (("--measure", "ms-ssim"), "at least 176 x 176 px"),
    (("--measure", "edgepsnr"), "did you mean 'edge-psnr'"),
    (("--measure", "lpips"), "--lpips FILE"),
    (("--planes", "1;2"), "numbers with commas"),
    (("--layout", "bbbc"), "did you mean 'bbbc006'"),
    (("--channel", "w1"), "no channel 'w1'"),
    (("--split", "val"), "val"),
])  # fmt: skip
def test_what_cannot_be_evaluated_is_one_line(cli: Cli, pairs: Path, arguments: tuple[str, ...], said: str) -> None:
    result = cli("evaluate", pairs, *arguments)
    assert result.status == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1


def test_the_published_protocols_print_mae(cli: Cli, pairs: Path) -> None:
    for protocol, there in (("restormer-defocus", True), ("3dhistech", True), ("dgno", False)):
        assert (" mae " in cli("evaluate", pairs, "--protocol", protocol).out) is there


@pytest.fixture
def bbbc006(tmp_path: Path) -> Path:
    """Prepared pairs of two splits, both channels, three planes a sharp image."""
    for split, wells in (("train", ("a01", "a02")), ("test", ("b01",))):
        for seed, well in enumerate(wells, 1):
            for channel in ("w1", "w2"):
                name = f"BBBC006_z_aligned__{well}__s1__{channel}"
                write(tmp_path / "set" / split / "GT" / f"{name}_16.tif", seed)
                for z in (2, 6, 10):
                    write(tmp_path / "set" / split / "blur" / f"{name}_{z}.tif", seed, (16 - z) / 4)
    return tmp_path / "set"


@pytest.mark.parametrize(("arguments", "n", "split"), [
    ((), 6, "test"),
    (("--split", "test", "--channel", "w2"), 3, "test"),
    (("--split", "train", "--channel", "w1", "--layout", "bbbc006"), 6, "train"),
    (("--split", "all"), 18, ""),
])  # fmt: skip
def test_a_published_data_set(cli: Cli, bbbc006: Path, arguments: tuple[str, ...], n: int, split: str) -> None:
    """Its test split unless another one is asked for."""
    result = cli("evaluate", bbbc006, "--protocol", "bbbc-pairminmax", *arguments, "--json")
    assert result.status == 0, result.err
    assert (result.json["summary"][0]["n"], result.json["split"]) == (n, split)
    table = cli("evaluate", bbbc006, "--protocol", "bbbc-pairminmax", *arguments).out
    assert (f", split {split}, protocol" in table) is bool(split)


def test_planes_are_chosen(cli: Cli, tmp_path: Path) -> None:
    """Of planes in one folder, by their numbers; the farther one is worse."""
    for well, seed in (("a01", 1), ("a02", 2)):
        for z in (1, 13, 16):
            write(tmp_path / "set" / f"BBBC006_z_aligned__{well}__s1__w1_{z:02d}.tif", seed, (16 - z) / 5)
    found = {
        z: cli("evaluate", tmp_path / "set", "--planes", z, "--json").json["summary"][0] for z in ("1", "13", "1,13")
    }
    assert [line["n"] for line in found.values()] == [2, 2, 4]
    assert found["1"]["psnr"] < found["1,13"]["psnr"] < found["13"]["psnr"]


def test_a_set_without_splits_is_divided_on_demand(cli: Cli, tmp_path: Path) -> None:
    """By its groups, one in five for testing; by a list, those that it names; else everything is compared."""
    for i in range(10):
        write(tmp_path / "set" / "sharp" / f"{i}.tif", i + 1)
        write(tmp_path / "set" / "blurred" / f"{i}.tif", i + 1, 2.0)
    (tmp_path / "list.csv").write_text(
        "group,split\n" + "".join(f"{i},{'test' if i < 3 else 'train'}\n" for i in range(10))
    )
    for arguments, n, split in (
        ((), 10, ""),
        (("--seed", "3"), 2, "test"),
        (("--split", "train"), 8, "train"),
        (("--split-file", tmp_path / "list.csv"), 3, "test"),
    ):
        result = cli("evaluate", tmp_path / "set", *arguments, "--json")
        assert result.status == 0, result.err
        assert (result.json["summary"][0]["n"], result.json["split"]) == (n, split)
