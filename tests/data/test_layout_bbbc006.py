"""BBBC006, in each of the ways it lies on disk."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from set_maker import bbbc006_planes, touch

from dgno.data.layouts import read_layout
from dgno.data.layouts.bbbc006 import NAME, read_bbbc006
from dgno.errors import ConfigError, MissingInput

WELLS = [f"{row}{column:02d}" for row in "abcdefghijklmnop" for column in range(1, 25)]


def test_the_whole_plate_has_the_pairs_that_arithmetic_gives(tmp_path: Path) -> None:
    """768 fields x 2 channels x 3 planes = 4,608 pairs of 6,144 images."""
    bbbc006_planes(tmp_path, [2, 6, 10, 16], WELLS)
    records = read_bbbc006(tmp_path)
    assert len(records) == len({record.key for record in records}) == 4608
    assert len({file for record in records for file in record.files}) == 6144
    assert len({record.group for record in records}) == 384
    assert len({(record.group, record.meta["site"]) for record in records}) == 768
    assert {(record.z, record.defocus) for record in records} == {(2, -28.0), (6, -20.0), (10, -12.0)}


def test_planes_of_a_field_are_joined_whatever_their_guids_are(tmp_path: Path) -> None:
    records = read_bbbc006(bbbc006_planes(tmp_path, [2, 6, 10, 16, 20]))
    for record in records:
        assert record.input is not None
        assert record.input.parent.name == f"BBBC006_v1_images_z_{record.z:02d}"
        assert record.target.parent.name == "BBBC006_v1_images_z_16"
        names = [NAME.search(path.name) for path in record.files]
        assert all(m and (m["well"], m["site"], m["channel"]) == tuple(record.key.split("_")[:3]) for m in names)


def test_unseen_planes_and_one_channel(tmp_path: Path) -> None:
    bbbc006_planes(tmp_path, [1, 5, 13, 16])
    records = read_bbbc006(tmp_path, planes=(1, 5, 13), channel="w2")
    assert {record.defocus for record in records} == {-30.0, -22.0, -6.0}
    assert {(record.channel, record.meta["stain"]) for record in records} == {("w2", "phalloidin")}
    assert len(records) == 2 * 2 * 3


def test_planes_in_one_folder_with_z_last(tmp_path: Path) -> None:
    touch(tmp_path, *(f"BBBC006_z_aligned__a01__s1__w1_{z}.png" for z in (2, 6, 10, 16)))
    name, records = read_layout(tmp_path)
    assert name == "bbbc006"
    assert [record.key for record in records] == ["a01_1_w1_z02", "a01_1_w1_z06", "a01_1_w1_z10"]
    assert {record.target.name for record in records} == {"BBBC006_z_aligned__a01__s1__w1_16.png"}


@pytest.mark.parametrize("style", ["mcf-z-stacks-03212011_{}_s{}_w{}{}.tif", "x_{}_s{}_w{}_{}.tif"])
def test_prepared_pairs_of_both_ways_of_naming(tmp_path: Path, style: str) -> None:
    """The channel stands in the last part of a name, or in the one before; both channels are mixed."""
    for split, well in (("train", "b02"), ("test", "b03")):
        for w in (1, 2):
            guids = ["4be1-77", "a0c3-12", "ff00-9c"]
            touch(tmp_path / split, *("blur/" + style.format(well, 1, w, guid) for guid in guids))
            touch(tmp_path / split, "GT/" + style.format(well, 1, w, "0000-aa"))
    name, records = read_layout(tmp_path)
    assert name == "bbbc006"
    assert len(records) == len({record.key for record in records}) == 12
    assert {(record.split, record.group) for record in records} == {("train", "b02"), ("test", "b03")}
    for record in records:
        assert record.input and f"_w{record.channel[1]}" in record.input.name
        assert f"_w{record.channel[1]}" in record.target.name


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_a_missing_plane_of_a_field_is_told(tmp_path: Path, lost: int) -> None:
    """Pairs by sorted order would join all fields behind it wrongly."""
    bbbc006_planes(tmp_path, [2, 6, 10, 16])
    victim = sorted((tmp_path / f"BBBC006_v1_images_z_{[2, 6, 10, 16][lost]:02d}").iterdir())[3]
    victim.unlink()
    with pytest.raises(ConfigError, match="a01_s2_w2"):
        read_bbbc006(tmp_path)


def test_a_plane_that_is_there_twice_is_told(tmp_path: Path) -> None:
    bbbc006_planes(tmp_path, [2, 6, 10, 16])
    touch(tmp_path, "BBBC006_v1_images_z_06/mcf-z-stacks-03212011_a01_s1_w1ffffffff.tif")
    with pytest.raises(ConfigError, match="a01_s1_w1 has planes 2:1 6:2 10:1"):
        read_bbbc006(tmp_path)


def test_two_sharp_images_of_a_field_are_told(tmp_path: Path) -> None:
    bbbc006_planes(tmp_path, [2, 6, 10, 16])
    touch(tmp_path, "BBBC006_v1_images_z_16/mcf-z-stacks-03212011_a01_s1_w1ffffffff.tif")
    with pytest.raises(ConfigError, match=r"several sharp images .*a01_s1_w1 has 2"):
        read_bbbc006(tmp_path)


@pytest.mark.parametrize("name", ["q01_s1_w1.tif", "a25_s1_w1.tif", "a00_s1_w1.tif", "a01_s3_w1.tif", "a01_s1_w3.tif"])
def test_a_name_beyond_the_plate_is_told(tmp_path: Path, name: str) -> None:
    bbbc006_planes(tmp_path, [2, 6, 10, 16])
    touch(tmp_path, f"BBBC006_v1_images_z_02/{name}")
    with pytest.raises(ConfigError, match="the name is none of BBBC006") as caught:
        read_bbbc006(tmp_path)
    assert str(caught.value.path).endswith(name)


def test_planes_that_are_not_there(tmp_path: Path) -> None:
    bbbc006_planes(tmp_path, [2, 6, 10])
    with pytest.raises(ConfigError, match="it has planes 2, 6, 10, wanted 16"):
        read_bbbc006(tmp_path)
    with pytest.raises(ConfigError, match="channel is 'w3'"):
        read_bbbc006(tmp_path, channel="w3")
    with pytest.raises(MissingInput):
        read_bbbc006(tmp_path / "nowhere")


@pytest.mark.parametrize("with_folder", [True, False], ids=["with a folder", "without"])
def test_archives_are_named_and_the_command_unpacks_them(tmp_path: Path, with_folder: bool) -> None:
    """As downloaded; whether or not an archive holds a folder of its own."""
    place = tmp_path / "BBBC006"
    place.mkdir()
    loose = bbbc006_planes(tmp_path / "loose", [2, 6, 10, 16])
    for folder in sorted(loose.iterdir()):
        with zipfile.ZipFile(place / f"{folder.name}.zip", "w") as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, file.relative_to(loose if with_folder else folder))
    with pytest.raises(ConfigError, match="planes of BBBC006 are still in their archives") as caught:
        read_layout(place)
    assert all(f"BBBC006_v1_images_z_{z}.zip" in caught.value.why for z in ("02", "06", "10", "16"))
    command = caught.value.hint.removeprefix("unpack them there: ").replace("python", sys.executable)
    subprocess.run(["sh", "-c", command], cwd=place, check=True)
    records = read_layout(place)[1]
    assert [record.key for record in records] == [record.key for record in read_bbbc006(loose)]
    assert all(file.is_file() for record in records for file in record.files)


def test_only_archives_that_are_wanted_are_named(tmp_path: Path) -> None:
    bbbc006_planes(tmp_path, [2, 6, 10])
    touch(tmp_path, *(f"BBBC006_v1_images_z_{z:02d}.zip" for z in (2, 16, 20)), "BBBC006_v1_labels.zip")
    with pytest.raises(ConfigError) as caught:
        read_bbbc006(tmp_path)
    assert caught.value.why == "BBBC006_v1_images_z_16.zip"
    bbbc006_planes(tmp_path, [16])
    assert len(read_bbbc006(tmp_path)) == 24


def test_real_names_parse(shared_data: Path) -> None:
    for folder, count in (("sharp", 8), ("z00", 6)):
        files = sorted((shared_data / "test/bbbc006" / folder).iterdir())
        assert len(files) == count
        assert all(NAME.search(file.name) for file in files)
