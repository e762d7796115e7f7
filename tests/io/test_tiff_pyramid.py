"""Slides as TIFF, read back by tifffile, OpenSlide, tiffslide and ome-types."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import ome_types
import openslide
import pytest
import tifffile
import tiffslide
from hypothesis import given, settings
from hypothesis import strategies as st
from slide_cases import Source, all_levels, pixels_of

from dgno.errors import ConfigError, InputError, OutputError, OutputFormat, TruncatedInput
from dgno.io.image import read_image
from dgno.io.ome import local
from dgno.io.provenance import read_provenance
from dgno.io.slide import SlideFacts
from dgno.io.slide_output import ENDINGS, slide_kind
from dgno.io.slide_write import write_slide
from dgno.stored import Stored

COLOURS = SlideFacts((1030, 1100), np.dtype("uint8"), 3, pixel_size=(0.25, 0.5), magnification=20.0, icc_profile=b"icc")
STACK = SlideFacts(
    (530, 600),
    np.dtype("uint16"),
    axes="TC",
    sizes=(2, 3),
    value_range=(0.0, 4095.0),
    channel_names=("DAPI", "GFP", "Cy5 µ"),
    pixel_size=(0.5, 0.5),
    magnification=10.5,
)
KINDS = ["ome-tiff", "tiff-pyramid"]


def levels_of(path) -> list[np.ndarray]:
    """(planes, h, w, samples) of every level, by tifffile."""
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.series) == 1
        return [
            np.stack([page.asarray().reshape(*level.keyframe.shape[:2], -1) for page in level.pages])
            for level in tiff.series[0].levels
        ]


def test_names_tell_the_format():
    for kind, ending in ENDINGS.items():
        assert slide_kind(f"a.b{ending}") == kind
    names = {"A.OME.TIFF": "ome-tiff", "x.tiff": "tiff-pyramid", "x.zarr": "ome-zarr"}
    assert {name: slide_kind(name) for name in names} == names
    with pytest.raises(OutputFormat, match=r"\.svs.*choose one of \.ome\.tiff"):
        slide_kind("x.svs")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd", "none"])
def test_all_levels_read_back_equal(tmp_path, kind, compression):
    path, pixels = tmp_path / f"out{ENDINGS[kind]}", pixels_of(COLOURS)
    source, shares = Source(pixels), []
    notes = write_slide(path, COLOURS, source, kind=kind, compression=compression, progress=shares.append)
    for found, wanted in zip(levels_of(path), all_levels(pixels[0]), strict=True):
        np.testing.assert_array_equal(found[0], wanted)
    assert len(source.asked) == 9 and sorted(set(shares)) == shares and shares[-1] == 1.0
    assert [name.name for name in tmp_path.iterdir()] == [path.name]
    assert len(notes) == (kind == "tiff-pyramid")
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        assert tiff.is_bigtiff is False and tiff.pages[0].iccprofile == b"icc"
        assert [level.keyframe.subfiletype for level in series.levels] == [0, 1, 1]
        assert (tiff.pages[0].subifds is not None) == (kind == "ome-tiff")


@settings(max_examples=8, deadline=None)
@given(
    st.integers(2, 1100),  # lines are below: tifffile takes their levels for series
    st.integers(2, 1100),
    st.sampled_from(["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]),
    st.sampled_from([1, 3]),
    st.sampled_from(KINDS),
    st.sampled_from(["deflate", "none"]),
    st.integers(1, 2),
)
def test_any_size_and_dtype(tmp_path_factory, height, width, dtype, samples, kind, compression, workers):
    facts = SlideFacts((height, width), np.dtype(dtype), samples)
    path, pixels = tmp_path_factory.mktemp("any") / "out.tif", pixels_of(facts)
    write_slide(path, facts, Source(pixels), kind=kind, compression=compression, workers=workers)
    for found, wanted in zip(levels_of(path), all_levels(pixels[0]), strict=True):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found[0], wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 40_000), (9000, 4)])
def test_b15_slides_as_narrow_as_a_line(tmp_path, shape, kind):
    facts, path = SlideFacts(shape, np.dtype("uint8")), tmp_path / "out.tif"
    pixels = pixels_of(facts)
    write_slide(path, facts, Source(pixels), kind=kind)
    wanted = all_levels(pixels[0])
    with tifffile.TiffFile(path) as tiff:
        pages = list(tiff.pages) if kind == "tiff-pyramid" else [tiff.pages[0], *tiff.pages[0].pages]
        for page, level in zip(pages, wanted, strict=True):
            np.testing.assert_array_equal(page.asarray().reshape(level.shape), level)


@pytest.mark.parametrize("compression", ["deflate", "none"])
@pytest.mark.parametrize("shape", [(530, 600), (512, 512), (1024, 1024)])
def test_every_plane_has_its_levels_in_ome_tiff(tmp_path, shape, compression):
    facts, path = replace(STACK, shape=shape), tmp_path / "out.ome.tif"
    pixels = pixels_of(facts) & 4095
    write_slide(path, facts, Source(pixels), kind="ome-tiff", compression=compression)
    found = levels_of(path)
    for plane in range(6):
        for level, wanted in zip(found, all_levels(pixels[plane]), strict=True):
            np.testing.assert_array_equal(level[plane], wanted)
    image = read_image(path)
    assert (image.axes, image.pixels.shape, image.channel_names) == ("TCYX", (2, 3, *shape), STACK.channel_names)
    assert (image.value_range, image.pixel_size) == ((0, 4095), (0.5, 0.5))


def test_the_ome_xml_is_valid_and_tells_what_is_known(tmp_path):
    path = tmp_path / "out.ome.tif"
    write_slide(path, STACK, Source(pixels_of(STACK) & 4095), kind="ome-tiff", provenance={"run": "é"})
    ome = ome_types.from_tiff(path)
    pixels = ome.images[0].pixels
    assert (pixels.size_t, pixels.size_c, pixels.size_z, pixels.size_y, pixels.size_x) == (2, 3, 1, 530, 600)
    assert (pixels.physical_size_x, pixels.physical_size_x_unit.value) == (0.5, "µm")
    assert [channel.name for channel in pixels.channels] == list(STACK.channel_names)
    assert pixels.significant_bits == 12
    assert ome.instruments[0].objectives[0].nominal_magnification == 10.5
    assert ome.images[0].objective_settings.id == ome.instruments[0].objectives[0].id
    assert read_provenance(path) == {"run": "é"}
    root = ElementTree.fromstring(
        tifffile.tiffcomment(path)
    )  # the schema fixes the order, which ome-types does not mind
    assert [local(child) for child in root] == ["Instrument", "Image", "StructuredAnnotations"]
    assert [local(child) for child in root[1]] == ["InstrumentRef", "ObjectiveSettings", "Pixels"]


def test_the_document_of_the_input_is_kept_with_its_objective(tmp_path):
    write_slide(tmp_path / "in.ome.tif", STACK, Source(pixels_of(STACK) & 4095), kind="ome-tiff")
    document = tifffile.tiffcomment(tmp_path / "in.ome.tif").replace('Name="DAPI"', 'Name="DAPI" Fluor="old"')
    facts = replace(STACK, magnification=63.0, stored=Stored(ome_xml=document.encode()))
    write_slide(tmp_path / "out.ome.tif", facts, Source(pixels_of(STACK) & 4095), kind="ome-tiff")
    ome = ome_types.from_tiff(tmp_path / "out.ome.tif")
    assert ome.images[0].pixels.channels[0].fluor == "old"
    assert [o.nominal_magnification for i in ome.instruments for o in i.objectives] == [63.0]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("library", [openslide.OpenSlide, tiffslide.TiffSlide])
def test_slide_libraries_read_all_levels(tmp_path, library, samples):
    facts, path = replace(COLOURS, samples=samples), tmp_path / "out.tif"
    pixels = pixels_of(facts)
    write_slide(path, facts, Source(pixels), kind="tiff-pyramid", provenance={"run": "1"})
    wanted = all_levels(pixels[0])
    with library(str(path)) as slide:
        assert slide.level_dimensions == tuple((level.shape[1], level.shape[0]) for level in wanted)
        name = library.__name__.lower()
        assert float(slide.properties[f"{name}.mpp-x"]) == pytest.approx(0.5)
        assert float(slide.properties[f"{name}.mpp-y"]) == pytest.approx(0.25)
        for number, level in enumerate(wanted):
            found = np.asarray(slide.read_region((0, 0), number, (level.shape[1], level.shape[0])).convert("RGB"))
            np.testing.assert_array_equal(found, np.broadcast_to(level, found.shape))
    assert read_provenance(path) == {"run": "1"}


def test_openslide_reads_the_full_level_of_ome_tiff(tmp_path):
    path, pixels = tmp_path / "out.ome.tif", pixels_of(COLOURS)
    write_slide(path, COLOURS, Source(pixels), kind="ome-tiff")
    with openslide.OpenSlide(path) as slide:
        assert slide.level_count == 1
        found = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
        np.testing.assert_array_equal(found, pixels[0])


def smooth(facts: SlideFacts) -> np.ndarray:
    down, right = np.mgrid[: facts.shape[0], : facts.shape[1]]
    plane = np.stack([down // 8, right // 8, (down + right) // 16], axis=-1)
    return plane[None, ..., : facts.samples].astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_is_near_and_said_to_be_lossy(tmp_path, kind, samples):
    facts, path = replace(COLOURS, samples=samples), tmp_path / "out.tif"
    pixels = smooth(facts)
    notes = write_slide(path, facts, Source(pixels), kind=kind, compression="jpeg", quality=95)
    assert any("quality 95" in note for note in notes)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].compression.name == "JPEG"
        if kind == "ome-tiff":
            assert read_provenance(path) == {"compression": "JPEG of quality 95"}
        else:
            assert json.loads(tiff.pages[0].description)["jpeg_quality"] == 95
    for found, wanted in zip(levels_of(path), all_levels(pixels[0]), strict=True):
        assert np.abs(found[0].astype(int) - wanted).max() <= 4
    with openslide.OpenSlide(path) as slide:
        found = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3].astype(int)
    assert np.abs(found - pixels[0]).max() <= 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_with_any_number_of_threads(tmp_path, kind):
    pixels = pixels_of(COLOURS)
    for number, workers in enumerate((1, 1, 3)):
        write_slide(tmp_path / f"{number}.tif", COLOURS, Source(pixels), kind=kind, workers=workers)
    first, *others = ((tmp_path / f"{number}.tif").read_bytes() for number in range(3))
    assert others == [first, first]


@pytest.mark.parametrize("kind", KINDS)
def test_blank_tiles_need_no_source_and_read_back(tmp_path, kind):
    facts = SlideFacts((3000, 2000), np.dtype("uint8"), 3, fill=250.0)

    def source(rows, columns, plane):
        raise AssertionError("not to be asked")

    write_slide(tmp_path / "out.tif", facts, source, kind=kind, blank=lambda rows, columns, plane: True)
    for level in levels_of(tmp_path / "out.tif"):
        assert (level == 250).all()


def test_large_slides_are_bigtiff_before_they_are_written(tmp_path):
    facts = SlideFacts((23_000, 23_000), np.dtype("float64"))
    write_slide(tmp_path / "out.tif", facts, Source(np.zeros(0)), kind="tiff-pyramid", blank=lambda *window: True)
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.is_bigtiff and tiff.series[0].levels[0].shape == (23_000, 23_000)


@pytest.mark.parametrize(
    "facts, settings, text",
    [
        (STACK, {"kind": "tiff-pyramid"}, r"holds one plane, not 6 \(TC\).*\.ome\.tif or \.ome\.zarr"),
        (replace(COLOURS, dtype=np.dtype(bool)), {"kind": "ome-tiff"}, "cannot hold bool"),
        (replace(COLOURS, dtype=np.dtype("float16")), {"kind": "tiff-pyramid"}, "cannot hold float16"),
        (replace(COLOURS, samples=4), {"kind": "ome-tiff"}, "4 samples"),
        (replace(STACK, axes="QC"), {"kind": "ome-tiff"}, "slides have T, Z and C"),
        (STACK, {"kind": "ome-tiff", "compression": "jpeg"}, "JPEG holds 8 bits, not uint16"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_it_is_read(tmp_path, facts, settings, text):
    source = Source(np.zeros(0))
    with pytest.raises(OutputFormat, match=text) as caught:
        write_slide(tmp_path / "out.tif", facts, source, **settings)
    assert caught.value.path == tmp_path / "out.tif" and source.asked == [] and list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="quality of 0"):
        write_slide(tmp_path / "out.tif", COLOURS, source, kind="ome-tiff", compression="jpeg", quality=0)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_the_source_goes_through_and_nothing_is_left(tmp_path, workers):
    def source(rows, columns, plane):
        if columns[0]:
            raise TruncatedInput("it ends here", path="in.svs")
        return np.zeros((rows[1] - rows[0], columns[1] - columns[0], 3), np.uint8)

    with pytest.raises(InputError, match=r"it ends here \(in\.svs\)"):
        write_slide(tmp_path / "out.tif", COLOURS, source, kind="ome-tiff", workers=workers)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damaged", [1, 9, 14])  # the first and the last tile of level 0, the last of all
def test_other_pixels_than_those_given_are_noticed(tmp_path, monkeypatch, kind, damaged):
    from dgno.io import tile_codecs

    real, calls = tile_codecs.compressed, []

    def damaging(tile, compression):
        calls.append(tile)
        return real(tile ^ 1 if len(calls) == damaged else tile, compression)

    monkeypatch.setattr(tile_codecs, "compressed", damaging)
    with pytest.raises(OutputError, match="does not read back the same"):
        write_slide(tmp_path / "out.tif", COLOURS, Source(pixels_of(COLOURS)), kind=kind)
    assert list(tmp_path.iterdir()) == []
