"""Labels beside pairs are found, and told from what is none."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pair_maker import MakePairs

from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.layouts.manifest import read_manifest
from dgno.data.records import Record
from dgno.errors import ConfigError, MissingInput
from dgno.evaluation.downstream.labels import read_labels, with_labels

SHAPE = (48, 60)


def write(path: Path, labels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(48 * 60).reshape(SHAPE).astype(np.uint16) if labels is None else labels
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


def test_labels_beside_the_pairs(make_pairs: MakePairs, tmp_path: Path) -> None:
    make_pairs(3)
    files = [write(tmp_path / "labels" / f"{i}.tif") for i in range(3)]
    records = with_labels(read_folder_pair(tmp_path))
    assert [record.labels for record in records] == files
    assert all(record.labels in record.files for record in records)
    np.testing.assert_array_equal(read_labels(records[0]), tifffile.imread(files[0]))


def test_labels_in_the_manifest(make_pairs: MakePairs, tmp_path: Path) -> None:
    (pair,) = make_pairs(1)
    truth = write(tmp_path / "elsewhere" / "truth.tif")
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("input", "target", "labels"), (pair.input, pair.target, truth)])
    (record,) = with_labels(read_manifest(tmp_path / "list.csv"))
    assert record.labels == truth
    truth.unlink()
    with pytest.raises(MissingInput, match=r"truth\.tif"):
        read_manifest(tmp_path / "list.csv")


@pytest.mark.parametrize(("target", "names", "wanted"), [
    ("a01_s1_w1", ["a01_s1.png", "a01_s2.png"], "a01_s1.png"),
    ("a01_s1_w1", ["a01.png", "a01_s1.png"], "a01_s1.png"),
    ("a01_s1_w1", ["a01_s1_w1.tif", "a01_s1.png"], "a01_s1_w1.tif"),
    ("a010_s1", ["a01.png"], None),
    ("a01", ["a01_s1.png"], None),
])  # fmt: skip
def test_a_folder_of_labels(target: str, names: list[str], wanted: str | None, tmp_path: Path) -> None:
    """The longest name that the sharp image's begins with, at an underscore."""
    for name in names:
        write(tmp_path / "truth" / name) if name.endswith("tif") else (
            write(tmp_path / "truth" / "tmp.tif").rename(tmp_path / "truth" / name)
        )
    record = Record("a", None, write(tmp_path / f"{target}.tif"), "a")
    if wanted is None:
        with pytest.raises(ConfigError, match=r"no labels .*1 of 1 pairs"):
            with_labels([record], tmp_path / "truth")
    else:
        (found,) = with_labels([record], tmp_path / "truth")
        assert found.labels == tmp_path / "truth" / wanted


def test_one_error_for_all_that_are_missing(make_pairs: MakePairs, tmp_path: Path) -> None:
    records = make_pairs(3)
    with pytest.raises(ConfigError, match=r"sharp.0\.tif.*3 of 3 pairs.*--labels FOLDER"):
        with_labels(records)
    write(tmp_path / "truth" / "1.tif")
    with pytest.raises(ConfigError, match=r"sharp.0\.tif.*2 of 3 pairs"):
        with_labels(records, tmp_path / "truth")


MASK = np.zeros(SHAPE, np.uint8)
MASK[2:9, 3:9] = MASK[20:30, 30:44] = 255


@pytest.mark.parametrize(("labels", "said"), [
    (np.zeros((48, 61), np.uint8), r"\(48, 61\) against \(48, 60\)"),
    (np.zeros(SHAPE, np.float32), "float32"),
    (np.zeros((3, *SHAPE), np.uint8), "one whole number a pixel"),
    (MASK, "mask: 0 and 255"),
], ids=["another size", "floats", "planes", "mask"])  # fmt: skip
def test_what_are_no_labels(labels: np.ndarray, said: str, make_pairs: MakePairs, tmp_path: Path) -> None:
    """Told before anything is restored, with the file."""
    records = make_pairs(2)
    write(tmp_path / "truth" / "0.tif")
    write(tmp_path / "truth" / "1.tif", labels)
    with pytest.raises(ConfigError, match=said) as caught:
        with_labels(records, tmp_path / "truth")
    assert caught.value.path == tmp_path / "truth" / "1.tif"


@pytest.mark.parametrize("value", [0, 1, 255])
def test_none_and_one_instance_are_labels(value: int, make_pairs: MakePairs, tmp_path: Path) -> None:
    (pair,) = make_pairs(1)
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:9, 5:9] = value
    write(tmp_path / "labels" / "0.tif", labels)
    (record,) = with_labels([pair], tmp_path / "labels")
    np.testing.assert_array_equal(read_labels(record), labels)


def test_labels_are_cut_as_registered_pairs_are(make_pairs: MakePairs, tmp_path: Path) -> None:
    """By the part that both images share."""
    (pair,) = make_pairs(1)
    record = replace(pair, labels=write(tmp_path / "labels" / "0.tif"), shift=(3.0, -2.0))
    whole = read_labels(replace(record, shift=(0.0, 0.0)))
    np.testing.assert_array_equal(read_labels(record), whole[3:, :-2])
