"""Steps along Z and T, and how channels are shown, go from every format of stacks to those with a place for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ome_files import STACK

from dgno.arrays import Image
from dgno.io.image import read_image, write_image
from dgno.io.image_slide import ImageSlide
from dgno.io.open_slide import open_slide
from dgno.io.plane_facts import of_ome, seconds, step
from dgno.io.slide import Slide, SlideFacts
from dgno.io.slide_write import write_slide
from dgno.stored import PlaneFacts, Stored

VALUES = np.tile(STACK.reshape(1, 3, 2, 9, 8), (2, 1, 1, 1, 1))  # T, Z, C, Y, X
SAID = PlaneFacts(0.3, 1.5, ("FF0000", "00FF80"), ((100.0, 2000.0), (50.0, 3000.0)))
RAMPS = [np.outer(end, np.linspace(0, 1, 256)).round().astype(np.uint8) for end in ((255, 0, 0), (0, 255, 128))]


def imagej(path: Path, **more: object) -> None:
    said = {"unit": "um", "spacing": 0.3, "finterval": 1.5, "LUTs": RAMPS, "Ranges": (100.0, 2000.0, 50.0, 3000.0)}
    tifffile.imwrite(path, VALUES, imagej=True, resolution=(4, 4), metadata={"axes": "TZCYX", **said, **more})


def ome(path: Path) -> None:
    steps = {"PhysicalSizeZ": 300, "PhysicalSizeZUnit": "nm", "TimeIncrement": 1500, "TimeIncrementUnit": "ms"}
    sizes = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    channels = {"Color": [0xFF0000FF - 2**32, 0x00FF80FF]}
    tifffile.imwrite(path, VALUES, ome=True, metadata={"axes": "TZCYX", **sizes, **steps, "Channel": channels})


def zarr(path: Path) -> None:
    stored = Stored(planes=PlaneFacts(SAID.z_step, SAID.time_step, SAID.colours, SAID.shown, (5.0, 100.0, 200.0)))
    said = SlideFacts((9, 8), VALUES.dtype, 1, "TZC", (2, 3, 2), (0, 4095), (0.25, 0.25), stored=stored)
    planes = VALUES.reshape(-1, 9, 8, 1)
    write_slide(path, said, lambda rows, columns, plane: planes[plane][slice(*rows), slice(*columns)], kind="ome-zarr")


def opened(path: Path) -> Slide:
    return open_slide(path) if path.is_dir() else ImageSlide(path)


MAKERS = {"x.tif": imagej, "x.ome.tif": ome, "x.ome.zarr": zarr}


def converted(slide: Slide, path: Path) -> tuple[PlaneFacts, tuple[str, ...]]:
    kind = "ome-zarr" if path.suffix == ".zarr" else "ome-tiff"
    notes = write_slide(path, slide.facts, lambda r, c, p: slide.read(r, c, plane=p), kind=kind)  # type: ignore[arg-type]
    with opened(path) as again:
        return again.facts.stored.planes, notes


@pytest.mark.parametrize("output", ["y.ome.tif", "y.ome.zarr"])
@pytest.mark.parametrize("name", MAKERS)
def test_steps_and_colours_are_kept(tmp_path: Path, name: str, output: str) -> None:
    MAKERS[name](tmp_path / name)
    with opened(tmp_path / name) as slide:
        found, notes = converted(slide, tmp_path / output)
    assert found.z_step == pytest.approx(0.3)
    assert found.time_step == pytest.approx(1.5)
    assert found.colours == SAID.colours
    if name != "x.ome.tif":
        assert found.shown == (SAID.shown if output == "y.ome.zarr" else ())
        assert any("shown" in note for note in notes) == (output != "y.ome.zarr")
    if name == "x.ome.zarr":
        assert found.origin == ((5.0, 100.0, 200.0) if output == "y.ome.zarr" else None)
        assert any("translation" in note for note in notes) == (output != "y.ome.zarr")


def test_images_of_imagej_keep_them_in_ome(tmp_path: Path) -> None:
    imagej(tmp_path / "x.tif")
    write_image(tmp_path / "y.ome.tif", read_image(tmp_path / "x.tif"))
    found = read_image(tmp_path / "y.ome.tif").stored.planes
    assert (found.z_step, found.time_step, found.colours) == (0.3, 1.5, SAID.colours)


def test_what_ome_has_no_place_for_is_told(tmp_path: Path) -> None:
    fire = [np.stack([np.arange(256)[::-1], np.arange(256), np.arange(256)]).astype(np.uint8)] * 2
    imagej(tmp_path / "x.tif", Info="objective 60x", Labels=["a"] * 12, LUTs=fire)
    notes = write_image(tmp_path / "y.ome.tif", read_image(tmp_path / "x.tif"))
    assert any("look-up tables but for the colours at their ends, info, labels of slices" in note for note in notes)


def test_nothing_is_told_of_what_is_not_there(tmp_path: Path) -> None:
    assert write_image(tmp_path / "y.ome.tif", Image(VALUES, "TZCYX", (0, 4095))) == ()


def test_attributes_of_others_are_counted(tmp_path: Path) -> None:
    zarr(tmp_path / "x.ome.zarr")
    attributes = json.loads((tmp_path / "x.ome.zarr/.zattrs").read_text())
    (tmp_path / "x.ome.zarr/.zattrs").write_text(json.dumps(attributes | {"well": "A1"}))
    with open_slide(tmp_path / "x.ome.zarr") as slide:
        assert slide.facts.properties["attributes.well"] == '"A1"'
        assert any("1 property is left out" in note for note in converted(slide, tmp_path / "y.ome.zarr")[1])


@pytest.mark.parametrize("said", ["", "x", "nan", "inf", 0, None, -0.0])
def test_steps_that_make_no_sense_are_unknown(said: object) -> None:
    assert step(said, 1.0) is None
    assert step(2, None) is None
    assert step("-2.5", 1e-3) == pytest.approx(0.0025)


def test_mega_is_not_milli() -> None:
    """Of the units of OME-XML, Mm and Ms differ from mm and ms in a capital alone; others may be written anyhow."""
    said = {"PhysicalSizeZ": "0.5", "TimeIncrement": "2"}
    units = {"PhysicalSizeZUnit": "mm", "TimeIncrementUnit": "ms"}
    small, large = (of_ome(said | {k: f"{prefix}{v[1]}" for k, v in units.items()}, []) for prefix in "mM")
    assert (small.z_step, small.time_step) == (500.0, 0.002)
    assert (large.z_step, large.time_step) == (None, 2e6)
    assert seconds("MSEC") == 1e-3
