"""RELIABILITY 3D, 3F and 4.4 for `dgno restore` on slides: interrupted, gone on with, and short of memory or files."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from slide_site import QUICK, Site, each_block, limited, refused, remove_all

from dgno.cli import main
from dgno.restoration.files import restore_files
from dgno.restoration.options import RestoreOptions
from dgno.restoration.placed import Placed
from slide_files import tissue, write_pyramid
from tiny_weights import save_tiny


def stop_at(block: int):
    """Ctrl-C, at a block."""

    def happens(number: int, x: torch.Tensor) -> None:
        if number == block:
            signal.raise_signal(signal.SIGINT)

    return happens


@pytest.fixture
def begun(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """With a run for out.ome.tif that was interrupted at its 4th block of 6."""
    before = signal.signal(signal.SIGINT, main._stop)
    try:
        with each_block(monkeypatch, stop_at(3)):
            result = site.restore(site.slide, site.folder / "out.ome.tif")
    finally:
        signal.signal(signal.SIGINT, before)
    refused(result, "E-INTERRUPTED", 130, "--resume")
    assert site.names == [".out.ome.tif.dgno-work"]
    return site


def test_d02_d05_interrupted_gone_on_with_and_complete(begun: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    out, blocks = begun.folder / "out.ome.tif", []
    refused(begun.restore(begun.slide, out), "E-OUT-EXISTS", 4, "--resume")
    with each_block(monkeypatch, lambda number, x: blocks.append(number)):
        assert begun.restore(begun.slide, out, "--resume").status == 0
        assert len(blocks) <= 6 - 3 + 1  # one more for the report, which compares a shifted tile
        data, report = out.read_bytes(), (begun.folder / "out.ome.tif.report.json").read_bytes()
        blocks.clear()
        result = begun.restore(begun.slide, out, "--resume")
        assert (result.status, blocks) == (0, []) and "already complete" in result.err
    assert out.read_bytes() == data and (begun.folder / "out.ome.tif.report.json").read_bytes() == report
    remove_all(begun.folder)
    assert data == begun.whole()


def test_begun_anew(begun: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[int] = []
    with each_block(monkeypatch, lambda number, x: blocks.append(number)):
        assert begun.restore(begun.slide, begun.folder / "out.ome.tif", "--overwrite").status == 0
    assert len(blocks) >= 6 and begun.names == ["out.ome.tif", "out.ome.tif.report.json"]


def test_d04_another_run_is_named(begun: Site) -> None:
    out = begun.folder / "out.ome.tif"
    other = save_tiny(begun.folder.parent, 3, halo=32)
    cases = {
        ("--tile", "128"): "tile_size",
        ("--overlap", "24"): "overlap",
        ("--normalize", "minmax"): "options (normalize)",
        ("--compression", "zstd"): "options (compression)",
        ("--route", "auto"): "options (route)",
        ("--weights", other): "weights",
    }
    for more, text in cases.items():
        refused(begun.restore(begun.slide, out, *more, "--resume"), "E-RES-MISMATCH", 5, text)
    os.utime(begun.slide, ns=(1, 1))
    refused(begun.restore(begun.slide, out, "--resume"), "E-RES-MISMATCH", 5, "input state")
    assert begun.names == [".out.ome.tif.dgno-work"]


def test_d04_an_output_of_another_run(site: Site) -> None:
    out = site.folder / "out.ome.tif"
    assert site.restore(site.slide, out).status == 0
    before = out.read_bytes()
    refused(site.restore(site.slide, out, "--tile", "128", "--resume"), "E-RES-MISMATCH", 5, "options (tile_size)")
    assert out.read_bytes() == before and site.names == ["out.ome.tif", "out.ome.tif.report.json"]


def test_a_run_that_is_to_replace_an_output_can_be_gone_on_with(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    out, more = site.folder / "out.ome.tif", ("--normalize", "minmax")
    assert site.restore(site.slide, out).status == 0
    old = out.read_bytes()
    before = signal.signal(signal.SIGINT, main._stop)
    try:
        with each_block(monkeypatch, stop_at(3)):
            assert site.restore(site.slide, out, *more, "--overwrite").status == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert out.read_bytes() == old
    blocks: list[int] = []
    with each_block(monkeypatch, lambda number, x: blocks.append(number)):
        assert site.restore(site.slide, out, *more, "--overwrite", "--resume").status == 0
    new = out.read_bytes()
    remove_all(site.folder)
    assert len(blocks) <= 4 and new == site.whole("out.ome.tif", *more) != old


def test_a_look_with_other_options_is_not_taken_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted between the look and the first block, when there is no journal yet that would tell."""
    with monkeypatch.context() as patched:
        patched.setattr("dgno.restoration.slide_files.Journal", lambda *_: signal.raise_signal(signal.SIGINT))
        before = signal.signal(signal.SIGINT, main._stop)
        try:
            assert site.restore(site.slide, site.folder / "o.tif").status == 130
        finally:
            signal.signal(signal.SIGINT, before)
    os.utime(site.slide, ns=(1, 1))
    refused(site.restore(site.slide, site.folder / "o.tif", "--resume"), "E-RES-MISMATCH", 5, "input state")


# 3F: memory, files


def full_above(pixels: int):
    def happens(number: int, x: torch.Tensor) -> None:
        if x.shape[-1] * x.shape[-2] > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return happens


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide that one tile of the usual size takes in."""
    return write_pyramid(tmp_path_factory.mktemp("large") / "slide.tif", tissue(330, 350))


def test_f01_smaller_tiles_when_memory_runs_out(site: Site, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, weights = ("restore", large, "-o"), save_tiny(site.folder.parent, 3, halo=48)
    more = ("--weights", weights, "--route", "off", "--device", "cpu")
    assert site.cli(*own, site.folder / "usual.ome.tif", *more).status == 0
    with each_block(monkeypatch, full_above(200**2)):
        result = site.cli(*own, site.folder / "small.ome.tif", *more, "--json")
        assert result.status == 0, result.err
    (told,) = result.json["results"][0]["facts"]["memory"]
    assert "tiles of 160 px" in told and told in result.json["results"][0]["notes"]
    one, other = (tifffile.imread(site.folder / name) / 255 for name in ("usual.ome.tif", "small.ome.tif"))
    difference = np.abs(one - other)  # RELIABILITY 5.2
    assert np.sqrt(np.mean(difference**2)) <= 2e-3 and np.percentile(difference, 99.9) <= 1e-2
    assert (one != tissue(330, 350) / 255).any()


def test_f01_the_size_that_the_user_wants_is_kept(site: Site, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = set()
    for size in (256, 1024):  # the second is the usual one, and yet the user's own
        with each_block(monkeypatch, lambda number, x: (sizes.add(max(x.shape[-2:])), full_above(200**2)(number, x))):
            result = site.cli("restore", large, "-o", site.folder / "o.tif", "--weights", site.weights, *QUICK,
                              "--tile", size)  # fmt: skip
        refused(result, "E-RS-OOM", 6, "--tile")
        assert not (site.folder / "o.tif").exists()
        work = site.folder / ".o.tif.dgno-work"
        assert site.names in ([], [work.name])
        if work.exists():
            assert site.cli("restore", large, "-o", site.folder / "o.tif", "--weights", site.weights, *QUICK, "--tile",
                            size, "--overwrite").status == 0  # fmt: skip
            (site.folder / "o.tif").unlink()
            (site.folder / "o.tif.report.json").unlink()
    assert min(sizes) > 200  # nothing smaller was tried


def test_f03_too_little_memory_is_refused_with_what_to_give(site: Site, large: Path, monkeypatch) -> None:
    result = site.cli("restore", large, "-o", site.folder / "o.tif", "--weights", site.weights, "--route", "off",
                      "--device", "cpu", "--max-memory", "0.1", "--tile", "0")  # fmt: skip
    refused(result, "E-RS-OOM", 6, "--tile 1024")
    monkeypatch.setattr(
        Placed, "bytes_per_pixel", property(lambda self: 10**6, lambda self, value: None), raising=False
    )
    result = site.cli("restore", large, "-o", site.folder / "o.tif", "--weights", site.weights, "--route", "off",
                      "--device", "cpu", "--max-memory", "0.1")  # fmt: skip
    refused(result, "E-RS-OOM", 6, "--max-memory")
    assert site.names == []


def open_files() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def test_f08_f10_forty_slides_with_64_files_and_no_more_memory(site: Site) -> None:
    """No descriptor stays open, and memory does not grow from the tenth slide on."""
    inputs = site.folder.parent / "in"
    inputs.mkdir()
    site.whole()
    for number in range(40):
        write_pyramid(inputs / f"{number}.tif", tissue(70, 80, seed=number), tile=64)
    page, sizes = os.sysconf("SC_PAGE_SIZE"), []

    def report(outcome) -> None:
        assert outcome.status == "restored", outcome.error
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * page)

    options = RestoreOptions(weights=str(site.weights), route="off", tile_size=96, device="cpu")
    before = open_files()
    with limited(resource.RLIMIT_NOFILE, max(64, max(before) + 24)):
        restore_files([inputs], site.folder, options, report=report)
    assert len(open_files()) == len(before)
    assert len(sizes) == 40 and sizes[-1] - sizes[9] < 20 * 2**20
    assert len(json.loads((site.folder / "report.json").read_text())["results"]) == 40
