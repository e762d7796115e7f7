"""What is known of a slide comes back from every format that dgno writes it in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from dgno.io.image_slide import ImageSlide
from dgno.io.open_slide import open_slide
from dgno.io.slide import SlideFacts
from dgno.io.slide_output import ENDINGS
from dgno.io.slide_write import write_slide

COLOURS = SlideFacts(
    (600, 520), np.dtype("uint8"), 3, pixel_size=(0.25, 0.5), magnification=40.0, icc_profile=b"icc" * 50, fill=255.0
)
GRAY = SlideFacts(
    (520, 600), np.dtype("uint16"), value_range=(0.0, 4095.0), pixel_size=(0.5, 0.5), magnification=20.0,
    channel_names=("DAPI",),
)  # fmt: skip
CASES = {
    "colours": COLOURS,
    "gray": GRAY,
    "nothing known": SlideFacts((520, 600), np.dtype("uint8")),
    "signed": replace(GRAY, dtype=np.dtype("int8"), value_range=(-128.0, 127.0)),
    "floats": replace(GRAY, dtype=np.dtype("float32"), value_range=(-1.5, 3.25)),
    "small": replace(GRAY, shape=(90, 70)),
    "channels": replace(GRAY, axes="C", sizes=(3,), channel_names=("DAPI", "GFP", "Cy5")),
    "channels without names": replace(GRAY, axes="C", sizes=(2,), channel_names=()),
}
KNOWN = ("shape", "dtype", "samples", "axes", "sizes", "value_range", "magnification", "channel_names", "icc_profile")


def written(path: Path, facts: SlideFacts) -> SlideFacts:
    shape = (facts.plane_count, *facts.shape, facts.samples)
    pixels = np.random.default_rng(0).integers(0, 100, shape).astype(facts.dtype)
    kind = next(kind for kind, ending in ENDINGS.items() if path.name.startswith(kind))
    write_slide(path, facts, lambda r, c, p: pixels[p, slice(*r), slice(*c)], kind=kind, provenance={"software": "x"})
    with open_slide(path) as slide:
        return slide.facts


@pytest.mark.parametrize("kind", ENDINGS)
@pytest.mark.parametrize("name", CASES)
def test_facts_in_are_facts_out(tmp_path: Path, name: str, kind: str) -> None:
    facts = CASES[name]
    if kind == "tiff-pyramid" and facts.plane_count > 1:
        pytest.skip("it holds one plane")
    found = written(tmp_path / f"{kind}{ENDINGS[kind]}", facts)
    for key in KNOWN:
        assert getattr(found, key) == getattr(facts, key), key
    assert found.pixel_size == (pytest.approx(facts.pixel_size, rel=1e-6) if facts.pixel_size else None)
    assert found.fill == facts.fill


def test_a_description_does_not_grow_from_one_file_to_the_next(tmp_path: Path) -> None:
    first = written(tmp_path / "tiff-pyramid1.tif", replace(GRAY, stored=replace(GRAY.stored, description="a liver")))
    second = written(tmp_path / "tiff-pyramid2.tif", first)
    assert first.stored.description == second.stored.description == "a liver"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"magnification": "forty", "value_range": [3], "limits": 7, "icc_profile": "#", "channel_names": "x"},
        {"magnification": -1, "value_range": [5, 5], "limits": [9, "x"], "icc_profile": 3, "channel_names": None},
        {"magnification": None, "value_range": ["nan", 1]},
        [1, 2],
        "dgno",
    ],
)
def test_what_makes_no_sense_is_passed_over(tmp_path: Path, nonsense: object) -> None:
    path = tmp_path / "ome-zarr.ome.zarr"
    written(path, GRAY)
    document = json.loads((path / ".zattrs").read_text())
    (path / ".zattrs").write_text(json.dumps(document | {"dgno": nonsense}))
    with open_slide(path) as slide:
        facts = slide.facts
    assert facts.magnification is None and facts.icc_profile is None and facts.channel_names == ("DAPI",)
    assert facts.value_range == (0.0, 1023.0)  # of the pixels


def test_an_orientation_that_zarr_has_no_place_for_is_told(tmp_path: Path) -> None:
    """Its pixels are as stored, like those of the other formats, which keep the tag."""
    exif = Pillow.Exif()
    exif[274] = 6
    Pillow.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / "x.jpg", exif=exif)
    with ImageSlide(tmp_path / "x.jpg") as slide:
        for kind, ending in ENDINGS.items():
            notes = write_slide(tmp_path / f"y{ending}", slide.facts, lambda r, c, p: slide.read(r, c), kind=kind)
            assert any("orientation" in note and "right by 90" in note for note in notes) == (kind == "ome-zarr")
            with open_slide(tmp_path / f"y{ending}") as again:
                assert again.facts.stored.orientation == (1 if kind == "ome-zarr" else 6)
