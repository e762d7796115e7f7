"""Slides of some blocks, and weights that restore one in some hundredths of a second, for tests of clusters."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import tifffile
import torch

from dgno.networks import DGNOConfig, build
from dgno.weights.store import Card, save_weights
from slide_files import tissue, write_pyramid, write_svs

OPTIONS = ["--weights", "tiny.safetensors", "--route", "off", "--tile", "160", "--threads", "1", "--device", "cpu"]


def furnish(place: Path) -> None:
    """Two slides of one name in two folders, an image, and a slide with a broken tile; each alone, too."""
    for name in ("in/a", "in/b"):
        (place / name).mkdir(parents=True)
    write_pyramid(place / "in/a/slide.tif", tissue(500, 700))
    write_svs(place / "in/b/slide.svs", tissue(300, 320, seed=4))
    tifffile.imwrite(place / "in/image.tif", tissue(200, 260, seed=5), photometric="rgb")
    broken = write_svs(place / "in/broken.svs", tissue(300, 320, seed=6))
    with tifffile.TiffFile(broken) as tiff:
        start, count = tiff.pages[0].dataoffsets[1], tiff.pages[0].databytecounts[1]
    with broken.open("r+b") as file:
        file.seek(start + count // 3)
        file.write(bytes(count - count // 3))
    torch.manual_seed(5)
    config = DGNOConfig(
        channels=3, width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper", scan_block=32, shallow_norm="none"
    )
    save_weights(place / "tiny.safetensors", build(config).state_dict(), Card(config, "bright field", "range", halo=16))


def copy_of(place: Path, name: str, source: str = "in/a/slide.tif") -> str:
    """A slide under another name."""
    shutil.copy(place / source, place / name)
    return name


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of all outputs below a folder; what is left of runs too, reports not."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("report.json")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def results(out: Path) -> dict[str, dict[str, object]]:
    """What report.json says, by the name of the input."""
    return {one["input"]: one for one in json.loads((out / "report.json").read_text())["results"]}


def records(place: Path, output: str) -> int:
    """How many blocks the journal of an output has on the disk; -1 while there is none."""
    path = place / output
    journal = path.with_name(f".{path.name}.dgno-work") / "journal" / "blocks.dat"
    try:
        return journal.stat().st_size // 20_000
    except FileNotFoundError:
        return -1
