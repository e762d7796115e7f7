"""`dgno restore --tta` as a user calls it: the mean over the flips and quarter turns of the image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile

import dgno
from command_line import Cli
from dgno.io.open_slide import open_slide
from dgno.io.provenance import read_provenance
from dgno.restoration.batch_report import REPORT
from slide_files import tissue, write_pyramid
from tiny_weights import save_tiny

SIDE = 64  # px, a multiple of what every network extends images to


def test_turned_images_give_turned_results(cli: Cli, tmp_path: Path) -> None:
    """But for a gray value, by rounding; the output and the report say how it was made."""
    image = (2**14 + 2**13 * np.random.default_rng(0).standard_normal((SIDE, SIDE)).cumsum(1) / 8).clip(0, 65535)
    results = {}
    (tmp_path / "in").mkdir()
    for name, pixels in (("as-it-is", image), ("turned", np.rot90(image)), ("mirrored", image[:, ::-1])):
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", pixels.astype(np.uint16))
    assert cli("restore", tmp_path / "in", "-o", tmp_path / "out", "--tta").status == 0
    assert cli("restore", tmp_path / "in", "-o", tmp_path / "plain").status == 0
    for name in ("as-it-is", "turned", "mirrored"):
        results[name] = tifffile.imread(tmp_path / "out" / f"{name}.tif").astype(int)
    assert (abs(results["turned"] - np.rot90(results["as-it-is"])) <= 1).mean() > 0.999
    assert (abs(results["mirrored"] - results["as-it-is"][:, ::-1]) <= 1).mean() > 0.999
    plain = tifffile.imread(tmp_path / "plain" / "as-it-is.tif").astype(int)
    assert (abs(results["as-it-is"] - plain) > 1).mean() > 0.1
    provenance = read_provenance(tmp_path / "out" / "turned.tif")
    assert provenance is not None and json.loads(provenance["options"])["tta"] is True
    assert '"tta": true' in (tmp_path / "out" / REPORT).read_text()


def test_the_function_gives_what_the_command_gives(cli: Cli, tmp_path: Path) -> None:
    """Also of sides that are no multiples, and in tiles."""
    weights = save_tiny(tmp_path, 1)
    image = np.random.default_rng(0).integers(0, 2**16, (70, 90), np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", image)
    asked = ("--weights", weights, "--tta", "--tile", "64", "--overlap", "16")
    assert cli("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", *asked).status == 0
    found = dgno.restore(image, weights=weights, tta=True, tile_size=64, overlap=16)
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), found)
    assert not np.array_equal(dgno.restore(image, weights=weights, tile_size=64, overlap=16), found)


def _pixels(path: Path) -> np.ndarray:
    with open_slide(path) as slide:
        height, width = slide.facts.shape
        return slide.read((0, height), (0, width)).astype(int)


def test_slides_too_and_by_workers(cli: Cli, tmp_path: Path) -> None:
    """A mirrored slide gives the mirrored result but for a gray value; two processes give what one gives."""
    pixels = tissue(2 * SIDE, 2 * SIDE)
    write_pyramid(tmp_path / "a.tiff", pixels, tile=SIDE)
    write_pyramid(tmp_path / "mirrored.tiff", pixels[:, ::-1], tile=SIDE)
    asked = ("--weights", save_tiny(tmp_path, 3), "--route", "off", "--device", "cpu")
    for name, more in (("a", ()), ("mirrored", ()), ("a", ("--workers", "2"))):
        out = tmp_path / f"{name}{'-by-two' if more else ''}-out.tiff"
        assert cli("restore", tmp_path / f"{name}.tiff", "-o", out, *asked, "--tta", *more).status == 0
    assert cli("restore", tmp_path / "a.tiff", "-o", tmp_path / "plain.tiff", *asked).status == 0
    found = _pixels(tmp_path / "a-out.tiff")
    assert (abs(_pixels(tmp_path / "mirrored-out.tiff")[:, ::-1] - found) <= 1).mean() > 0.999
    assert (abs(_pixels(tmp_path / "plain.tiff") - found) > 1).mean() > 0.01
    assert np.array_equal(_pixels(tmp_path / "a-by-two-out.tiff"), found)
    assert '"tta": true' in (tmp_path / "a-out.tiff.report.json").read_text()
