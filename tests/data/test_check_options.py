"""`dgno check-data` with options of the reader: what is taken of a data set, and how it is divided."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from set_maker import save, texture

from dgno.cli.main import status_of

Facts = Callable[..., dict[str, object]]


@pytest.fixture
def facts(capsys: pytest.CaptureFixture[str]) -> Facts:
    """What `check-data --json` says of a good set."""

    def run(*arguments: object) -> dict[str, object]:
        capsys.readouterr()
        assert status_of(["check-data", *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Five wells of BBBC006: two sites, two channels, three planes."""
    names = [
        f"{well}_s{site}_w{channel}"
        for well in ("a01", "a02", "b01", "b02", "c01")
        for site in (1, 2)
        for channel in (1, 2)
    ]
    for z in (2, 6, 16):
        for i, name in enumerate(names):
            folder = tmp_path / "BBBC006" / f"BBBC006_v1_images_z_{z:02d}"
            save(folder / f"mcf-z-stacks-03212011_{name}{i:08x}.tif", texture(100 * z + i, (32, 40), "uint16"))
    return tmp_path / "BBBC006"


def test_a_part_of_a_data_set(facts: Facts, plate: Path) -> None:
    found = facts(plate, "--channel", "w2", "--planes", "2,6")
    assert found["pairs"] == {"": 20} and found["images"] == 30
    assert len(found["other files"]) == 30  # type: ignore[arg-type]
    assert facts(plate, "--planes", "2", "--sharp-plane", "6", "--channel", "w1")["images"] == 20


def test_a_drawn_split(facts: Facts, plate: Path, tmp_path: Path) -> None:
    """By well, by field, and as a list says: the groups of it are those that `groups` counts."""
    by_well = facts(plate, "--planes", "2", "--split-by", "group")
    assert by_well["groups"] == {"train": 4, "test": 1} and by_well["pairs"] == {"train": 16, "test": 4}
    assert facts(plate, "--planes", "2", "--seed", "0")["pairs"] == by_well["pairs"]
    lines = [f"{well},{'test' if well == 'b01' else 'train'}" for well in ("a01", "a02", "b01", "b02", "c01")]
    (tmp_path / "list.csv").write_text("\n".join(["group,split", *lines]))
    listed = facts(plate, "--planes", "2", "--split-file", tmp_path / "list.csv")
    assert listed["pairs"] == {"train": 16, "test": 4}


@pytest.mark.parametrize(("arguments", "message"), [
    (("--planes", "2-6"), "planes are '2-6'; give numbers with commas between"),
    (("--planes", "-2"), "planes[0] is -2, wanted a whole number"),
    (("--split-by", "well"), "split_by is 'well', known: group, field"),
    (("--channel", "w7"), "no channel 'w7'"),
    (("--layout", "folder-pairs"), "did you mean 'folder-pair'"),
    (("--split-file", "nowhere.csv"), "there is no such list of splits"),
])  # fmt: skip
def test_wrong_options_are_told(
    plate: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert status_of(["check-data", str(plate), "--planes", "2", *arguments]) in (2, 3)
    assert message in capsys.readouterr().err
