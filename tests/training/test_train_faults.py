"""What goes wrong while a run writes: told as one error, and what stood there before is still good."""

from __future__ import annotations

import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dgno.errors import NoSpace, OutputNotWritable, ResumeError
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.curves import draw_curves
from dgno.training.loop import train


@pytest.fixture
def config(run_folder: Path) -> TrainConfig:
    config = load_config(run_folder / "config.toml")
    return replace(config, checkpoint_every=2, stages=(Stage(5, 32, 1),))


def limit_files(size: int) -> None:
    """From now on no file may grow beyond `size` bytes; the system says so as it does of a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("size", [5000, 0], ids=["checkpoint", "log"])
def test_a_full_disk_leaves_the_last_checkpoint(config: TrainConfig, run_folder: Path, size: int) -> None:
    """Nothing is left over of the new one; with space again, the run goes on and ends as the unbroken one."""
    train(config)

    def fill_up(entry: dict[str, float]) -> None:
        if entry["step"] == 3:
            limit_files(size)

    full = replace(config, out=run_folder / "full")
    try:
        with pytest.raises(NoSpace, match=r"no space for the output \(.*(step-00000004|log\.jsonl)\)"):
            train(full, report=fill_up)
    finally:
        limit_files(resource.RLIM_INFINITY)
    assert [path.name for path in (full.out / "checkpoints").iterdir()] == ["step-00000002"]
    train(full, resume=True)
    a, b = (load_file(folder / "weights.safetensors") for folder in (config.out, full.out))
    assert all((a[name] == b[name]).all() for name in a)
    assert len((full.out / "log.jsonl").read_text().splitlines()) == 5


def test_a_full_disk_leaves_the_last_curves(config: TrainConfig) -> None:
    train(config)
    log, picture = config.out / "log.jsonl", config.out / "curves.png"
    draw_curves(log, picture)
    before = picture.read_bytes()
    try:
        limit_files(1000)
        with pytest.raises(NoSpace, match=r"curves\.png"):
            draw_curves(log, picture)
    finally:
        limit_files(resource.RLIM_INFINITY)
    assert picture.read_bytes() == before


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_not_replaced_by_weights(config: TrainConfig, linked: bool) -> None:
    """Nor a device: as root, a link to one would have it replaced by a file."""
    config.out.mkdir()
    pipe, weights = config.out.parent / "pipe", config.out / "weights.safetensors"
    os.mkfifo(pipe if linked else weights)
    if linked:
        weights.symlink_to(pipe)
    with pytest.raises(OutputNotWritable, match="a device or a pipe, not a file"):
        train(config, max_minutes=0)
    assert (pipe if linked else weights).is_fifo()


def test_an_output_that_cannot_be_a_folder(config: TrainConfig, run_folder: Path) -> None:
    (run_folder / "file").write_text("")
    with pytest.raises(OutputNotWritable):
        train(replace(config, out=run_folder / "file" / "run"))


def test_what_a_killed_run_left_over_is_cleared_away(config: TrainConfig) -> None:
    """A checkpoint half written is not resumed from, and goes with the next one."""
    train(config, max_minutes=0)
    left = config.out / "checkpoints" / ".step-00000005.dgno-part"
    shutil.copytree(config.out / "checkpoints" / "step-00000000", left)
    assert train(config, resume=True)[1] == 5
    assert not left.exists()


def test_a_whole_checkpoint_is_not_written_again(config: TrainConfig) -> None:
    """So that a kill between two steps of replacing it cannot lose it."""
    train(config, max_minutes=0)
    (place,) = (config.out / "checkpoints").iterdir()
    before = place.stat().st_ino
    train(config, resume=True, max_minutes=0)
    assert place.stat().st_ino == before


def test_what_is_not_ours_beside_the_checkpoints_stays(config: TrainConfig) -> None:
    """A copy that the user keeps, an archive, notes: neither resumed from, nor removed, nor stumbled over."""
    train(config, max_minutes=0)
    checkpoints = config.out / "checkpoints"
    shutil.copytree(checkpoints / "step-00000000", checkpoints / "step-00000000-mine")
    (checkpoints / "step-00000001.zip").write_bytes(b"x")
    (checkpoints / "step-notes").mkdir()
    assert train(config, resume=True)[1] == 5
    names = {path.name for path in checkpoints.iterdir()}
    assert names == {"step-00000000-mine", "step-00000001.zip", "step-notes", "step-00000004", "step-00000005"}


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_checkpoint_whose_list_of_sums_is_short_is_not_whole(config: TrainConfig, lines: int) -> None:
    """As a copy that broke off leaves it: the one before is taken, and without one the way on is told."""
    train(config)
    sums = config.out / "checkpoints" / "step-00000005" / "SHA256SUMS"
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:lines]))
    (sums.parent / "state.json").unlink()
    assert train(config, resume=True, max_minutes=0)[1] == 4
    for place in (config.out / "checkpoints").iterdir():
        (place / "SHA256SUMS").write_text("")
    with pytest.raises(ResumeError, match=r"no checkpoint there is whole; train anew with another `out`"):
        train(config, resume=True)


def test_a_log_torn_by_a_crash_of_the_machine_does_not_stop_the_run(config: TrainConfig) -> None:
    weights, _ = train(config)
    weights.unlink()  # or the run would be complete
    log = config.out / "log.jsonl"
    whole = log.read_text()
    log.write_bytes(whole.encode() + b'{"step": 3' + b"\0" * 40 + b"\n\xff\n7\n")
    assert train(config, resume=True)[1] == 5
    assert log.read_text() == whole


def test_nothing_to_resume_says_what_to_do(config: TrainConfig) -> None:
    with pytest.raises(ResumeError, match=r"nothing to resume from.*start without --resume"):
        train(config, resume=True)
