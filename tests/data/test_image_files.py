"""Which files count: among pairs, in a source of sharp images, and in a folder that is written to a second time."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.scenes import HELD_OUT, Augmentation, SimulatedPairs, Source, data_files
from dgno.data.simulated import write_pairs
from dgno.errors import ConfigError, OutputExists
from dgno.optics.simulate import BlurRange


def touch(root: Path, *names: str) -> Path:
    """Empty files: pairs are found by their names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize("folder", ["blurred", "sharp", "psf"])
def test_two_images_of_one_name_are_no_pair(tmp_path: Path, folder: str) -> None:
    """Which of them would be taken is nobody's guess."""
    touch(tmp_path, "blurred/x.png", "sharp/x.png", f"{folder}/x.png", f"{folder}/x.tif")
    with pytest.raises(ConfigError, match=f"x.png and x.tif in {folder}/ would be one image"):
        read_folder_pair(tmp_path)


@pytest.mark.parametrize("other", ["notes.txt", "x.json", "Thumbs.db", "LICENSE", "x.csv"])
def test_files_that_are_no_images_are_passed_over(tmp_path: Path, other: str) -> None:
    """Also one that is called like an image."""
    touch(tmp_path, "blurred/x.png", "sharp/x.TIFF", f"blurred/{other}")
    assert [(pair.input.name, pair.target.name) for pair in read_folder_pair(tmp_path)] == [("x.png", "x.TIFF")]


def pairs_of(root: Path, *sources: Source, validation: bool) -> SimulatedPairs:
    return SimulatedPairs(
        root, sources, channels=1, blur=BlurRange(), augmentation=Augmentation(), validation=validation
    )


def numbered_files(root: Path, count: int) -> None:
    """File i is all i."""
    for i in range(count):
        tifffile.imwrite(root / f"{i:03d}.tif", np.full((8, 8), i, np.uint8))


@pytest.mark.parametrize(("count", "held_out"), [
    (1, []), (2, [1]), (3, [2]), (HELD_OUT - 1, [18]), (HELD_OUT, [19]), (HELD_OUT + 1, [19]), (45, [19, 39]),
])  # fmt: skip
def test_every_twentieth_file_is_held_out_or_the_last(tmp_path: Path, count: int, held_out: list[int]) -> None:
    """A single file serves training; every file serves one of the two."""
    numbered_files(tmp_path, count)
    found = {}
    for validation in (False, True):
        (scenes,) = pairs_of(tmp_path, Source("*.tif"), validation=validation).scenes
        found[validation] = [round(float(scene[0, 0, 0]) * 255) for scene in scenes]
    assert found[True] == held_out
    assert sorted(found[False] + found[True]) == list(range(count))


def test_where_nothing_can_be_held_out_the_set_is_empty(tmp_path: Path) -> None:
    numbered_files(tmp_path, 2)
    sources = (Source("000.tif"), Source("001.tif"))
    assert pairs_of(tmp_path, *sources, validation=True).is_empty
    assert not pairs_of(tmp_path, *sources, validation=False).is_empty


def test_without_any_share_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    numbered_files(tmp_path, 3)
    with pytest.raises(ConfigError, match="no source has a share of the samples"):
        pairs_of(tmp_path, Source("*.tif", weight=0.0), validation=False)


def test_folders_are_no_data_files(tmp_path: Path) -> None:
    """A pattern that matches folders alone matches no images."""
    numbered_files(tmp_path, 2)
    (tmp_path / "x.tif").mkdir()
    assert [[file.name for file in files] for files in data_files(tmp_path, [Source("*")])] == [["000.tif", "001.tif"]]
    with pytest.raises(ConfigError, match=r"no images match 'x\*'"):
        data_files(tmp_path, [Source("x*")])


def test_a_source_may_lie_beside_the_data_folder(tmp_path: Path) -> None:
    """Its files have names that begin at the data folder."""
    (tmp_path / "data").mkdir()
    numbered_files(tmp_path, 1)
    ((file,),) = data_files(tmp_path / "data", [Source("../*.tif")])
    assert file.relative_to(tmp_path / "data").as_posix() == "../000.tif"


def test_a_second_run_does_not_replace_the_manifest(tmp_path: Path) -> None:
    """Refused before anything is written, also where its pairs would be others; told to, it replaces it as a whole."""
    numbered_files(tmp_path, 3)
    out, first, others = tmp_path / "out", [tmp_path / "000.tif"], [tmp_path / "001.tif", tmp_path / "002.tif"]
    write_pairs(first, out, BlurRange())
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    with pytest.raises(OutputExists, match="holds pairs already"):
        write_pairs(others, out, BlurRange())
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    write_pairs(others, out, BlurRange(), overwrite=True)
    with (out / "manifest.csv").open(newline="") as file:
        assert [line["name"] for line in csv.DictReader(file)] == ["001", "002"]
    assert not list(out.glob(".*"))


def test_the_manifest_tells_the_kind_of_the_field(tmp_path: Path) -> None:
    numbered_files(tmp_path, 1)
    (line,) = write_pairs([tmp_path / "000.tif"], tmp_path / "out", BlurRange(fields=("voronoi",)))
    assert (line.facts["field"], line.facts["boundary"]) == ("voronoi", "reflect")
    with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
        (written,) = csv.DictReader(file)
    assert (written["field"], written["boundary"]) == ("voronoi", "reflect")


def test_an_unknown_scale_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    numbered_files(tmp_path, 1)
    with pytest.raises(ConfigError, match="scale is 'percentiles', did you mean 'percentile'"):
        write_pairs([tmp_path / "000.tif"], tmp_path / "out", BlurRange(), scale="percentiles")
    assert not (tmp_path / "out").exists()
