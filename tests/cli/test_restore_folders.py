"""`dgno restore` on folders and lists of images: trees, reports, what is resumed."""

from __future__ import annotations

import os
from pathlib import Path

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


def test_bmp_cannot_be_resumed(cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    arguments = ("restore", blurred, "-o", tmp_path / "o.bmp", "--weights", weights[1])
    assert cli(*arguments).status == 0
    result = cli(*arguments, "--resume")
    assert (result.status, "BMP cannot tell" in result.err) == (5, True)
