"""Restoring files: what may happen meanwhile, how much memory and how many threads are used, what decides an output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor

from dgno.arrays import Image
from dgno.errors import ConfigError, InputChanged, MissingInput, OutOfMemory, ResumeError
from dgno.evaluation.assessing.options import AssessOptions
from dgno.io.provenance import read_provenance
from dgno.restoration.files import restore_files
from dgno.restoration.options import RestoreOptions
from dgno.restoration.placed import Placed
from dgno.restoration.workbench import Workbench

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
LARGE = Image(np.broadcast_to(np.uint8(0), (30_000, 40_000)), "YX", (0, 255))


@pytest.fixture
def blurred(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "in.tif", PIXELS)
    return tmp_path / "in.tif"


@pytest.mark.parametrize("how", ["written to", "replaced", "removed"])
def test_a11_an_input_that_changes_meanwhile_gives_no_output(blurred: Path, how: str) -> None:
    """Found at the end, by inode, size and time."""

    def change(share: float) -> None:
        if how == "removed":
            blurred.unlink(missing_ok=True)
        elif how == "replaced":
            (blurred.parent / "other.tif").write_bytes(blurred.read_bytes())
            (blurred.parent / "other.tif").replace(blurred)
        else:
            with blurred.open("ab") as file:
                file.write(b"\0")

    with pytest.raises(MissingInput if how == "removed" else InputChanged) as caught:
        restore_files([blurred], blurred.parent / "out.tif", RestoreOptions(), progress=change)
    assert str(blurred) in str(caught.value)
    assert not (blurred.parent / "out.tif").exists()


def restorer(bytes_per_pixel: int, halo: int, multiple: int) -> Placed:
    def unchanged(x: Tensor) -> Tensor:
        return x

    placed = Placed(unchanged, torch.device("cpu"))
    placed.bytes_per_pixel, placed.halo, placed.multiple = bytes_per_pixel, halo, multiple
    return placed


@pytest.mark.parametrize("memory", [0.1, 0.75, 2.0])
@pytest.mark.parametrize("multiple", [8, 32])
def test_the_tile_is_the_largest_that_memory_holds(memory: float, multiple: int) -> None:
    """`--max-memory` is in GiB, and never makes a tile larger than asked for."""
    placed = restorer(1024, 16, multiple)
    bench = Workbench(RestoreOptions(max_memory=memory, tile_size=0), [])
    side = bench.tile_size(LARGE, placed)
    assert side % multiple == 0
    assert side**2 * 1024 <= memory * 2**30 < (side + multiple) ** 2 * 1024
    assert Workbench(RestoreOptions(max_memory=memory, tile_size=64), []).tile_size(LARGE, placed) == 64
    assert Workbench(RestoreOptions(tile_size=0), []).tile_size(LARGE, placed) == 0


@pytest.mark.parametrize(
    ("overlap", "halo", "fits"), [(None, 140, True), (None, 170, False), (170, 0, False), (0, 900, True)]
)
def test_a_tile_must_hold_its_context(overlap: int | None, halo: int, fits: bool) -> None:
    """0.1 GiB are 320 px of 1024 bytes: 140 px on each side leave something to keep, 170 px nothing."""
    bench, placed = Workbench(RestoreOptions(max_memory=0.1, overlap=overlap), []), restorer(1024, halo, 32)
    if fits:
        assert bench.tile_size(LARGE, placed) == 320
    else:
        with pytest.raises(OutOfMemory, match="do not suffice for a tile of 384 px"):
            bench.tile_size(LARGE, placed)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_threads_are_as_many_as_wanted(blurred: Path) -> None:
    for number in (2, 1):
        restore_files([blurred], blurred.parent / f"{number}.tif", RestoreOptions(threads=number))
        assert torch.get_num_threads() == number


@pytest.mark.parametrize("options", [RestoreOptions, AssessOptions])
@pytest.mark.parametrize("number", [-1, 1025, 100_000])
def test_threads_that_no_machine_starts_are_refused(options: Callable[..., object], number: int) -> None:
    with pytest.raises(ConfigError, match=f"threads is {number}, wanted a whole number of at least 0 and at most 1024"):
        options(threads=number)


OTHERS = {
    "normalize": "none", "tile_size": 512, "overlap": 8, "precision": "bf16", "output_format": "png", "channels": "0",
    "pages": "0", "pixel_size": 0.5, "nonfinite": "mask", "route": "auto", "tta": True,
}  # fmt: skip
HARMLESS = {
    "weights": "fluorescence-nano", "threads": 1, "max_pixels": 10**6, "resume": True, "overwrite": True,
    "allow_labels": True, "fail_fast": True, "seed": 1, "keep_tile": True,
}  # fmt: skip
ONLY_ONE = {"method", "device"}  # the first has one value for networks, the second on a machine without a GPU
TOLD = {"psf", "num_iter", "balance"}  # of classical methods
ROUTED = {"reader", "min_confidence"}  # of routes: the first is told by its hash
SLIDES = {"compression": "zstd", "quality": 80, "on_bad_tile": "mask", "max_memory": 1.0}
DERIVED = {"slide_route"}


def test_every_option_decides_the_output_or_is_harmless() -> None:
    """An output is complete for --resume if all that decides it is the same; weights are told by their hash."""
    known = OTHERS.keys() | HARMLESS.keys() | ONLY_ONE | TOLD | ROUTED | SLIDES.keys() | DERIVED
    assert {f.name for f in fields(RestoreOptions)} == known
    usual = RestoreOptions().decisive()
    assert usual.keys() == OTHERS.keys() | ONLY_ONE
    for name, value in OTHERS.items():
        assert RestoreOptions(**{name: value}).decisive() != usual
    for name, value in HARMLESS.items():
        assert RestoreOptions(**{name: value}).decisive() == usual
    for name, value in SLIDES.items():
        assert RestoreOptions(**{name: value}).decisive() == usual
        assert RestoreOptions(**{name: value}).decisive_for_slides("off") != RestoreOptions().decisive_for_slides("off")
    assert RestoreOptions().decisive_for_slides("auto") != RestoreOptions().decisive_for_slides("off")
    taken = "cuda" if torch.cuda.is_available() else "cpu"
    assert RestoreOptions(device=taken).decisive() == usual, "auto is the device that is taken"


def test_of_slides_only_what_is_blurred_is_restored_unless_the_user_wants_all() -> None:
    assert RestoreOptions().slide_route == "auto"
    assert RestoreOptions(method="dbmid").slide_route == "auto"
    assert RestoreOptions(route="off").slide_route == "off"
    assert RestoreOptions().route == "off"


def test_what_classical_methods_are_told_decides_the_output(blurred: Path) -> None:
    """Run again with --resume, the same is complete; another PSF, method, balance or number of steps is refused."""
    told = {"method": "richardson-lucy", "psf": "disk:2", "num_iter": 2}
    out = blurred.parent / "out.tif"
    restore_files([blurred], out, RestoreOptions(**told))
    (outcome,) = restore_files([blurred], out, RestoreOptions(**told, resume=True))
    assert outcome.status == "complete"
    wiener = {"method": "wiener", "num_iter": None}
    for other in ({"psf": "disk:3"}, {"num_iter": 3}, {"num_iter": None}, wiener, wiener | {"balance": 0.1}):
        with pytest.raises(ResumeError):
            restore_files([blurred], out, RestoreOptions(**(told | other), resume=True))


def test_the_output_says_how_it_was_made(blurred: Path) -> None:
    restore_files([blurred], blurred.parent / "out.tif", RestoreOptions(overlap=32))
    found = read_provenance(blurred.parent / "out.tif")
    assert found is not None
    assert json.loads(found["options"]) == RestoreOptions(overlap=32).decisive()
    assert json.loads(found["weights file sha256"]).keys() == {"fluorescence-small"}
    assert found["input"] == "in.tif"
