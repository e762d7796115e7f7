"""Which pairs of a data set are read, and how they are divided."""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path

import pytest
from set_maker import bbbc006_planes, touch

from dgno.data.layouts import LAYOUTS
from dgno.data.reading import NOT_GIVEN, SPLIT_BY, Reading
from dgno.data.recorded import PairSource
from dgno.data.splits import write_splits
from dgno.errors import ConfigError

WELLS = [f"{row}{column:02d}" for row in "abcde" for column in range(1, 5)]
PLANES = (1, 2, 5, 6, 10, 13, 16)


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Twenty wells of BBBC006, seven planes each."""
    return bbbc006_planes(tmp_path, PLANES, WELLS)


def test_everything_is_read_by_default(plate: Path) -> None:
    records = Reading().records(plate)
    assert len(records) == 20 * 2 * 2 * 3
    assert {record.split for record in records} == {""}


def test_options_reach_the_reader(plate: Path) -> None:
    records = Reading(layout="bbbc006", channel="w2", planes=(1, 13), sharp_plane=10).records(plate)
    assert {(record.channel, record.z) for record in records} == {("w2", 1), ("w2", 13)}
    assert {record.target.parent.name for record in records} == {"BBBC006_v1_images_z_10"}


def test_the_split_is_one_for_all_channels_and_planes(plate: Path) -> None:
    """So that planes which a network has not seen are tested on wells that it has not seen."""
    whole = {r.group: r.split for r in Reading().divided(plate)}
    assert sorted(whole.values()).count("test") == 4
    for some in (Reading(channel="w1"), Reading(planes=(1,)), Reading(planes=(1, 5, 13), channel="w2")):
        assert {r.group: r.split for r in some.divided(plate)} == whole
    assert {r.group: r.split for r in Reading(seed=1).divided(plate)} != whole


def test_parts_are_the_whole(plate: Path) -> None:
    train, test = (Reading().records(plate, split) for split in ("train", "test"))
    assert not {r.group for r in train} & {r.group for r in test}
    assert sorted(r.key for r in train + test) == sorted(r.key for r in Reading().records(plate))


def test_two_sites_of_a_well_may_be_parted(plate: Path) -> None:
    splits: dict[str, set[str]] = {}
    for record in Reading(split_by="field").divided(plate):
        splits.setdefault(record.group, set()).add(record.split)
    assert {"train", "test"} in splits.values()


@pytest.mark.parametrize("by", ["group", "field"])
def test_a_list_gives_a_split_again(plate: Path, tmp_path: Path, by: str) -> None:
    drawn = Reading(seed=5, split_by=by).divided(plate)
    write_splits(tmp_path / "list.csv", drawn, by=SPLIT_BY[by])
    again = Reading(split_file=tmp_path / "list.csv", split_by=by)
    assert again.divided(plate) == again.records(plate) == drawn


def test_a_split_of_the_data_set_is_kept(tmp_path: Path) -> None:
    """Unless a list says otherwise."""
    touch(
        tmp_path, *(f"{s}/{f}/{s}{i}.png" for s in ("train", "val", "test") for f in ("blur", "sharp") for i in (1, 2))
    )
    reading = Reading(layout="folder-pair")
    assert [r.key for r in reading.records(tmp_path, "val")] == ["val/val1", "val/val2"]
    lines = "\n".join(f"{r.group},test" for r in reading.records(tmp_path))
    (tmp_path / "list.csv").write_text(f"group,split\n{lines}\n")
    assert len(Reading(layout="folder-pair", split_file=tmp_path / "list.csv").records(tmp_path, "test")) == 6


def test_what_is_not_there_is_told(plate: Path) -> None:
    with pytest.raises(ConfigError, match="the data set has no split val"):
        Reading().records(plate, "val")
    with pytest.raises(ConfigError, match="split is 'tset', did you mean 'test'"):
        Reading().records(plate, "tset")
    with pytest.raises(ConfigError, match=r"no channel 'w3'.*it has w1, w2"):
        Reading(channel="w3").records(plate)


@pytest.mark.parametrize(("reading", "message"), [
    (Reading(view="l"), "given view; it takes sharp_plane, planes"),
    (Reading(key="x", step=2.0), "given key, step; it takes sharp_plane, planes"),
])  # fmt: skip
def test_an_option_of_another_layout_is_refused(plate: Path, reading: Reading, message: str) -> None:
    with pytest.raises(ConfigError, match="layout bbbc006 does not know the option") as caught:
        reading.records(plate)
    assert message in str(caught.value)


def test_a_reading_names_all_that_is_wrong_with_it() -> None:
    wrong = {"layout": "bbc006", "view": "x", "measure": "brener", "split_by": "wells", "seed": -1, "step": 0.0}
    with pytest.raises(ConfigError) as caught:
        Reading(**wrong, planes=(2, -1))
    assert all(f"{name} is {value!r}" in str(caught.value) for name, value in (wrong | {"planes[1]": -1}).items())


def test_every_option_of_every_layout_can_be_given() -> None:
    """But the channel, which is the same for all of them."""
    options = {option for layout in LAYOUTS.values() for option in layout.options} - {"channel"}
    assert options == set(NOT_GIVEN)
    for layout in LAYOUTS.values():
        assert list(layout.options) == list(inspect.signature(layout.read).parameters)[1:]


def test_several_blurred_images_of_a_sharp_one(tmp_path: Path) -> None:
    touch(tmp_path, "blur/a_1.png", "blur/a_2.png", "blur/b_1.png", "sharp/a.png", "sharp/b.png")
    records = Reading(key="^[ab]", per_target=0).records(tmp_path)
    assert [r.input.name for r in records if r.input] == ["a_1.png", "a_2.png", "b_1.png"]
    with pytest.raises(ConfigError, match="would be one image"):
        Reading(key="^[ab]").records(tmp_path)


def test_the_true_psf_lies_beside_simulated_pairs(tmp_path: Path) -> None:
    touch(tmp_path, "blurred/a.tif", "sharp/a.tif", "blurred/b.tif", "sharp/b.tif", "psf/b.tif")
    records = Reading().records(tmp_path)
    assert [record.psf for record in records] == [None, tmp_path / "psf" / "b.tif"]


def groups(source: PairSource, folder: Path) -> tuple[set[str], set[str]]:
    train, validation = source.divide(folder)
    return {r.group for r in train}, {r.group for r in validation}


def test_validation_is_held_out_of_training(plate: Path) -> None:
    """Never from the test set, unless asked for."""
    splits = {r.group: r.split for r in Reading().divided(plate)}
    train, validation = groups(PairSource(), plate)
    assert len(validation) == 1 and not train & validation
    assert {splits[group] for group in train | validation} == {"train"}
    train, validation = groups(PairSource(validation="test"), plate)
    assert (len(train), len(validation)) == (16, 4)
    everything, validation = groups(PairSource(split=""), plate)
    assert (len(everything), len(validation)) == (19, 1)


def test_a_validation_set_is_taken_where_there_is_one(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"{s}/{f}/{s}{i}.png" for s in ("train", "val", "test") for f in ("blur", "sharp") for i in (1, 2))
    )
    train, validation = groups(PairSource(), tmp_path)
    assert (train, validation) == ({"train/train1", "train/train2"}, {"val/val1", "val/val2"})
    train, validation = groups(PairSource(split="", validation="val"), tmp_path)
    assert len(train) == 4 and not train & validation


def test_a_fraction_of_the_groups(plate: Path) -> None:
    """A larger fraction has all that a smaller one has; what validates stays."""
    parts = {fraction: groups(PairSource(fraction=fraction), plate) for fraction in (0.01, 0.2, 0.5, 1.0)}
    assert [len(train) for train, _ in parts.values()] == [1, 3, 8, 15]
    trained = [train for train, _ in parts.values()]
    assert all(a < b for a, b in itertools.pairwise(trained))
    assert len({frozenset(validation) for _, validation in parts.values()}) == 1


def test_a_source_names_all_that_is_wrong_with_it() -> None:
    with pytest.raises(ConfigError) as caught:
        PairSource(layout="bbc006", split="tran", validation="tset", fraction=0.0, scale="min-max")
    for part in ("layout is", "split is 'tran'", "validation is 'tset'", "fraction is 0.0", "did you mean 'minmax'"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match="split and validation are both 'test'"):
        PairSource(split="test", validation="test")
