"""Slides as OME-Zarr, read back by zarr, ome-zarr and ome-zarr-models."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models import open_ome_zarr
from slide_cases import Source, all_levels, pixels_of

from dgno.errors import OutputError, OutputFormat
from dgno.io.provenance import read_provenance
from dgno.io.slide import SlideFacts
from dgno.io.slide_write import write_slide

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # of the readers about zarr 3
COLOURS = SlideFacts((1030, 1100), np.dtype("uint8"), 3, pixel_size=(0.25, 0.5), magnification=20.0, icc_profile=b"icc")
STACK = SlideFacts(
    (530, 600),
    np.dtype("uint16"),
    axes="ZCT",
    sizes=(2, 3, 2),
    value_range=(0.0, 4095.0),
    channel_names=("DAPI", "GFP", "Cy5 µ"),
    pixel_size=(0.5, 0.5),
)
VERSIONS = ["0.4", "0.5"]


def levels_of(path: Path, facts: SlideFacts) -> list[np.ndarray]:
    """(planes, h, w, samples) of every level, planes in the order of the facts."""
    group = zarr.open_group(path, mode="r")
    levels = []
    for number in range(len(list(group.array_keys()))):
        array = group[str(number)][:]  # t, c, z, y, x
        if facts.samples == 3:
            levels.append(np.moveaxis(array, 1, -1).reshape(-1, *array.shape[-2:], 3))
        else:
            there = [axis for axis in "TCZ" if axis in facts.axes]
            planes = array.reshape(*(facts.sizes[facts.axes.index(axis)] for axis in there), *array.shape[-2:])
            order = [there.index(axis) for axis in facts.axes]
            planes = planes.transpose(*order, len(order), len(order) + 1)
            levels.append(planes.reshape(-1, *array.shape[-2:], 1))
    return levels


@pytest.mark.parametrize("ngff", VERSIONS)
@pytest.mark.parametrize(
    "facts, compression", [(COLOURS, "deflate"), (STACK, "deflate"), (COLOURS, "zstd"), (STACK, "none")]
)
def test_all_levels_read_back_equal(tmp_path, facts, compression, ngff):
    path, pixels, shares = tmp_path / "out.ome.zarr", pixels_of(facts), []
    source = Source(pixels)
    settings = {"kind": "ome-zarr", "compression": compression, "ngff": ngff}
    write_slide(path, facts, source, **settings, progress=shares.append, workers=2)
    found = levels_of(path, facts)
    for plane in range(len(pixels)):
        for level, wanted in zip(found, all_levels(pixels[plane]), strict=True):
            assert level.dtype == facts.dtype
            np.testing.assert_array_equal(level[plane], wanted)
    assert [name.name for name in tmp_path.iterdir()] == [path.name] and shares[-1] == 1.0


@pytest.mark.parametrize("ngff", VERSIONS)
@pytest.mark.parametrize("facts", [COLOURS, STACK, SlideFacts((9, 7), np.dtype("float32"))])
def test_the_metadata_are_valid_and_complete(tmp_path, facts, ngff):
    path = tmp_path / "out.ome.zarr"
    write_slide(path, facts, Source(pixels_of(facts)), kind="ome-zarr", ngff=ngff, provenance={"run": "é"})
    attributes = open_ome_zarr(path).attributes
    image = (attributes if ngff == "0.4" else attributes.ome).multiscales[0]
    assert [axis.name for axis in image.axes] == ["t", "c", "z", "y", "x"]
    for number, dataset in enumerate(image.datasets):
        rows, columns = facts.pixel_size or (1.0, 1.0)
        assert dataset.coordinateTransformations[0].scale == [1, 1, 1, rows * 2**number, columns * 2**number]
    assert {axis.unit for axis in image.axes[-2:]} == {"micrometer" if facts.pixel_size else None}
    text = (path / (".zattrs" if ngff == "0.4" else "zarr.json")).read_text()
    document = json.loads(text) if ngff == "0.4" else json.loads(text)["attributes"]
    own, omero = document["dgno"], document.get("ome", document)["omero"]
    assert own["provenance"] == {"run": "é"} and own["samples"] == facts.samples
    assert own["value_range"] == list(facts.value_range) and own.get("magnification") == facts.magnification
    assert base64.b64decode(own.get("icc_profile", "")) == (facts.icc_profile or b"")
    assert read_provenance(path) == {"run": "é"}
    names = ["red", "green", "blue"] if facts.samples == 3 else list(facts.channel_names) or ["channel 0"]
    assert [channel["label"] for channel in omero["channels"]] == names
    assert omero["channels"][0]["window"]["end"] == facts.value_range[1]


@pytest.mark.parametrize("ngff", VERSIONS)
def test_ome_zarr_finds_all_levels(tmp_path, ngff):
    path, pixels = tmp_path / "out.ome.zarr", pixels_of(COLOURS)
    write_slide(path, COLOURS, Source(pixels), kind="ome-zarr", ngff=ngff)
    node = next(iter(Reader(parse_url(path))()))
    for found, wanted in zip(node.data, all_levels(pixels[0]), strict=True):
        np.testing.assert_array_equal(np.moveaxis(np.asarray(found)[0, :, 0], 0, -1), wanted)


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 1100),
    st.integers(1, 1100),
    st.sampled_from(["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]),
    st.sampled_from([1, 3]),
    st.sampled_from(VERSIONS),
)
def test_any_size_and_dtype(tmp_path_factory, height, width, dtype, samples, ngff):
    facts = SlideFacts((height, width), np.dtype(dtype), samples)
    path, pixels = tmp_path_factory.mktemp("any") / "out.zarr", pixels_of(facts)
    write_slide(path, facts, Source(pixels), kind="ome-zarr", ngff=ngff)
    for found, wanted in zip(levels_of(path, facts), all_levels(pixels[0]), strict=True):
        np.testing.assert_array_equal(found[0], wanted)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("ngff", VERSIONS)
def test_the_same_bytes_with_any_number_of_threads_and_a_list_of_all_chunks(tmp_path, ngff):
    facts = replace(STACK, sizes=(1, 2, 1))
    pixels = pixels_of(facts)
    for number, workers in enumerate((1, 1, 3)):
        folder = tmp_path / str(number) / "out.zarr"
        write_slide(folder, facts, Source(pixels), kind="ome-zarr", ngff=ngff, workers=workers)
    first, *others = (contents(tmp_path / str(number) / "out.zarr") for number in range(3))
    assert others == [first, first]
    chunks = json.loads(first["complete.json"])["chunks"]
    documents = (".zattrs", ".zgroup", ".zarray", "zarr.json", "complete.json")
    assert {key: f"{zlib.crc32(data):08x}" for key, data in first.items() if not key.endswith(documents)} == chunks


@pytest.mark.parametrize("ngff", VERSIONS)
def test_blank_chunks_are_left_out_and_read_as_fill(tmp_path, ngff):
    facts, path = SlideFacts((3000, 2000), np.dtype("uint8"), 3, fill=250.0), tmp_path / "out.zarr"
    pixels = np.full((1, 3000, 2000, 3), 250, np.uint8)
    pixels[0, :512, :512] = 7
    source = Source(pixels)
    write_slide(
        path, facts, source, kind="ome-zarr", ngff=ngff, blank=lambda rows, columns, plane: rows[0] + columns[0]
    )
    for found, wanted in zip(levels_of(path, facts), all_levels(pixels[0]), strict=True):
        np.testing.assert_array_equal(found[0], wanted)
    chunks = json.loads((path / "complete.json").read_text())["chunks"]
    assert (
        len(source.asked) == 1
        and sum(crc is not None for crc in chunks.values()) == 4
        and len(chunks) == 24 + 6 + 2 + 1
    )


@pytest.mark.parametrize("ngff", VERSIONS)
@pytest.mark.parametrize("fill", [np.nan, np.inf, -1.5])
def test_any_fill_of_floats(tmp_path, ngff, fill):
    facts, path = SlideFacts((20, 30), np.dtype("float32"), fill=fill), tmp_path / "out.zarr"
    write_slide(path, facts, Source(np.zeros(0)), kind="ome-zarr", ngff=ngff, blank=lambda *window: True)
    np.testing.assert_array_equal(levels_of(path, facts)[0], np.full((1, 20, 30, 1), fill, np.float32))


def test_what_ome_zarr_cannot_hold_is_refused(tmp_path):
    both = replace(COLOURS, axes="C", sizes=(2,))
    with pytest.raises(OutputFormat, match=r"colours as channels.*\.ome\.tif"):
        write_slide(tmp_path / "out.zarr", both, Source(np.zeros(0)), kind="ome-zarr")
    for compression in ("jpeg", "lzw"):
        with pytest.raises(OutputFormat, match=f"has no {compression}.*deflate"):
            write_slide(tmp_path / "out.zarr", COLOURS, Source(np.zeros(0)), kind="ome-zarr", compression=compression)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", [1, 9, 14])  # the first and the last chunk of level 0, the last of all
def test_other_pixels_than_those_given_are_noticed(tmp_path, monkeypatch, damaged):
    from dgno.io import zarr_write

    real, calls = zarr_write.compressed, []

    def damaging(planes, compression):
        calls.append(planes)
        return real(planes ^ 1 if len(calls) == damaged else planes, compression)

    monkeypatch.setattr(zarr_write, "compressed", damaging)
    with pytest.raises(OutputError, match=r"chunk .* does not read back the same"):
        write_slide(tmp_path / "out.zarr", COLOURS, Source(pixels_of(COLOURS)), kind="ome-zarr")
    assert list(tmp_path.iterdir()) == []
