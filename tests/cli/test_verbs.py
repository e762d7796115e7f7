"""The other verbs."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import imagecodecs
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
    assert set(facts["kernels"]) == {"selective scan", "DG operator", "gated convolution", "1x1 convolution"}
    table = cli("doctor").out
    assert "limits" in table
    assert "536,870,912" in table


def test_doctor_gives_numbers_as_numbers(cli: Cli) -> None:
    """What is formatted is for the table."""
    facts = cli("doctor", "--json").json
    assert facts["limits"]["pixels"] == 2**29
    assert facts["machine"]["cores"] == os.cpu_count()
    assert facts["machine"]["threads of torch"] == torch.get_num_threads()
    assert facts["machine"]["oneDNN"] in (True, False)
    assert all(isinstance(size, float) for size in facts["weights, MB"].values())


def test_doctor_shows_the_codecs(cli: Cli) -> None:
    """Every format that is read and written, by the codecs of this machine."""
    codecs = cli("doctor", "--json").json["codecs"]
    assert all(codecs[f"{name}, read and written"] is True for name in ("PNG", "JPEG", "BMP"))
    assert set(codecs["TIFF, written"]) <= {"deflate", "lzw", "zstd", "none"}
    assert {"none", "lzw", "jpeg", "adobe_deflate"} <= set(codecs["TIFF, read"])
    assert "ojpeg" not in codecs["TIFF, read"]
    assert "adobe_deflate" in cli("doctor").out


def test_doctor_says_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library without which dgno runs does not stop it; a codec that is not there is not promised."""

    def version(name: str) -> str:
        if name == "pillow":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(imagecodecs, "ZSTD", SimpleNamespace(available=False))
    result = cli("doctor", "--json")
    assert result.status == 0, result.err
    assert result.json["libraries"]["pillow"] == "missing"
    assert result.json["codecs"]["TIFF, written"] == ["deflate", "lzw", "none"]


@pytest.mark.parametrize("verb", ["doctor", "models"])
def test_quiet_verbs_print_the_table_that_was_asked_for(cli: Cli, verb: str) -> None:
    quiet = cli(verb, "--quiet")
    assert quiet.out == cli(verb).out
    assert quiet.err == ""


def test_doctor_says_why_a_reference_runs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGNO_SCAN", "chunked")
    assert cli("doctor", "--json").json["kernels"]["selective scan"] == "chunked (asked for by DGNO_SCAN)"


def test_models(cli: Cli, weights: dict[int, Path]) -> None:
    """The table counts as the paper does; a card can be shown, a file verified."""
    networks = {n["name"]: n for n in cli("models", "--json").json["networks"]}
    assert networks["dgno-cell"]["parameters"] == 12_794_888
    assert networks["dgno-cell"]["GMAC layers"] == pytest.approx(49.6, abs=0.05)
    assert networks["dgno-cell"]["blocks"] == [2, 4, 6, 2]
    assert "12,794,888" in cli("models").out
    assert cli("models", "show", weights[1], "--json").json["parameters"] > 1000
    assert "width" in cli("models", "show", weights[1]).out
    assert cli("models", "verify", weights[1], "--json").json == {str(weights[1]): "whole"}
    assert cli("models", "show").status == 2
    assert cli("models", "show", "nothing").status == 5


@pytest.mark.parametrize(("arguments", "said"), [
    (("foo",), "'foo' is no action; say list, show NAME, or verify [NAME]"),
    (("fluorescence-nano",), "did you mean models show fluorescence-nano?"),
    (("show",), "of which weights?"),
])  # fmt: skip
def test_a_wrong_action_of_models_is_told_with_the_known_names(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    result = cli("models", *arguments)
    assert result.status == 2
    assert said in result.err
    assert "brightfield-nano, fluorescence-nano" in result.err


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


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (("--field", "foo"), 2, "fields[0] is 'foo', known: constant"),
    (("--field", "vornoi"), 2, "did you mean 'voronoi'?"),
    (("--sigma", "4", "0.6"), 2, "sigma is (4.0, 0.6), wanted (smallest, largest)"),
    (("--sigma", "-1", "2"), 2, "sigma is (-1.0, 2.0)"),
    (("--sigma", "0.5", "inf"), 2, "sigma is (0.5, inf)"),
    (("--spread", "inf"), 2, "spread is inf"),
    (("--read-noise", "nan"), 2, ""),
    (("--scale", "foo"), 2, "scale is 'foo', known: auto, range, percentile"),
    (("--sigma", "0", "0"), 0, "3 pairs"),
])  # fmt: skip
def test_simulate_checks_its_arguments(
    cli: Cli, sharp: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """Before anything is written. No blur at all is allowed: noise alone."""
    result = cli("simulate", sharp, "-o", tmp_path / "pairs", *arguments)
    assert result.status == status
    assert said in result.err
    assert "E-BUG" not in result.err
    assert (tmp_path / "pairs").exists() == (status == 0)


def test_simulate_replaces_pairs_only_when_told(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    assert cli("simulate", sharp / "0.png", "-o", pairs).status == 0
    before = files_of(pairs)
    again = cli("simulate", sharp / "1.png", "-o", pairs)
    assert (again.status, "E-OUT-EXISTS" in again.err) == (4, True)
    assert files_of(pairs) == before
    assert cli("simulate", sharp / "0.png", "-o", pairs, "--seed", 3, "--overwrite").status == 0
    assert files_of(pairs)["manifest.csv"] != before["manifest.csv"]


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
    named = cli(*arguments, "--json").json
    assert named["protocol"] == "bbbc-pairminmax"
    assert named["summary"][0]["psnr"] != pytest.approx(by_default["summary"][0]["psnr"], abs=0.01)
    assert "protocol bbbc-pairminmax method" in " ".join(cli(*arguments).out.split())
    lines = (tmp_path / "report" / "scores.csv").read_text().splitlines()
    assert lines[0].endswith(",protocol")
    assert [line.rsplit(",", 1)[1] for line in lines[1:]] == ["bbbc-pairminmax"] * 3
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == ["examples.png", "scores.csv", "scores.png"]


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


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (("--max-minutes", "-1"), 2, "E-USAGE"),
    (("--device", "foo"), 2, "E-CONFIG"),
    (("--device", "cuda"), 6, "E-RS-DEVICE"),
])  # fmt: skip
def test_train_refuses_before_it_begins(
    cli: Cli, run_folder: Path, arguments: tuple[str, ...], status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    result = cli("train", run_folder / "config.toml", *arguments)
    assert (result.status, said in result.err) == (status, True)
    assert not (run_folder / "run").exists()


def test_train_for_no_minutes_saves_at_once(cli: Cli, run_folder: Path) -> None:
    stopped = cli("train", run_folder / "config.toml", "--max-minutes", "0", "--json")
    assert (stopped.status, stopped.json["steps"], stopped.json["finished"]) == (0, 0, False)
    assert (run_folder / "run" / "checkpoints" / "step-00000000").is_dir()


def test_train_shows_how_far_it_is(cli: Cli, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar on a terminal, from step to step to the end; where there is none, plain lines. Weights without usable halo
    are called so."""
    shares: list[float] = []

    @contextlib.contextmanager
    def bar(label: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
        yield shares.append

    monkeypatch.setattr("dgno.cli.train.progress_bar", bar)
    monkeypatch.setattr("dgno.evaluation.halo.measure_halo", lambda network, scenes: None)
    result = cli("train", run_folder / "config.toml", "--device", "cpu")
    assert shares == pytest.approx([step / 9 for step in range(1, 10)])
    lines = result.err.splitlines()
    assert lines[0].startswith("step 9  ")
    assert "psnr_restored" in lines[0]
    assert "9 of 9 steps, no usable halo" in lines[-2]
    assert lines[-1].startswith("dgno restore IMAGE -o RESTORED --weights")


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
