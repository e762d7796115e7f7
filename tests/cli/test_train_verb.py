"""`dgno train`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from command_line import Cli


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
    (("--workers", "-1"), 2, "E-USAGE"),
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


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_complete_run_is_left_alone(cli: Cli, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured once. Weights that a kill left unmeasured are measured, and damaged ones are written anew."""
    resume = ("train", run_folder / "config.toml", "--resume")
    weights = run_folder / "run" / "weights.safetensors"
    halos = iter((None, 48, 64))
    monkeypatch.setattr("dgno.evaluation.halo.measure_halo", lambda network, scenes: next(halos))
    assert cli(*resume[:2]).status == 0
    assert "9 of 9 steps, halo 48 px" in cli(*resume).err
    before = stamps(run_folder / "run")
    for _ in range(2):
        again = cli(*resume)
        assert again.status == 0
        assert "9 of 9 steps, halo 48 px; the run is complete already, nothing was done" in again.err
        assert "measuring" not in again.err
    quiet = cli(*resume, "--json")
    assert (quiet.json["finished"], quiet.json["steps"], quiet.json["halo"]) == (True, 9, 48)
    assert stamps(run_folder / "run") == before
    weights.write_bytes(weights.read_bytes()[:-8])
    assert "9 of 9 steps, halo 64 px" in cli(*resume).err
    assert stamps(run_folder / "run") != before
