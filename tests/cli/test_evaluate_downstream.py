"""`dgno evaluate --downstream`: what restored images are for, beside PSNR and SSIM."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from skimage.io import imread

from command_line import Cli
from dgno.evaluation.downstream.average_precision import match_instances
from dgno.evaluation.downstream.nuclei import segment_nuclei

COLUMNS = ("ap-0.5", "ap-0.7", "ap-0.9", "mean-ap")


@pytest.fixture
def nuclei(tmp_path: Path) -> Path:
    """Three pairs of bright discs, blurred until neighbours run into each other; and labels beside them."""
    rows, columns = np.indices((80, 96))
    for i in range(3):
        rng = np.random.default_rng(i)
        labels = np.zeros((80, 96), np.uint8)
        for j in range(4 + 2 * i):
            row, column = 12 + 22 * (j // 4) + rng.integers(-1, 2), 12 + 22 * (j % 4) + rng.integers(-1, 2)
            labels[(rows - row) ** 2 + (columns - column) ** 2 <= 81] = j + 1
        sharp = 0.1 + (labels > 0) * (0.3 + 0.1 * (labels % 5))
        for folder, values in (("sharp", sharp), ("blurred", gaussian_filter(sharp, 2 + 2 * i))):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / "set" / folder / f"{i}.tif", values.astype(np.float32))
        (tmp_path / "set" / "labels").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "set" / "labels" / f"{i}.tif", labels)
    return tmp_path / "set"


def expected(folder: Path, side: str, threshold: float) -> list[tuple[float, tuple[int, int, int]]]:
    """Precision and counts of each image, from the files alone."""
    found = []
    for i in range(3):
        image, labels = (tifffile.imread(folder / part / f"{i}.tif") for part in (side, "labels"))
        one = match_instances(segment_nuclei(image.clip(0, 1)), labels.astype(np.int64), threshold)
        counts = (one.true_positives, one.false_positives, one.false_negatives)
        found.append((counts[0] / sum(counts), counts))
    return found


def test_precision_stands_in_table_csv_json_and_picture(cli: Cli, nuclei: Path, tmp_path: Path) -> None:
    """Of blurred and sharp images, per image and pooled."""
    result = cli("evaluate", nuclei, "--downstream", "nuclei", "-o", tmp_path / "report")
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert [name for name in COLUMNS if name in lines[1].split()] == list(COLUMNS)
    assert [line.split()[0] for line in lines[2:4]] == ["blurred", "sharp"]
    assert "of all images together" in result.out
    rows = list(csv.DictReader((tmp_path / "report" / "scores.csv").read_text().splitlines()))
    found = cli("evaluate", nuclei, "--downstream", "nuclei", "--json").json
    summary = {line["method"]: line for line in found["summary"]}
    for side in ("blurred", "sharp"):
        for threshold in (0.5, 0.7, 0.9):
            wanted = expected(nuclei, side, threshold)
            given = [float(row[f"ap-{threshold}"]) for row in rows if row["method"] == side]
            assert given == pytest.approx([value for value, _ in wanted])
            line = summary[side]["measures"][f"ap-{threshold}"]
            assert line["mean"] == pytest.approx(np.mean(given))
            assert line["sd"] == pytest.approx(np.std(given, ddof=1))
            counts = np.sum([counts for _, counts in wanted], axis=0)
            assert line["pooled"] == pytest.approx(counts[0] / counts.sum())
        for kind in ("mean", "pooled"):
            of = {name: summary[side]["measures"][name][kind] for name in COLUMNS}
            assert of["mean-ap"] == pytest.approx(np.mean([of[name] for name in COLUMNS[:3]]))
    assert summary["sharp"]["measures"]["mean-ap"]["mean"] > summary["blurred"]["measures"]["mean-ap"]["mean"]
    assert summary["sharp"]["psnr"] is None, "infinite"
    assert (imread(tmp_path / "report" / "scores.png")[..., :3] < 250).mean() > 0.02


def test_labels_of_another_folder(cli: Cli, nuclei: Path, tmp_path: Path) -> None:
    beside = cli("evaluate", nuclei, "--downstream", "nuclei", "--json").json["summary"]
    (nuclei / "labels").rename(tmp_path / "truth")
    apart = cli("evaluate", nuclei, "--downstream", "nuclei", "--labels", tmp_path / "truth", "--json").json["summary"]
    assert [line["measures"] for line in apart] == [line["measures"] for line in beside]


def stained(folder: Path) -> Path:
    """A pair of RGB images of H-DAB."""
    rows, columns = np.indices((96, 96))
    density = np.zeros((96, 96, 3))
    for i, colour in enumerate(((0.9, 0.9, 0.9), (0.4, 0.5, 0.2), (0.4, 0.5, 0.2), (0.9, 0.9, 0.9))):
        inside = (rows - 24 - 48 * (i // 2)) ** 2 + (columns - 24 - 48 * (i % 2)) ** 2 <= 49
        density += inside[..., None] * np.array(colour)
    for name, blur in (("sharp", 0.0), ("blurred", 2.0)):
        (folder / name).mkdir(parents=True)
        picture = (255 * 10 ** -gaussian_filter(density, (blur, blur, 0))).round().astype(np.uint8)
        tifffile.imwrite(folder / name / "a.tif", picture, photometric="rgb")
    return folder


def test_staining_is_read_without_labels(cli: Cli, tmp_path: Path) -> None:
    pairs = stained(tmp_path / "ihc")
    result = cli("evaluate", pairs, "--downstream", "ihc", "--pixel-size", "0.5", "--json")
    assert result.status == 0, result.err
    blurred, sharp = result.json["summary"]
    assert {name: spread["mean"] for name, spread in sharp["measures"].items()} == {
        "f1": 1, "dice": 1, "positive-rate": 0.5, "rate-error": 0,
    }  # fmt: skip
    assert blurred["measures"]["f1"]["mean"] == 1
    assert blurred["measures"]["dice"]["mean"] < 1
    assert "of all images together" not in cli("evaluate", pairs, "--downstream", "ihc", "--pixel-size", "0.5").out


@pytest.mark.parametrize(("arguments", "said"), [
    (("--downstream", "nucleus"), "did you mean 'nuclei'"),
    (("--labels", "somewhere"), "--downstream nuclei"),
    (("--downstream", "ihc"), "--pixel-size UM"),
    (("--downstream", "ihc", "--pixel-size", "0"), "--pixel-size UM"),
    (("--downstream", "nuclei", "--pixel-size", "1"), "leave --pixel-size out"),
    (("--downstream", "ihc", "--pixel-size", "1", "--labels", "x"), "leave --labels out"),
    (("--downstream", "ihc", "--pixel-size", "1"), "stains are told apart in RGB"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_line(cli: Cli, nuclei: Path, arguments: tuple[str, ...], said: str) -> None:
    result = cli("evaluate", nuclei, *arguments)
    assert result.status == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1


def test_without_labels_nothing_is_restored(cli: Cli, nuclei: Path) -> None:
    (nuclei / "labels" / "1.tif").unlink()
    result = cli("evaluate", nuclei, "--downstream", "nuclei", "--external", "false {in} {out}")
    assert (result.status, result.out) == (2, "")
    assert "1.tif): so it is for 1 of 3 pairs" in result.err


def test_weights_named_as_the_sharp_image_are_refused(
    cli: Cli, nuclei: Path, weights: dict[int, Path], tmp_path: Path
) -> None:
    """With another name they are a row behind it."""
    for name, status in (("sharp", 2), ("mine", 0)):
        given = shutil.copy(weights[1], tmp_path / f"{name}.safetensors")
        result = cli("evaluate", nuclei, "--downstream", "nuclei", "--weights", given)
        assert result.status == status
    assert [line.split()[0] for line in result.out.splitlines()[2:5]] == ["blurred", "sharp", "mine"]


def test_stacks_have_no_detections(cli: Cli, tmp_path: Path) -> None:
    for folder in ("sharp", "blurred", "labels"):
        (tmp_path / folder).mkdir()
        shape = (60, 60) if folder == "labels" else (3, 60, 60)
        pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        tifffile.imwrite(tmp_path / folder / "a.tif", pixels, photometric="minisblack")
    result = cli("evaluate", tmp_path, "--downstream", "nuclei")
    assert result.status == 2
    assert "3 planes" in result.err


def test_masks_have_no_detections(cli: Cli, nuclei: Path) -> None:
    (nuclei / "mask").mkdir()
    mask = np.ones((80, 96), np.uint8)
    mask[:9] = 0
    tifffile.imwrite(nuclei / "mask" / "1.tif", mask)
    result = cli("evaluate", nuclei, "--downstream", "nuclei")
    assert result.status == 2
    assert "it has a mask" in result.err


@pytest.mark.parametrize(
    ("name", "line"), [("stardist", "pip install stardist"), ("cellpose", "pip install 'cellpose")]
)
def test_a_missing_package_is_named_with_what_installs_it(cli: Cli, nuclei: Path, name: str, line: str) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    result = cli("evaluate", nuclei, "--downstream", name)
    assert result.status == 2
    assert line in result.err
