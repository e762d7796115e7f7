"""The other verbs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from command_line import Cli
from skimage.io import imsave

VERBS = ["restore", "simulate", "train", "evaluate", "models", "import-weights", "doctor"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(cli: Cli, verb: str) -> None:
    result = cli(verb, "--help")
    assert result.status == 0
    assert f"Example: dgno {verb}" in result.out
    for option in ("--json", "--quiet", "--debug"):
        assert option in result.out


def test_help_and_version(cli: Cli) -> None:
    assert all(verb in cli("--help").out for verb in VERBS)
    assert cli().out == cli("--help").out
    assert cli("--version").out == "0.1.0\n"
    assert cli("nonsense").err.startswith("dgno: error[E-USAGE]: No such command 'nonsense'")


def test_doctor(cli: Cli) -> None:
    facts = cli("doctor", "--json").json
    assert facts["libraries"]["torch"] == torch.__version__
    assert set(facts["kernels"]) == {"selective scan", "DG operator", "gated convolution"}
    assert "limits" in cli("doctor").out


def test_doctor_says_why_a_reference_runs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGNO_SCAN", "chunked")
    assert cli("doctor", "--json").json["kernels"]["selective scan"] == "chunked (asked for by DGNO_SCAN)"


def test_models(cli: Cli, weights: dict[int, Path]) -> None:
    """The table counts as the paper does; a card can be shown, a file verified."""
    networks = {n["name"]: n for n in cli("models", "--json").json["networks"]}
    assert networks["dgno-cell"]["parameters"] == "12,794,888"
    assert float(networks["dgno-cell"]["GMAC layers"]) == pytest.approx(49.6, abs=0.05)
    assert "width" in cli("models", "show", weights[1]).out
    assert cli("models", "verify", weights[1], "--json").json == {str(weights[1]): "whole"}
    assert cli("models", "show").status == 2
    assert cli("models", "show", "nothing").status == 5


def test_embedded_weights_are_whole(cli: Cli) -> None:
    result = cli("models", "verify", "--json")
    assert result.status == 0
    assert set(result.json.values()) <= {"whole"}


@pytest.fixture
def sharp(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "sharp").mkdir()
    for i in range(3):
        image = np.zeros((64, 80), np.uint8)
        for _ in range(20):
            y, x = rng.integers(0, 60, 2)
            image[y : y + 9, x : x + 9] = rng.integers(30, 255)
        imsave(tmp_path / "sharp" / f"{i}.png", image, check_contrast=False)
    return tmp_path / "sharp"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_simulate_is_reproducible(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    """The same seed writes the same bytes, another seed other ones; truth and manifest stand beside the pairs."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("simulate", sharp, "-o", tmp_path / name, "--seed", seed).status == 0
    a, b, c = (files_of(tmp_path / name) for name in "abc")
    assert a == b
    assert a["blurred/0.tif"] != c["blurred/0.tif"]
    assert len(a) == 4 * 3 + 1
    assert len((tmp_path / "a" / "manifest.csv").read_text().splitlines()) == 4
    sigma, psf = (tifffile.imread(tmp_path / "a" / f / "0.tif") for f in ("sigma", "psf"))
    assert 0.6 <= sigma.min() <= sigma.max() <= 4.0
    assert psf.sum() == pytest.approx(1, abs=1e-5)


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
    assert written == ["examples.png", "scores.csv", "scores.png"]
    assert "PSNR dB" in cli("evaluate", tmp_path / "pairs").out


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


def test_train_and_resume(cli: Cli, run_folder: Path) -> None:
    """A budget stops it, --resume ends it; the weights carry their halo and can be used."""
    stopped = cli("train", run_folder / "config.toml", "--max-minutes", "0.0001", "--json")
    assert (stopped.status, stopped.json["finished"]) == (0, False)
    ended = cli("train", run_folder / "config.toml", "--resume", "--json")
    assert (ended.status, ended.json["finished"], ended.json["steps"]) == (0, True, 9)
    out = run_folder / "out.png"
    assert cli("restore", run_folder / "sharp" / "00.png", "-o", out, "--weights", ended.json["weights"]).status == 0
    again = cli("train", run_folder / "config.toml")
    assert (again.status, "E-RES-MISMATCH" in again.err) == (5, True)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dgno", *map(str, arguments)]


def test_help_does_not_import_torch() -> None:
    code = "import sys; from dgno.cli.main import status_of; status_of(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_closed_pipe_is_quiet() -> None:
    done = subprocess.run(f"{' '.join(command('doctor'))} | head -c 1", shell=True, capture_output=True, check=False)
    assert done.stderr == b""


def test_plain_ascii_terminals(tmp_path: Path, weights: dict[int, Path]) -> None:
    """With LC_ALL=C any name is printed in escapes, and any name works."""
    source = tmp_path / "Zelle α\n✂.png"
    imsave(tmp_path / "x.png", np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8), check_contrast=False)
    (tmp_path / "x.png").rename(source)
    arguments = command("restore", source, "-o", tmp_path / "out.png", "--weights", weights[1])
    done = subprocess.run(
        arguments, capture_output=True, env={**os.environ, "LC_ALL": "C", "NO_COLOR": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.isascii()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_their_status(tmp_path: Path, weights: dict[int, Path], number: int, status: int) -> None:
    """What was finished stays whole, nothing half-written stands under a final name."""
    (tmp_path / "in").mkdir()
    for i in range(200):
        pixels = np.random.default_rng(i).integers(0, 255, (200, 200), np.uint8)
        imsave(tmp_path / "in" / f"{i:03d}.png", pixels, check_contrast=False)
    arguments = command("restore", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights[1])
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as child:
        while not list((tmp_path / "out").glob("*.png")) and child.poll() is None:
            time.sleep(0.02)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    assert child.returncode == status, err
    assert err.splitlines()[-1].startswith("dgno: error[E-")
    assert not list((tmp_path / "out").glob(".*"))
    assert all(
        tifffile.imread(p).shape == (200, 200) if p.suffix == ".tif" else p.stat().st_size
        for p in (tmp_path / "out").iterdir()
    )


def test_facts_for_machines_are_json(cli: Cli) -> None:
    assert json.loads(cli("doctor", "--json").out)["dgno"]["version"] == "0.1.0"
