"""How an OME-Zarr is shown, and where its levels lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgno.io.open_slide import open_slide
from dgno.io.plane_facts import display_of, of_omero
from dgno.io.pyramid import halved
from dgno.io.slide import SlideFacts
from dgno.io.slide_write import write_slide
from dgno.stored import PlaneFacts, Stored

WINDOWS = [{"min": 0, "max": 65535, "start": 100.0, "end": 4000.0}, {"min": 5, "max": 900, "start": 5.0, "end": 9.0}]
CHANNEL = {"color": "FF8000", "coefficient": 1, "family": "linear", "inverted": False}
OMERO = {
    "channels": [
        {"label": name, "active": name == "b", "window": window, **CHANNEL}
        for name, window in zip("ab", WINDOWS, strict=True)
    ],
    "rdefs": {"model": "greyscale", "projection": "normal", "defaultT": 0, "defaultZ": 2},
}


def write(path: Path, facts: SlideFacts, **more: Any) -> None:
    pixels = np.random.default_rng(0).random((facts.plane_count, *facts.shape, 1)).astype(facts.dtype)
    write_slide(path, facts, lambda r, c, p: pixels[p][slice(*r), slice(*c)], kind="ome-zarr", **more)


def attributes(path: Path) -> Any:
    if (path / ".zattrs").exists():
        return json.loads((path / ".zattrs").read_text())
    return json.loads((path / "zarr.json").read_text())["attributes"]["ome"]


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_the_display_of_the_input_is_that_of_the_output(tmp_path: Path, ngff: str) -> None:
    write(
        tmp_path / "x.ome.zarr",
        SlideFacts((9, 8), np.dtype("uint16"), 1, "CZ", (2, 3), (0, 4095), channel_names=("a", "b")),
    )
    said = attributes(tmp_path / "x.ome.zarr") | {"omero": OMERO}
    (tmp_path / "x.ome.zarr" / ".zattrs").write_text(json.dumps(said))
    with open_slide(tmp_path / "x.ome.zarr") as slide:
        write(tmp_path / "y.ome.zarr", slide.facts, ngff=ngff)
    found = attributes(tmp_path / "y.ome.zarr")["omero"]
    found.pop("version", None)
    assert found == OMERO


def test_the_display_of_other_channels_is_not_taken_over(tmp_path: Path) -> None:
    stored = Stored(display=display_of(OMERO))
    write(tmp_path / "x.ome.zarr", SlideFacts((9, 8), np.dtype("uint16"), 1, "C", (3,), (0, 4095), stored=stored))
    found = attributes(tmp_path / "x.ome.zarr")["omero"]
    assert [channel["active"] for channel in found["channels"]] == [True] * 3
    assert found["rdefs"]["defaultZ"] == 0


@pytest.mark.parametrize("omero", [
    None, 3, {}, {"channels": [3, {"active": "yes", "window": {"min": "0", "max": 1}}], "rdefs": 7},
    {"channels": [{"window": {"min": 5, "max": 5}, "coefficient": float("nan"), "family": "<b>"}],
     "rdefs": {"defaultZ": -1, "defaultT": True, "model": ["color"]}},
    {"channels": None}, {"channels": [{"coefficient": 10**400, "window": {"min": 0, "max": 10**400, "end": 10**400}}]},
])  # fmt: skip
def test_a_display_that_makes_no_sense_is_passed_over(omero: object) -> None:
    found = display_of(omero)
    assert not any(found["channels"]) and not found["rdefs"]
    assert of_omero(omero)[1] == ()


def grid(shape: Sequence[int], steps: Sequence[float], start: Sequence[float]) -> np.ndarray:
    """The places (h, w, 2) of pixels."""
    places = [first + step * np.arange(n) for n, step, first in zip(shape, steps, start, strict=True)]
    return np.stack(np.meshgrid(*places, indexing="ij"), -1)


SIZES = [((1100, 1300), (0.5, 0.25)), ((1030, 1), (0.5, 0.25)), ((1100, 600), None)]


@pytest.mark.parametrize("origin", [None, (0.0, 100.0, 200.0)])
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_every_level_shows_the_same_place(
    tmp_path: Path, shape: tuple[int, int], size: tuple[float, float] | None, origin: tuple[float, float, float] | None
) -> None:
    """A pixel stands in the middle of those that it is the mean of: halving a ramp of places gives the places."""
    facts = SlideFacts(shape, np.dtype("uint8"), pixel_size=size, stored=Stored(planes=PlaneFacts(origin=origin)))
    write(tmp_path / "x.ome.zarr", facts)
    (rows, columns), (_, top, left) = size or (1.0, 1.0), (origin if size and origin else (0.0, 0.0, 0.0))
    wanted = grid(shape, (rows, columns), (top, left))
    for dataset in attributes(tmp_path / "x.ome.zarr")["multiscales"][0]["datasets"]:
        scale, *more = dataset["coordinateTransformations"]
        moved = more[0]["translation"][-2:] if more else [0.0, 0.0]
        assert scale["type"] == "scale" and [one["type"] for one in more] in ([], ["translation"])
        np.testing.assert_allclose(grid(wanted.shape[:2], scale["scale"][-2:], moved), wanted, rtol=1e-12)
        wanted = halved(wanted)
    with open_slide(tmp_path / "x.ome.zarr") as slide:
        assert slide.facts.stored.planes.origin == (origin if size else None)
