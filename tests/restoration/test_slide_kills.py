"""SIGKILL at random moments of a slide's run: it goes on, computes nothing twice, and ends with the same bytes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from restoring_child import restore_here

from dgno.arrays import Image
from dgno.io.open_slide import open_slide
from dgno.networks import DGNOConfig, build
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import restore_image
from dgno.restoration.journal import JOURNAL
from dgno.weights.store import Card, save_weights
from slide_files import tissue, write_pyramid

RUNS = int(os.environ.get("DGNO_KILLED_RUNS", "2"))  # of three kills each, for each format; `make test-slow` has more
SERVER = multiprocessing.get_context("forkserver")  # imports once, so that lives are short
SERVER.set_forkserver_preload(["dgno.cli.main", "dgno.restoration.files", "restoring_child"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of 20 blocks, and weights that restore one in some hundredths of a second."""
    folder = tmp_path_factory.mktemp("kills")
    write_pyramid(folder / "slide.tif", tissue(500, 700))
    torch.manual_seed(5)
    config = DGNOConfig(
        channels=3, width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper", scan_block=32, shallow_norm="none"
    )
    save_weights(
        folder / "tiny.safetensors", build(config).state_dict(), Card(config, "bright field", "range", halo=16)
    )
    return folder


def arguments(place: Path, out: Path, *more: str) -> list[str]:
    weights = str(place / "tiny.safetensors")
    options = ["--weights", weights, "--route", "off", "--tile", "160", "--threads", "1", "--device", "cpu"]
    return [str(place / "slide.tif"), "-o", str(out), *options, *more]


def start(place: Path, out: Path, *more: str) -> multiprocessing.Process:
    child = SERVER.Process(target=restore_here, args=(arguments(place, out, *more), out.with_suffix(".log")))
    child.start()
    return child


def finished(place: Path, out: Path, *more: str) -> None:
    child = start(place, out, *more)
    child.join(120)
    assert child.exitcode == 0, out.with_suffix(".log").read_text()


def digest(path: Path) -> str:
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return hashlib.sha256(b"".join(str(f.relative_to(path)).encode() + f.read_bytes() for f in files)).hexdigest()


@pytest.fixture(scope="module", params=["ome.tif", "tif", "ome.zarr"])
def whole(request: pytest.FixtureRequest, place: Path) -> tuple[Path, float]:
    """The output of a run that nobody disturbed, and how long it took."""
    out = place / f"whole.{request.param}"
    finished(place, place / f"first.{request.param}")  # imports
    started = time.monotonic()
    finished(place, out)
    return out, time.monotonic() - started


def test_killed_at_random_moments_it_ends_with_the_same_bytes(place: Path, whole: tuple[Path, float]) -> None:
    expected, seconds = whole
    draw = random.Random(11)
    kills = 0
    for number in range(RUNS):
        out = place / f"killed{number}.{expected.name.removeprefix('whole.')}"
        more: list[str] = []
        for _ in range(3):
            child = start(place, out, *more)
            child.join(draw.uniform(0.1, 0.9) * seconds)
            if child.exitcode is None:
                child.kill()
                child.join()
                kills += 1
            assert child.exitcode in (0, -9), out.with_suffix(".log").read_text()
            more = ["--resume"]
        finished(place, out, "--resume")
        assert digest(out) == digest(expected)
        assert sorted(one.name for one in place.iterdir() if one.name.startswith(f".{out.name}")) == []
    assert kills >= RUNS


def test_what_is_done_is_not_computed_again(place: Path, whole: tuple[Path, float]) -> None:
    """After a kill the journal only grows: its records stay, byte for byte, and each block stands there once."""
    expected, _ = whole
    out = place / f"counted.{expected.name.removeprefix('whole.')}"
    journal = place / f".{out.name}.dgno-work" / "journal" / JOURNAL
    child = start(place, out)
    while not (journal.exists() and journal.stat().st_size > 1000):
        assert child.exitcode is None, out.with_suffix(".log").read_text()
        time.sleep(0.001)
    child.terminate()
    child.join(20)
    assert child.exitcode == 143
    before = journal.read_bytes()
    assert before.count(b'"block"') >= 1
    kept = place / "kept"
    kept.unlink(missing_ok=True)
    kept.hardlink_to(journal)  # so that it can be read after the run has cleared it away
    finished(place, out, "--resume")
    after = kept.read_bytes()
    kept.unlink()
    assert after.startswith(before)
    blocks = [int(text.split(b",")[0]) for text in after.split(b'"block": ')[1:]]
    assert len(blocks) == len(set(blocks)) >= 10
    assert digest(out) == digest(expected)


def test_a_request_to_end_is_heeded_at_once_and_nothing_is_lost(place: Path, whole: tuple[Path, float]) -> None:
    expected, _ = whole
    out = place / f"ended.{expected.name.removeprefix('whole.')}"
    child = start(place, out)
    while not (place / f".{out.name}.dgno-work" / "journal").exists():
        assert child.exitcode is None, out.with_suffix(".log").read_text()
        time.sleep(0.001)
    time.sleep(random.Random(out.name).uniform(0, 0.3))
    started = time.monotonic()
    child.terminate()
    child.join(20)
    assert child.exitcode == 143, out.with_suffix(".log").read_text()
    assert time.monotonic() - started < 5
    assert not out.exists()
    assert "--resume" in out.with_suffix(".log").read_text()
    finished(place, out, "--resume")
    assert digest(out) == digest(expected)


def test_the_result_is_right(place: Path, whole: tuple[Path, float]) -> None:
    """All these bytes are not just equal: they are the pixels that the same tiles give of an image."""

    expected, _ = whole
    restorer, normalize = make_restorer(place / "tiny.safetensors")
    image = restore_image(Image(tissue(500, 700), "YXS", (0.0, 255.0)), restorer, tile_size=160, normalize=normalize)
    with open_slide(expected) as slide:
        found = slide.read((0, 500), (0, 700))
    assert np.mean(np.abs(found.astype(int) - image.pixels) > 1) < 1e-3
    assert (found != tissue(500, 700)).any()


def test_what_a_kill_left_of_an_output_goes_with_the_next_run(place: Path) -> None:
    """A file or folder half written may be as large as the slide; those of other outputs stay."""
    out = place / "left.tif"
    ours = [place / ".left.tif.0123abcd.dgno-part", place / ".left.tif.ffff0000.dgno-part"]
    others = [
        place / ".other.tif.0123abcd.dgno-part",
        place / ".left.tif.note",
        place / ".left.tif.0123abcd.dgno-party",
    ]
    ours[0].write_bytes(b"half")
    ours[1].mkdir()
    (ours[1] / "0").write_bytes(b"chunk")
    for path in others:
        path.write_bytes(b"mine")
    finished(place, out)
    assert not any(path.exists() for path in ours)
    assert all(path.read_bytes() == b"mine" for path in others)
