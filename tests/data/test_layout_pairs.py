"""Folders of pairs: generic ones, 3DHistech, RealDOF, DPDD and DBMID."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from set_maker import touch

from dgno.data.layouts import LAYOUTS, guess_layout, pair_folders, read_layout
from dgno.data.layouts.dbmid import PUBLISHED, read_dbmid
from dgno.data.layouts.dpdd import read_dpdd
from dgno.data.layouts.folder_pair import read_folder_pair, read_histech, read_realdof
from dgno.data.records import Record, unused_files
from dgno.errors import ConfigError, DgnoError, MissingInput, NotAFile, UnreadableInput


def told(records: list[Record]) -> list[tuple[str, str, str]]:
    return [(record.split, record.input.name if record.input else "", record.target.name) for record in records]


# --- generic -------------------------------------------------------------------------------------------------------


def test_pairs_by_stem_with_masks(tmp_path: Path) -> None:
    touch(tmp_path, "blur/b.png", "blur/a.tif", "sharp/a.png", "sharp/b.png", "mask/b.png")
    name, records = read_layout(tmp_path)
    assert name == "folder-pair"
    assert told(records) == [("", "a.tif", "a.png"), ("", "b.png", "b.png")]
    assert [record.mask for record in records] == [None, tmp_path / "mask" / "b.png"]
    assert [record.group for record in records] == ["a", "b"]


def test_pairs_by_expression_and_groups(tmp_path: Path) -> None:
    """Several blurred images of one sharp one, and slides that stay together."""
    touch(tmp_path, "blur/s1_f1_z2.png", "blur/s1_f1_z6.png", "blur/s2_f1_z2.png", "sharp/s1_f1.png", "sharp/s2_f1.png")
    records = read_folder_pair(tmp_path, key=r"(?P<key>s\d_f\d)", group=r"s\d", per_target=None)
    assert told(records) == [
        ("", "s1_f1_z2.png", "s1_f1.png"),
        ("", "s1_f1_z6.png", "s1_f1.png"),
        ("", "s2_f1_z2.png", "s2_f1.png"),
    ]
    assert [record.group for record in records] == ["s1", "s1", "s2"]
    assert len({record.key for record in records}) == 3
    with pytest.raises(ConfigError, match=r"2 files have the key 's1_f1', wanted 3"):
        read_folder_pair(tmp_path, key=r"s\d_f\d", per_target=3)


def test_any_two_folders(tmp_path: Path) -> None:
    touch(tmp_path, "one/im_1_out.png", "two/im_1_in.png")
    assert told(pair_folders(tmp_path / "one", tmp_path / "two", key=r"im_\d")) == [("", "im_1_out.png", "im_1_in.png")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["blur/a.png", "sharp/a.png", "blur/b.png"], "b.png"),
        (["blur/a.png", "sharp/a.png", "sharp/b.png"], "b.png"),
        (["blur/a.png", "blur/a.tif", "sharp/a.png"], "a.png and a.tif in blur/ would be one image"),
        (["blur/a.txt", "sharp/a.png"], "it holds no images"),
        (["blur/a.png"], "it has none of the folders sharp"),
        (["blur/a.png", "sharp/a.png", "GT/a.png"], "it has GT/ and sharp/"),
        (["train/blur/a.png", "train/sharp/a.png", "val/x", "validation/x"], "would be one split"),
    ],
)
def test_what_is_no_set_of_pairs_is_told(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_folder_pair(touch(tmp_path, *files))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_expressions_that_do_not_work(tmp_path: Path) -> None:
    touch(tmp_path, "blur/a.png", "sharp/a.png")
    with pytest.raises(ConfigError, match=r"'\(' is no regular expression"):
        read_folder_pair(tmp_path, key="(")
    with pytest.raises(ConfigError, match=r"a\.png\): it does not match '9'"):
        read_folder_pair(tmp_path, key="9")


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_tells_what_is_no_folder_of_its_own(tmp_path: Path, name: str) -> None:
    """Nothing, a file, an empty folder: an error of ours that names it."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for place, kind in (("nowhere", MissingInput), ("file", (NotAFile, ConfigError)), ("empty", ConfigError)):
        with pytest.raises(kind) as caught:
            read_layout(tmp_path / place, name)
        assert isinstance(caught.value, DgnoError)
        assert str(tmp_path / place) in str(caught.value)


def test_a_layout_that_cannot_be_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it holds x\.png; name it: --layout bbbc006"):
        guess_layout(touch(tmp_path, "x.png"))
    with pytest.raises(ConfigError, match="layout is 'dpd', did you mean 'dpdd'"):
        read_layout(tmp_path, "dpd")


def test_files_that_no_pair_uses(tmp_path: Path) -> None:
    touch(tmp_path, "blur/a.png", "sharp/a.png", "blur/notes.txt", "other/x.png", ".hidden")
    found = unused_files(tmp_path, read_folder_pair(tmp_path))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [".hidden", "blur/notes.txt", "other/x.png"]


# --- published -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sharp", ["sharp", "GT", "gt", "target", "clear"])
def test_histech_has_its_own_split(tmp_path: Path, sharp: str) -> None:
    for split in ("train", "val", "test"):
        touch(tmp_path, f"{split}/blur/1.png", f"{split}/{sharp}/1.png")
    records = read_histech(tmp_path)
    assert told(records) == [(split, "1.png", "1.png") for split in ("test", "train", "val")]
    assert len({record.key for record in records}) == len({record.group for record in records}) == 3
    with pytest.raises(ConfigError, match="it has none of the folders train, val, test"):
        read_histech(touch(tmp_path / "flat", "blur/a.png", "sharp/a.png"))


def test_published_counts() -> None:
    """The sums that the papers state."""
    assert sum(LAYOUTS["3dhistech"].published.values()) == 94_973
    assert sum(LAYOUTS["dpdd"].published.values()) == 500
    assert sum(sum(counts) for counts in PUBLISHED.values()) == 20_521
    assert PUBLISHED["train", "TCT"][1:] == (200 * 20, 200 * 16, 200 * 16)
    assert LAYOUTS["dbmid"].published == {"train": 12_000 + 3200 + 3200, "test": 620 + 320 + 320}


def test_realdof_is_for_testing(tmp_path: Path) -> None:
    touch(tmp_path, "source/01.png", "target/01.png")
    assert told(read_realdof(tmp_path)) == [("test", "01.png", "01.png")]


@pytest.mark.parametrize("view", ["c", "l", "r"])
def test_dpdd_as_published(tmp_path: Path, view: str) -> None:
    for split in ("train", "val", "test"):
        for each in "clr":
            touch(tmp_path, f"{split}_{each}/source/1P0A0001.png", f"{split}_{each}/target/1P0A0001.png")
    assert guess_layout(tmp_path) == "dpdd"
    records = read_dpdd(tmp_path, view=view)
    assert [record.split for record in records] == ["train", "val", "test"]
    assert all(record.target.parts[-3].endswith(f"_{view}") for record in records)


def test_dpdd_with_camera_numbers_of_their_own(tmp_path: Path) -> None:
    """The two exposures of a scene follow each other; a lost one is told, and does not shift the others."""
    touch(tmp_path, *(f"test_c/source/1P0A{n:04d}.png" for n in (17, 27, 41)))
    touch(tmp_path, *(f"test_c/target/1P0A{n:04d}.png" for n in (16, 26, 40)))
    pairs = [("test", f"1P0A{n:04d}.png", f"1P0A{n - 1:04d}.png") for n in (17, 27, 41)]
    assert told(read_dpdd(tmp_path)) == pairs
    (tmp_path / "test_c/target/1P0A0026.png").unlink()
    with pytest.raises(ConfigError, match=r"an image has no partner .*1P0A0027\.png"):
        read_dpdd(tmp_path)


def test_dpdd_scenes_taken_one_right_after_the_other(tmp_path: Path) -> None:
    """The target of the next scene may be as near as the own one, or nearer: they were taken in turn."""
    numbers = {17: 16, 19: 18, 22: 20, 24: 23, 99: 97}
    touch(tmp_path, *(f"test_c/source/1P0A{n:04d}.png" for n in numbers))
    touch(tmp_path, *(f"test_c/target/1P0A{n:04d}.png" for n in numbers.values()))
    pairs = [("test", f"1P0A{n:04d}.png", f"1P0A{m:04d}.png") for n, m in numbers.items()]
    assert told(read_dpdd(tmp_path)) == pairs


@pytest.mark.parametrize("root", ["test/DPDD", "DPDD", ""])
def test_dpdd_as_for_restormer(tmp_path: Path, root: str) -> None:
    """Its index files count from 1."""
    place = tmp_path / root
    touch(place, *(f"{folder}/{name}.png" for folder in ("inputC", "inputL", "inputR", "target") for name in "abc"))
    np.save(place / "indoor_labels.npy", np.array([1, 3]))
    np.save(place / "outdoor_labels.npy", np.array([2]))
    assert guess_layout(tmp_path) == "dpdd"
    records = read_dpdd(tmp_path, view="l")
    assert [(r.split, r.target.stem, r.meta["place"]) for r in records] == [
        ("test", "a", "indoor"), ("test", "b", "outdoor"), ("test", "c", "indoor"),
    ]  # fmt: skip
    assert {record.input.parent.name for record in records if record.input} == {"inputL"}


@pytest.mark.parametrize("indices", [[0], [4], [1, 1]])
def test_dpdd_index_files_that_do_not_fit(tmp_path: Path, indices: list[int]) -> None:
    touch(tmp_path, *(f"{folder}/{name}.png" for folder in ("inputC", "target") for name in "abc"))
    np.save(tmp_path / "indoor_labels.npy", np.array(indices))
    with pytest.raises(ConfigError, match="the index file does not fit"):
        read_dpdd(tmp_path)
    (tmp_path / "indoor_labels.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UnreadableInput, match="indoor_labels"):
        read_dpdd(tmp_path)


def test_dpdd_without_its_view(tmp_path: Path) -> None:
    touch(tmp_path, "test_c/source/a.png", "test_c/target/a.png")
    with pytest.raises(ConfigError, match="neither test_l/source nor test/DPDD/inputL"):
        read_dpdd(tmp_path, view="l")
    with pytest.raises(ConfigError, match="view is 'x'"):
        read_dpdd(tmp_path, view="x")


def test_dbmid_groups_by_field(tmp_path: Path) -> None:
    touch(tmp_path, "train/TCT/in-focus/1.png", "train/TCT/in-focus/1_2.png", "test/HE/in-focus/1.png")
    touch(tmp_path, "train/TCT/defocus/1_z-10.png", "train/TCT/defocus/1_2_z5.png", "train/TCT/motion/1_L8_h.png")
    touch(tmp_path, "train/TCT/mixed/1_2.png", "test/HE/defocus/1_z+1.png")
    name, records = read_layout(tmp_path)
    assert name == "dbmid"
    facts = {(r.key, r.group, r.meta["blur"], r.z) for r in records}
    assert facts == {
        ("train/TCT/defocus/1_z-10.png", "train/TCT/1", "defocus", -10),
        ("train/TCT/defocus/1_2_z5.png", "train/TCT/1_2", "defocus", 5),
        ("train/TCT/motion/1_L8_h.png", "train/TCT/1", "motion", None),
        ("train/TCT/mixed/1_2.png", "train/TCT/1_2", "mixed", None),
        ("test/HE/defocus/1_z+1.png", "test/HE/1", "defocus", 1),
    }
    by_key = {record.key: record for record in records}
    assert by_key["train/TCT/defocus/1_z-10.png"].defocus == pytest.approx(-31.2)
    assert {r.key for r in read_dbmid(tmp_path, blur="mixed")} == {"train/TCT/mixed/1_2.png"}
    with pytest.raises(ConfigError, match="blur is 'defocs', did you mean 'defocus'"):
        read_dbmid(tmp_path, blur="defocs")


@pytest.mark.parametrize(("files", "message"), [
    (["TCT/in-focus/1.png", "TCT/defocus/2_z1.png"], "no field in focus is named like"),
    (["TCT/in-focus/1.png", "TCT/in-focus/2.png", "TCT/defocus/2_z1.png"], "a field has no blurred image"),
    (["TCT/in-focus/1.png", "TCT/in-focus/1.tif", "TCT/defocus/1_z1.png"], "two images have one name"),
    (["TCT/defocus/2_z1.png"], "wanted a folder in-focus"),
    (["x/1.png"], "it has none of the folders TCT"),
])  # fmt: skip
def test_dbmid_tells_what_is_missing(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_dbmid(touch(tmp_path, *files))


def test_dbmid_tells_that_a_blur_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "HE/in-focus/1.png", "HE/defocus/1_z1.png")
    with pytest.raises(ConfigError, match="it has no images of the blur motion"):
        read_dbmid(tmp_path, blur="motion")
