"""Which blurred and sharp files belong together."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dgno.data.layouts.dbmid import read_dbmid
from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.records import BLURRED, SHARP
from dgno.errors import ConfigError, MissingInput


def make(root: Path, *names: str) -> Path:
    """Empty files: pairs are found by their names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_pairs_are_matched_by_name_and_sorted(tmp_path: Path) -> None:
    make(tmp_path, "sharp/c.tif", "sharp/a.tif", "sharp/b.tif", "blurred/b.tif", "blurred/c.tif", "blurred/a.tif")
    pairs = read_folder_pair(tmp_path)
    assert [pair.key for pair in pairs] == ["a", "b", "c"]
    for pair in pairs:
        assert pair.input == tmp_path / "blurred" / f"{pair.key}.tif"
        assert pair.target == tmp_path / "sharp" / f"{pair.key}.tif"
        assert pair.psf is None


@pytest.mark.parametrize("blurred", BLURRED)
@pytest.mark.parametrize("sharp", SHARP)
def test_every_usual_name_of_the_folders_is_known(tmp_path: Path, blurred: str, sharp: str) -> None:
    (pair,) = read_folder_pair(make(tmp_path, f"{blurred}/a.png", f"{sharp}/a.png"))
    assert (pair.input.parent.name, pair.target.parent.name) == (blurred, sharp)


def test_the_extensions_of_a_pair_may_differ(tmp_path: Path) -> None:
    """Of all formats, in upper and lower case."""
    make(
        tmp_path,
        "blurred/a.tif",
        "sharp/a.png",
        "blurred/b.JPEG",
        "sharp/b.bmp",
        "blurred/c.ome.tif",
        "sharp/c.ome.TIFF",
    )
    assert [(p.key, p.input.name, p.target.name) for p in read_folder_pair(tmp_path)] == [
        ("a", "a.tif", "a.png"),
        ("b", "b.JPEG", "b.bmp"),
        ("c.ome", "c.ome.tif", "c.ome.TIFF"),
    ]


@pytest.mark.parametrize("folder", ["blurred", "sharp"])
def test_two_images_of_one_name_are_refused(tmp_path: Path, folder: str) -> None:
    """Neither is taken silently."""
    make(tmp_path, "blurred/a.tif", "sharp/a.tif", f"{folder}/a.png")
    with pytest.raises(ConfigError, match=f"a.png and a.tif in {folder}/ would be one image"):
        read_folder_pair(tmp_path)


@pytest.mark.parametrize("name", ["a b", "Zelle α ✂", "x.y.z", "-a", "100%", "[1]", "a\nb", "CON"])
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    """Only the last extension is cut off; nothing is read as a pattern."""
    (pair,) = read_folder_pair(make(tmp_path, f"blurred/{name}.tif", f"sharp/{name}.png"))
    assert pair.key == name
    assert pair.input.is_file()
    assert pair.target.is_file()


def test_one_letter_stored_in_two_ways_is_one_name(tmp_path: Path) -> None:
    """As from a Mac on one side: composed and decomposed, which look the same; two in one folder are twins."""
    composed, apart = (unicodedata.normalize(form, "zelle ä 1") for form in ("NFC", "NFD"))
    (pair,) = read_folder_pair(make(tmp_path, f"blurred/{apart}.tif", f"sharp/{composed}.png"))
    assert pair.key == composed and pair.input.is_file()
    with pytest.raises(ConfigError, match="would be one image"):
        read_folder_pair(make(tmp_path, f"blurred/{composed}.tif"))
    place = tmp_path / "dbmid" / "train" / "TCT"
    make(place, f"in-focus/{composed}.tif", f"defocus/{apart}_z+3.tif")
    (pair,) = read_dbmid(tmp_path / "dbmid")
    assert (pair.z, pair.target.stem) == (3, composed)


def test_upper_and_lower_case_are_different_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing has its key 'A'"):
        read_folder_pair(make(tmp_path, "blurred/A.tif", "sharp/a.tif"))


def test_hidden_files_folders_and_other_files_are_no_images(tmp_path: Path) -> None:
    make(tmp_path, "blurred/a.tif", "sharp/a.tif", "blurred/.DS_Store", "sharp/._a.tif", "sharp/sub/b.tif")
    make(tmp_path, "blurred/Thumbs.db", "sharp/notes.txt", "blurred/a.txt", "sharp/README")
    assert [pair.key for pair in read_folder_pair(tmp_path)] == ["a"]


def test_the_true_psf_is_found_where_there_is_one(tmp_path: Path) -> None:
    """A PSF that belongs to no pair does no harm."""
    make(tmp_path, "blurred/a.tif", "sharp/a.tif", "blurred/b.tif", "sharp/b.tif", "psf/b.tif", "psf/c.tif")
    assert [pair.psf for pair in read_folder_pair(tmp_path)] == [None, tmp_path / "psf" / "b.tif"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["blurred/a.tif", "sharp/a.tif", "blurred/b.tif"], "nothing has its key 'b'; so it is for 1 of 2 keys"),
        (
            ["blurred/a.tif", "sharp/a.tif", "sharp/y.tif", "sharp/x.tif"],
            "nothing has its key 'x'; so it is for 2 of 3 keys",
        ),
        (["blurred/a_x.tif", "sharp/a_y.tif"], "give both images of a pair one name"),
        (["blurred/.hidden", "sharp/notes.txt"], "it holds no images"),
        (["sharp/a.tif"], "it has none of the folders blurred, blur, input, source"),
        (["blurred/a.tif"], "it has none of the folders sharp, GT, gt, target, clear"),
        (["blurred/a.tif", "input/a.tif", "sharp/a.tif"], "it has blurred/ and input/"),
        (["blurred/a.tif", "sharp/a.tif", "GT/a.tif", "clear/a.tif"], "it has GT/ and clear/ and sharp/"),
        (["blurred", "sharp"], "it has none of the folders"),
    ],
)
def test_what_is_no_set_of_pairs_is_refused(tmp_path: Path, files: list[str], message: str) -> None:
    """The error names the folder, and what is wrong with it."""
    with pytest.raises(ConfigError, match=r"the folder is no set of pairs|an image has no partner") as caught:
        read_folder_pair(make(tmp_path, *files))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no such folder"):
        read_folder_pair(tmp_path / "nowhere")
