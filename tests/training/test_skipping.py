"""Files that cannot be trained on: all named in one error before the first step, or a few of them left out."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dgno.data.recorded import PairSource
from dgno.data.scenes import Source
from dgno.data.unusable import SHOWN, Unusable
from dgno.errors import ResumeError, TruncatedInput, UnusableInputs
from dgno.training.batches import find_data
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.loop import train
from dgno.training.starting import starting_config, write_starting_config
from dgno.weights.store import read_weights

LARGE = 101  # files, of which one may be left out


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (24, 24), np.uint8)


def spoil(folder: Path, *names: str) -> None:
    """Text, NaN, and a file that ends too early, by the first letter of the name."""
    folder.mkdir(exist_ok=True)
    for name in names:
        path = folder / name
        if name.startswith("t"):
            path.write_text("no image")
        elif name.startswith("n"):
            tifffile.imwrite(path, np.full((24, 24), np.nan, np.float32))
        else:
            tifffile.imwrite(path, picture(9))
            path.write_bytes(path.read_bytes()[:-100])


def good(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        tifffile.imwrite(folder / f"{i:03d}.tif", picture(i))
    return folder


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    """Many files, one of which is cut off."""
    good(run_folder / "many", LARGE - 1)
    spoil(run_folder / "many", "cut.tif")
    config = load_config(run_folder / "config.toml")
    return replace(config, data=run_folder / "many", sources=(Source("*.tif"),), stages=(Stage(9, 32, 1),))


def skipped(config: TrainConfig) -> list[dict[str, str]]:
    with (config.out / "skipped.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_are_named_at_once(tmp_path: Path) -> None:
    """With what is wrong with each, the one that would only validate included; also where the configuration is made."""
    names = ("cut.tif", "nan.tif", "text.tif")
    folder = good(tmp_path / "sharp", 2)
    made = load_config(write_starting_config(folder, tmp_path / "out"))
    spoil(folder, *names)
    with pytest.raises(UnusableInputs, match=r"3 of 5 files cannot be used \(.*sharp\)") as trained:
        train(made)
    with pytest.raises(UnusableInputs, match="3 of 5 files") as begun:
        starting_config(folder, tmp_path / "out", place=tmp_path / "train.toml")
    for raised in (trained.value, begun.value):
        assert all(f"{name}: " in str(raised) for name in names)
        assert {Path(str(error.path)).name for error in raised.errors} == set(names)
        facts = raised.as_json()["results"]
        assert isinstance(facts, list) and {"E-IN-TRUNC", "E-IN-NONFINITE"} < {one["code"] for one in facts}
    assert not (made.out / "checkpoints").exists()


def test_where_no_file_is_good_that_is_what_is_told(config: TrainConfig, tmp_path: Path) -> None:
    spoil(tmp_path / "bad", "cut.tif", "nan.tif", "text.tif")
    with pytest.raises(UnusableInputs, match="3 of 3 files"):
        find_data(replace(config, data=tmp_path / "bad")).open(False)


def test_of_many_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    unusable = Unusable()
    for i in range(SHOWN + 3):
        with unusable.looking_at(tmp_path / f"{i}.tif"):
            raise TruncatedInput("it ends")
    with pytest.raises(UnusableInputs, match=rf"{SHOWN + 3} of 40 files.* and 3 more; correct them") as raised:
        unusable.refuse(tmp_path, 40)
    assert str(raised.value).count("it ends") == SHOWN
    assert len(raised.value.errors) == SHOWN + 3


def test_one_is_left_out_of_a_hundred(config: TrainConfig) -> None:
    """And told: in a remark, a file, the card. Without being asked to, not."""
    with pytest.raises(TruncatedInput, match=r"cut\.tif"):
        train(config)
    remarks: list[str] = []
    weights, _ = train(replace(config, skip_bad=True), max_minutes=0, remark=remarks.append)
    assert any("left out" in remark and "skipped.csv" in remark for remark in remarks)
    assert skipped(config) == [{"file": "cut.tif", "error": "E-IN-TRUNC"}]
    assert read_weights(weights)[0].training["files left out"] == 1


def test_no_more_is_left_out(config: TrainConfig) -> None:
    spoil(config.data, "text.tif")
    with pytest.raises(UnusableInputs, match=r"2 of 102 files.*--skip-bad leaves out up to 1 %"):
        train(replace(config, skip_bad=True))


def test_no_other_takes_its_place(config: TrainConfig) -> None:
    """Nothing else changes: the files that are left, in their order, and those that validate."""
    scenes = [find_data(replace(config, skip_bad=True)).open(validation).scenes for validation in (False, True)]  # type: ignore[union-attr]
    (config.data / "cut.tif").unlink()
    whole = [find_data(config).open(validation).scenes for validation in (False, True)]  # type: ignore[union-attr]
    assert all(len(a[0]) == len(b[0]) for a, b in zip(scenes, whole, strict=True))
    assert all((a == b).all() for x, y in zip(scenes, whole, strict=True) for a, b in zip(x[0], y[0], strict=True))


def test_a_run_goes_on_with_the_same_files(config: TrainConfig) -> None:
    """A file repaired in between, of the same size, would make another run of it."""
    config = replace(config, skip_bad=True, checkpoint_every=1)

    def stop(entry: dict[str, float]) -> None:
        if entry["step"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, report=stop)
    bad = config.data / "cut.tif"
    before = bad.read_bytes()
    tifffile.imwrite(bad, picture(0)[:1, :1], metadata=None)
    bad.write_bytes(bad.read_bytes().ljust(len(before), b"\0"))
    with pytest.raises(ResumeError, match="other files are left out"):
        train(config, resume=True, max_minutes=0)
    bad.write_bytes(before)
    assert train(config, resume=True, max_minutes=0)[1] == 1


def test_pairs_are_left_out_together(config: TrainConfig, tmp_path: Path) -> None:
    """Read before the first step for it; otherwise a bad one is named when its turn comes."""
    for side in ("blurred", "sharp"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        good(tmp_path / "pairs" / side, LARGE)
    spoil(tmp_path / "pairs" / "sharp", "cut.tif")
    (tmp_path / "pairs" / "sharp" / "cut.tif").rename(tmp_path / "pairs" / "sharp" / "050.tif")
    source = PairSource(layout="folder-pair", split="")
    paired = replace(config, data=tmp_path / "pairs", sources=(), pairs=source, skip_bad=True)
    train(paired, max_minutes=0)
    assert skipped(paired) == [{"file": "sharp/050.tif", "error": "E-IN-TRUNC"}]
    assert sum(len(find_data(paired).open(validation).records) for validation in (False, True)) == LARGE - 1  # type: ignore[union-attr]
