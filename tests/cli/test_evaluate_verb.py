"""`dgno evaluate`."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from command_line import Cli


def test_evaluate_names_weights_apart(cli: Cli, sharp: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    """Files of one stem are two methods; one file twice, or one called like a method, is an error. Quiet or not, the
    table is printed, and nothing else."""
    cli("simulate", sharp / "0.png", "-o", tmp_path / "pairs")
    copies = [tmp_path / folder / "w.safetensors" for folder in ("a", "b")]
    for copy in (*copies, tmp_path / "a" / "wiener.safetensors", tmp_path / "a" / "blurred.safetensors"):
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(weights[1], copy)
    both = ("--weights", copies[0], "--weights", copies[1])
    result = cli("evaluate", tmp_path / "pairs", *both, "--quiet", "--out", tmp_path / "report")
    assert result.err == ""
    assert all(str(copy) in result.out for copy in copies)
    for wrong in ((*both, *both[:2]), ("--method", "wiener", "--method", "wiener")):
        assert "is given twice" in cli("evaluate", tmp_path / "pairs", *wrong).err
    for name in ("wiener", "blurred"):
        refused = cli("evaluate", tmp_path / "pairs", "--weights", tmp_path / "a" / f"{name}.safetensors")
        assert (refused.status, f"'{name}', which is the name of a method" in refused.err) == (2, True)


def test_evaluate_gives_json_also_for_equal_images(cli: Cli, tmp_path: Path) -> None:
    """An infinite PSNR is null there, and "inf" in the table."""
    for folder in ("sharp", "blurred"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", np.eye(16, dtype=np.float32))
    result = cli("evaluate", tmp_path, "--json")
    assert "Infinity" not in result.out
    assert "NaN" not in result.out
    (line,) = result.json["summary"]
    assert (line["psnr"], line["psnr_sd"], line["ssim"]) == (None, None, pytest.approx(1))
    assert "inf" in cli("evaluate", tmp_path, "--out", tmp_path / "report").out


def test_evaluate_compares(cli: Cli, sharp: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    """The true PSF beats the blurred image; tables, scores and pictures are written."""
    cli("simulate", sharp, "-o", tmp_path / "pairs", "--photons", 1e6, "--read-noise", 0.0005, "--field", "constant")
    arguments = (
        "--weights",
        weights[1],
        "--method",
        "wiener",
        "--method",
        "richardson-lucy",
        "-o",
        tmp_path / "report",
    )
    result = cli("evaluate", tmp_path / "pairs", *arguments, "--json")
    assert result.status == 0, result.err
    summary = {line["method"]: line for line in result.json["summary"]}
    assert summary.keys() == {"blurred", "wiener", "richardson-lucy", "tiny1"}
    assert all(line["n"] == 3 for line in summary.values())
    assert summary["richardson-lucy"]["psnr"] > summary["blurred"]["psnr"] + 1
    written = sorted(p.name for p in (tmp_path / "report").iterdir())
    assert written == ["errors.png", "examples.png", "scores.csv", "scores.png"]
    assert "PSNR dB" in cli("evaluate", tmp_path / "pairs").out


def test_evaluate_names_the_protocol(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    """In the table, the CSV and the JSON; numbers are by it."""
    cli("simulate", sharp, "-o", tmp_path / "pairs")
    by_default = cli("evaluate", tmp_path / "pairs", "--json").json
    assert by_default["protocol"] == "dgno"
    arguments = ("evaluate", tmp_path / "pairs", "--protocol", "bbbc-pairminmax", "-o", tmp_path / "report")
    named = cli(*arguments, "--json", "--overwrite").json
    assert named["protocol"] == "bbbc-pairminmax"
    assert named["summary"][0]["psnr"] != pytest.approx(by_default["summary"][0]["psnr"], abs=0.01)
    assert "protocol bbbc-pairminmax method" in " ".join(cli(*arguments, "--overwrite").out.split())
    lines = (tmp_path / "report" / "scores.csv").read_text().splitlines()
    assert lines[0].endswith(",protocol")
    assert [line.rsplit(",", 1)[1] for line in lines[1:]] == ["bbbc-pairminmax"] * 3
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == ["examples.png", "scores.csv", "scores.png"]


def test_evaluate_keeps_an_earlier_result(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    """Refused before anything is computed. Replaced as a whole, if that is asked for, but never a file of the data."""
    cli("simulate", sharp, "-o", tmp_path / "pairs")
    arguments = ("evaluate", tmp_path / "pairs", "-o", tmp_path / "report")
    two = (*arguments, "--method", "wiener", "--json")
    assert cli(*two).status == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert len(before) == 4
    refused = cli(*arguments)
    assert (refused.status, "E-OUT-EXISTS" in refused.err, "--overwrite" in refused.err) == (4, True, True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before
    assert cli(*arguments, "--overwrite").status == 0
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == sorted(before.keys() - {"errors.png"})
    (tmp_path / "report" / "scores.png").unlink()
    (tmp_path / "report" / "scores.png").hardlink_to(tmp_path / "pairs" / "sharp" / "0.tif")
    data = cli(*arguments, "--overwrite")
    assert (data.status, "E-OUT-INPUT" in data.err) == (4, True)


def test_evaluate_says_what_can_be_done_for_gray_images_with_colour_weights(
    cli: Cli, sharp: Path, tmp_path: Path, weights: dict[int, Path]
) -> None:
    """And it can be done."""
    cli("simulate", sharp / "0.png", "-o", tmp_path / "pairs")
    refused = cli("evaluate", tmp_path / "pairs", "--weights", weights[3])
    assert (refused.status, "E-CK-CHANNELS" in refused.err) == (5, True)
    assert "blurred/0.tif" in refused.err
    (command,) = re.findall(r'take weights for gray images, .*, or --external "dgno (.*)"', refused.err)
    done = cli("evaluate", tmp_path / "pairs", "--external", f"{sys.executable} -m dgno {command}", "--json")
    assert done.status == 0, done.err
    assert [line["method"] for line in done.json["summary"]] == ["blurred", "external"]


def test_evaluate_refuses_unknown_protocols_with_the_nearest_one(cli: Cli, tmp_path: Path) -> None:
    result = cli("evaluate", tmp_path, "--protocol", "restormer")
    assert result.status == 2
    assert "protocol is 'restormer', did you mean 'restormer-d" in result.err


def test_evaluate_takes_external_commands(cli: Cli, sharp: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    """In front of the weights, in the order given; what fails is one line. Weights of that name are refused."""
    cli("simulate", sharp, "-o", tmp_path / "pairs")
    script = tmp_path / "copy.py"
    script.write_text("import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)")
    copy = f"{sys.executable} -S {script} {{in}} {{out}}"
    result = cli(
        "evaluate", tmp_path / "pairs", "--external", copy, "--weights", weights[1], "--external", copy, "--json"
    )
    assert result.status == 0, result.err
    summary = result.json["summary"]
    assert [line["method"] for line in summary] == ["blurred", "external", "external-2", "tiny1"]
    assert summary[1]["psnr"] == summary[0]["psnr"]
    failed = cli("evaluate", tmp_path / "pairs", "--external", "false {in} {out}")
    assert (failed.status, len(failed.err.splitlines())) == (2, 1)
    assert "external command false failed: it ended with status 1" in failed.err
    slow = f"{sys.executable} -S -c 'import time; time.sleep(60)' {{in}} {{out}}"
    late = cli("evaluate", tmp_path / "pairs", "--external", slow, "--external-minutes", 0.01)
    assert (late.status, "ran longer than 0.01 minutes" in late.err) == (2, True)
    shutil.copy(weights[1], tmp_path / "external.safetensors")
    refused = cli("evaluate", tmp_path / "pairs", "--external", copy, "--weights", tmp_path / "external.safetensors")
    assert (refused.status, "'external', which is the name of a method" in refused.err) == (2, True)


@pytest.mark.parametrize("spoil", ["no sharp folder", "an orphan", "another shape", "no psf"])
def test_evaluate_refuses_what_is_no_pair(cli: Cli, sharp: Path, tmp_path: Path, spoil: str) -> None:
    pairs = tmp_path / "pairs"
    cli("simulate", sharp, "-o", pairs)
    if spoil == "no sharp folder":
        (pairs / "sharp").rename(pairs / "other")
    elif spoil == "an orphan":
        (pairs / "sharp" / "0.tif").unlink()
    elif spoil == "another shape":
        tifffile.imwrite(pairs / "sharp" / "0.tif", np.random.default_rng(0).random((50, 50)).astype(np.float32))
    else:
        (pairs / "psf" / "0.tif").unlink()
    assert cli("evaluate", pairs, "--method", "wiener").status == 2
