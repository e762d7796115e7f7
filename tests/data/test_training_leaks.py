"""Training refuses a data set whose splits share a group or a file; nothing is dropped in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave

from dgno.data.recorded import PairSource
from dgno.errors import DataLeak

HEADER = "input,target,split,group\n"


def manifest(folder: Path, *lines: str) -> Path:
    """A manifest over images a to d, blurred and sharp."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        for part in ("blurred", "sharp"):
            pixels = rng.integers(0, 255, (40, 40), dtype=np.uint8)
            imsave(folder / f"{name}_{part}.png", pixels, check_contrast=False)
    path = folder / "manifest.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return path


def test_a_group_in_two_splits_is_refused(tmp_path: Path) -> None:
    lines = ("a_blurred.png,a_sharp.png,train,x", "b_blurred.png,b_sharp.png,val,x", "c_blurred.png,c_sharp.png,test,y")
    with pytest.raises(DataLeak, match="1 leaks between splits") as raised:
        PairSource(layout="manifest").divide(manifest(tmp_path, *lines))
    assert raised.value.code == "E-LEAK"


def test_a_sharp_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    lines = ("a_blurred.png,a_sharp.png,train,x", "b_blurred.png,a_sharp.png,test,y")
    with pytest.raises(DataLeak, match="file"):
        PairSource(layout="manifest").divide(manifest(tmp_path, *lines))


def test_splits_of_groups_of_their_own_are_trained_on(tmp_path: Path) -> None:
    lines = ("a_blurred.png,a_sharp.png,train,x", "b_blurred.png,b_sharp.png,val,y", "c_blurred.png,c_sharp.png,test,z")
    train, validation = PairSource(layout="manifest").divide(manifest(tmp_path, *lines))
    assert ([r.group for r in train], [r.group for r in validation]) == (["x"], ["y"])


def test_sites_of_a_well_may_be_parted_when_that_is_asked_for(tmp_path: Path) -> None:
    """As in published lists of BBBC006, which were drawn by field."""
    for split, site in (("train", 1), ("test", 2)):
        for part, names in (("GT", ("",)), ("blur", ("_z02", "_z06", "_z10"))):
            (tmp_path / split / part).mkdir(parents=True)
            for name in names:
                pixels = np.full((40, 40), site, np.uint8)
                imsave(tmp_path / split / part / f"x_a01_s{site}_w1{name}.tif", pixels, check_contrast=False)
    with pytest.raises(DataLeak):
        PairSource(layout="bbbc006").divide(tmp_path)
    train, validation = PairSource(layout="bbbc006", split_by="field", validation="test").divide(tmp_path)
    assert [len(train), len(validation)] == [3, 3], "no pair is dropped"
