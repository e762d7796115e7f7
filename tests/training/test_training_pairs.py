"""Training on recorded pairs: read from a configuration, resumed, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.io import imread, imsave

from dgno.data.recorded import PairSource
from dgno.data.scenes import Source
from dgno.errors import ConfigError, ResumeError, UnsupportedInput
from dgno.training.batches import find_data
from dgno.training.config import TrainConfig, load_config
from dgno.training.loop import train
from dgno.weights.store import load_weights

TABLE = '[pairs]\nlayout = "folder-pair"\nscale = "range"\n'


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    """The small run on pairs: the sharp images of it, and the same smoothed."""
    data = run_folder / "pairs"
    for split, files in {"train": range(12), "val": range(12, 14), "test": range(14, 16)}.items():
        for kind in ("blur", "sharp"):
            (data / split / kind).mkdir(parents=True)
        for i in files:
            image = imread(run_folder / "sharp" / f"{i:02d}.png")
            imsave(data / split / "sharp" / f"{i:02d}.png", image, check_contrast=False)
            imsave(data / split / "blur" / f"{i:02d}.png", gaussian_filter(image, 2), check_contrast=False)
    text = (run_folder / "config.toml").read_text().split("[[sources]]")[0].replace('"sharp"', '"pairs"')
    text = text.replace("until = 5", "until = 2").replace("until = 9", "until = 4")
    (run_folder / "pairs.toml").write_text(text + TABLE)
    return load_config(run_folder / "pairs.toml")


def test_a_run_on_pairs(config: TrainConfig) -> None:
    weights, steps = train(replace(config, validate_every=2))
    assert steps == 4
    assert load_weights(weights)[1].normalization == "range"
    log = (config.out / "log.jsonl").read_text()
    assert log.count("psnr_restored") == 2


def test_training_and_validation_have_their_own_files(config: TrainConfig) -> None:
    listed, open_data, _ = find_data(config)
    assert [{name.split("/")[0] for name, _ in part} for part in listed] == [{"train"}, {"val"}]
    assert [len(open_data(validation).records) for validation in (False, True)] == [12, 2]


def test_a_resumed_run_sees_the_same_crops(config: TrainConfig, run_folder: Path) -> None:
    train(config)
    broken = replace(config, out=run_folder / "broken")
    train(broken, max_minutes=1e-9)
    while train(broken, resume=True, max_minutes=0.004)[1] < config.steps:
        pass
    a, b = (load_weights(folder / "weights.safetensors")[0].state_dict() for folder in (config.out, broken.out))
    assert all((a[name] == b[name]).all() for name in a)


@pytest.mark.parametrize("name", ["train/blur/00.png", "val/sharp/12.png"])
def test_a_checkpoint_of_other_pairs_is_refused(config: TrainConfig, name: str) -> None:
    train(config, max_minutes=0)
    path = config.data / name
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ResumeError, match="another list of data files"):
        train(config, resume=True)


def test_a_list_of_splits_is_part_of_the_data_and_may_be_moved(config: TrainConfig, run_folder: Path) -> None:
    def lines(held: str) -> str:
        groups = [f"{s}/{i:02d}" for s, r in (("train", range(12)), ("val", (12, 13)), ("test", (14, 15))) for i in r]
        return "group,split\n" + "".join(f"{g},{'val' if g == held else 'train'}\n" for g in groups)

    (run_folder / "pairs.toml").write_text((run_folder / "pairs.toml").read_text() + 'split_file = "list.csv"\n')
    (run_folder / "list.csv").write_text(lines("train/03"))
    config = load_config(run_folder / "pairs.toml")
    assert config.pairs is not None and config.pairs.split_file == run_folder / "list.csv"
    train(config, max_minutes=0)
    moved = (run_folder / "list.csv").rename(run_folder / "moved.csv")
    config = replace(config, pairs=replace(config.pairs, split_file=moved))
    train(config, resume=True, max_minutes=0)
    moved.write_text(lines("train/04"))
    with pytest.raises(ResumeError, match="another list of data files"):
        train(config, resume=True)


def test_a_constant_image_is_named_where_it_matters(config: TrainConfig) -> None:
    assert config.pairs is not None
    for path in (config.data / "train" / "blur").iterdir():
        imsave(path, np.full((100, 110), 9, np.uint8), check_contrast=False)
    with pytest.raises(UnsupportedInput, match="constant image"):
        train(replace(config, pairs=replace(config.pairs, scale="minmax"), normalization="minmax"))


@pytest.mark.parametrize(("changes", "message"), [
    ({"pairs": None}, "sources has no source with a weight above 0, and there is no table [pairs]"),
    ({"sources": (Source("*.png"),)}, "there are both sources and pairs, wanted one of them"),
    ({"normalization": "minmax"}, "pairs.scale is 'range' and normalization 'minmax', wanted one of both"),
])  # fmt: skip
def test_one_kind_of_data_is_wanted(config: TrainConfig, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(config, **changes, seed=-1)
    assert message in str(caught.value)
    assert "seed is -1" in str(caught.value)


@pytest.mark.parametrize(("line", "message"), [
    ("fracton = 0.5", "unknown key 'pairs.fracton', did you mean 'fraction'"),
    ("fraction = 0", "pairs: the data set cannot be read so: fraction is 0.0"),
    ("planes = [2, 'x']", "pairs.planes[1] is 'x', wanted int"),
    ("split = 'tran'", "split is 'tran', did you mean 'train'"),
])  # fmt: skip
def test_what_is_wrong_with_a_table_is_named(config: TrainConfig, run_folder: Path, line: str, message: str) -> None:
    file = run_folder / "pairs.toml"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert message in str(caught.value)


def test_a_fraction_trains_on_fewer(config: TrainConfig) -> None:
    assert isinstance(config.pairs, PairSource)
    tenth = replace(config, pairs=replace(config.pairs, fraction=0.25))
    assert len(find_data(tenth)[1](False).records) == 3
    assert train(tenth)[1] == 4
