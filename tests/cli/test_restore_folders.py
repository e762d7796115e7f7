"""`dgno restore` on folders and lists of images: trees, reports, what is resumed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from pictures import photograph
from skimage.io import imsave

from command_line import Cli


def test_a_folder_gives_a_folder_and_a_report(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """One broken file does not stop the others: exit status 7, and the report tells which."""
    for name in ("a.png", "sub/b.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        imsave(tmp_path / "in" / name, photograph(), check_contrast=False)
    (tmp_path / "in" / "empty.tif").touch()
    result = cli("restore", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights[1], "--json")
    assert result.status == 7
    assert "E-IN-EMPTY" in (tmp_path / "out" / "report.json").read_text()
    assert (tmp_path / "out" / "sub" / "b.png").exists()
    assert not (tmp_path / "out" / "empty.tif").exists()
    assert result.err.splitlines()[-1].startswith("dgno: error[E-BATCH]: 1 of 3 images failed")


def test_resume_skips_what_is_complete_and_refuses_what_is_other(
    cli: Cli, tmp_path: Path, weights: dict[int, Path]
) -> None:
    for name in "ab":
        imsave(tmp_path / f"{name}.png", photograph(), check_contrast=False)
    arguments = ("restore", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out", "--weights", weights[1])
    cli("restore", tmp_path / "a.png", "-o", tmp_path / "out", "--weights", weights[1])
    first = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    result = cli(*arguments, "--resume", "--json")
    assert [o["status"] for o in result.json["results"]] == ["complete", "restored"]
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == first
    other = cli(*arguments, "--resume", "--overlap", 8, "--json")
    assert other.status == 7
    assert "E-RES-MISMATCH" in other.out


@pytest.mark.parametrize("ending", [".png", ".tif", ".ome.tif", ".jpg", ".bmp"])
def test_an_output_that_was_cut_off_is_not_complete(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], ending: str
) -> None:
    """The error is of the output, not of the input, and what it advises helps."""
    imsave(tmp_path / "a.png", photograph(), check_contrast=False)
    out = tmp_path / f"b{ending}"
    arguments = ("restore", tmp_path / "a.png", "-o", out, "--weights", weights[1])
    assert cli(*arguments).status == 0
    whole = out.read_bytes()
    assert "complete" in cli(*arguments, "--resume").err
    out.write_bytes(whole[: len(whole) // 2])
    result = cli(*arguments, "--resume")
    assert (result.status, "E-RES" in result.err, "--overwrite" in result.err) == (5, True, True)
    assert cli(*arguments, "--overwrite").status == 0 and out.read_bytes() == whole


def test_folders_are_mirrored_and_every_failure_has_its_line(
    cli: Cli, tmp_path: Path, weights: dict[int, Path]
) -> None:
    """Deep trees, broken links, and a folder of one: always the report, always status 7, one JSON object."""
    deep = tmp_path / "in" / "x" / "y"
    deep.mkdir(parents=True)
    imsave(deep / "1.png", photograph(), check_contrast=False)
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    result = cli("restore", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights[1], "--json")
    assert result.status == 7
    assert [(r["status"], r["error"] and r["error"]["code"]) for r in result.json["results"]] == [
        ("failed", "E-IN-MISSING"),
        ("restored", None),
    ]
    assert result.json["code"] == "E-BATCH"
    assert (tmp_path / "out" / "x" / "y" / "1.png").exists()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.tif").touch()
    assert cli("restore", tmp_path / "one", "-o", tmp_path / "out2", "--weights", weights[1]).status == 7
    assert "E-IN-EMPTY" in (tmp_path / "out2" / "report.json").read_text()


def test_a_foreign_report_is_not_replaced(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    imsave(tmp_path / "in" / "a.png", photograph(), check_contrast=False)
    (tmp_path / "out" / "report.json").write_text("[1]")
    result = cli("restore", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights[1])
    assert (result.status, "E-OUT-EXISTS" in result.err) == (4, True)
    assert (tmp_path / "out" / "report.json").read_text() == "[1]"


def test_fail_fast_leaves_a_report(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").touch()
    imsave(tmp_path / "in" / "b.png", photograph(), check_contrast=False)
    arguments = ("restore", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights[1], "--fail-fast")
    assert cli(*arguments).status == 3
    assert "E-IN-EMPTY" in (tmp_path / "out" / "report.json").read_text()
    assert not (tmp_path / "out" / "b.png").exists()


def test_outputs_name_no_folders(cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    """What an output says of its making holds no path of the machine; resuming works from any folder."""
    arguments = ("restore", blurred, "-o", tmp_path / "o.tif", "--weights")
    assert cli(*arguments, weights[1]).status == 0
    assert str(weights[1].parent).encode() not in (tmp_path / "o.tif").read_bytes()
    assert cli(*arguments, os.path.relpath(weights[1]), "--resume").status == 0


@pytest.mark.parametrize("ending", ["bmp", "png", "jpg"])
def test_a_picture_tells_whether_it_is_of_this_run(
    cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path], ending: str
) -> None:
    arguments = ("restore", blurred, "-o", tmp_path / f"o.{ending}", "--weights", weights[1])
    assert cli(*arguments).status == 0
    for harmless in ((), ("--device", "cpu"), ("--max-memory", 2), ("--threads", 1)):
        again = cli(*arguments, "--resume", "--json", *harmless)
        assert [one["status"] for one in again.json["results"]] == ["complete"], harmless
    result = cli(*arguments, "--resume", "--overlap", 8)
    assert (result.status, "overlap" in result.err) == (5, True)


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        imsave(folder / name, photograph(), check_contrast=False)
    return folder


def test_a_run_that_is_repeated_changes_nothing(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """One error for all, and the report as it was; of some, their entries stay."""
    arguments = (
        "restore",
        pictures(tmp_path / "in", "a.png", "b.png"),
        "-o",
        tmp_path / "out",
        "--weights",
        weights[1],
    )
    assert cli(*arguments).status == 0
    report = (tmp_path / "out" / "report.json").read_bytes()
    result = cli(*arguments)
    assert (result.status, result.err.count("\n")) == (4, 1)
    assert re.search(r"E-OUT-EXISTS.*all 2 outputs exist already \(.*out\); say --resume .* or --overwrite", result.err)
    assert (tmp_path / "out" / "report.json").read_bytes() == report
    pictures(tmp_path / "in", "c.png")
    assert cli(*arguments).status == 7
    made = json.loads((tmp_path / "out" / "report.json").read_text())["results"]
    assert sorted((Path(one["output"]).name, one["status"]) for one in made if one["status"] == "restored") == [
        (name, "restored") for name in ("a.png", "b.png", "c.png")
    ]
    assert cli(*arguments, "--overwrite").status == 0


def test_results_below_the_inputs_are_not_restored_again(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """Also not in a run with another output; what is given by name is, and the line says so."""
    folder = pictures(tmp_path / "in", "a.png", "b.bmp")
    (folder / "c.gif").touch()
    assert cli("restore", folder, "-o", folder / "out", "--weights", weights[1]).status == 0
    result = cli("restore", folder, "-o", tmp_path / "other", "--weights", weights[1])
    assert result.status == 0
    assert "dgno: warning: 2 images left out that dgno wrote" in result.err
    assert result.err.count("dgno: warning: 1 other file left out (.gif)") == 1
    report = json.loads((tmp_path / "other" / "report.json").read_text())
    assert (len(report["results"]), len(report["left_out"])) == (2, 2)
    again = cli("restore", folder / "out" / "a.png", "-o", tmp_path / "again.png", "--weights", weights[1])
    assert (again.status, "went through a second time" in again.err) == (0, True)


def test_nothing_is_written_into_the_folder_of_the_inputs(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    folder = pictures(tmp_path / "in", "a.png")
    result = cli("restore", folder, "-o", folder, "--weights", weights[1])
    assert (result.status, "E-OUT-INPUT" in result.err) == (4, True)
    assert [path.name for path in folder.iterdir()] == ["a.png"]


@pytest.mark.parametrize(("out", "status"), [("-", 2), ("folder.png", 2), ("folder.png/", 0)])
def test_names_of_outputs_are_taken_as_meant(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], monkeypatch: pytest.MonkeyPatch, out: str, status: int
) -> None:
    monkeypatch.chdir(pictures(tmp_path, "in/a.png"))
    assert cli("restore", "in", "-o", out, "--weights", weights[1]).status == status
    assert sorted(path.name for path in tmp_path.iterdir()) == (["folder.png", "in"] if status == 0 else ["in"])


def test_what_to_do_about_failures_is_said_once(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """In the line of the first, and again below all of the same reason."""
    (tmp_path / "in").mkdir()
    for name in ("a.tif", "b.tif", "c.tif"):
        (tmp_path / "in" / name).touch()
    result = cli("restore", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights[1])
    first, second, third, last, _ = result.err.splitlines()
    assert first.endswith("a.tif: failed, E-IN-EMPTY: the file is empty (0 bytes); copy it again from its source")
    assert second.endswith("failed, E-IN-EMPTY: the file is empty (0 bytes)")
    assert third.endswith("failed, E-IN-EMPTY: the file is empty (0 bytes)")
    assert last == "3 images failed, E-IN-EMPTY: copy it again from its source"


def test_the_report_says_what_was_done_to_each_image(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    result = cli("restore", pictures(tmp_path / "in", "a.png"), "-o", tmp_path / "out", "--weights", weights[1])
    assert f"; {weights[1].stem}" in result.err
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["results"]
    assert {name: entry["facts"][name] for name in ("weights", "normalization", "scale", "device", "route")} == {
        "weights": [weights[1].stem], "normalization": ["range"], "scale": [[0.0, 255.0]], "device": "cpu",
        "route": "off",
    }  # fmt: skip
