"""Real slides written in all formats, and read by the programs that they are written for."""

from __future__ import annotations

import numpy as np
import ome_types
import openslide
import pytest
import tifffile
import tiffslide
import zarr
from slide_cases import all_levels

from dgno.io.image import read_image
from dgno.io.ome_write import facts_of
from dgno.io.open_slide import open_slide
from dgno.io.slide import SlideFacts
from dgno.io.slide_output import ENDINGS
from dgno.io.slide_write import write_slide


@pytest.fixture(scope="module")
def converted(tmp_path_factory, shared_data):
    """The folder of the slide in three formats, and its pixels."""
    folder = tmp_path_factory.mktemp("converted")
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with open_slide(path) as slide:
        for kind, ending in ENDINGS.items():
            write_slide(
                folder / f"out{ending}",
                slide.facts,
                lambda rows, columns, plane: slide.read(rows, columns),
                kind=kind,
                compression="zstd",
                inputs=[path],
            )
    return folder, tifffile.imread(path)


@pytest.mark.parametrize("library", [openslide.OpenSlide, tiffslide.TiffSlide])
def test_slide_libraries_read_pages(converted, library):
    folder, pixels = converted
    with library(str(folder / "out.tif")) as slide:
        assert slide.level_count == 4
        assert float(slide.properties[f"{library.__name__.lower()}.mpp-x"]) == pytest.approx(0.499)
        for number, wanted in enumerate(all_levels(pixels)):
            found = slide.read_region((0, 0), number, slide.level_dimensions[number]).convert("RGB")
            np.testing.assert_array_equal(np.asarray(found), wanted)


def test_dgno_reads_what_it_wrote(converted):
    folder, pixels = converted
    for ending in ENDINGS.values():
        with open_slide(folder / f"out{ending}") as slide:
            assert slide.facts.pixel_size == pytest.approx((0.499, 0.499)) and slide.facts.samples == 3
            assert ending != ".ome.tif" or slide.facts.magnification == 20.0
            for number, wanted in enumerate(all_levels(pixels)):
                height, width = wanted.shape[:2]
                np.testing.assert_array_equal(slide.read((0, height), (0, width), level=number), wanted)


@pytest.mark.parametrize("kind", list(ENDINGS))
@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_dgno_reads_blank_parts(tmp_path, kind, ngff):
    facts, path = SlideFacts((1500, 1100), np.dtype("uint8"), 3, fill=250.0), tmp_path / f"out{ENDINGS[kind]}"
    pixels = np.full((1500, 1100, 3), 250, np.uint8)
    pixels[600:700, 30:90] = 9

    def blank(rows, columns, plane):
        return bool((pixels[slice(*rows), slice(*columns)] == 250).all())

    write_slide(
        path,
        facts,
        lambda rows, columns, plane: pixels[slice(*rows), slice(*columns)],
        kind=kind,
        blank=blank,
        ngff=ngff,
    )
    with open_slide(path) as slide:
        for number, wanted in enumerate(all_levels(pixels)):
            height, width = wanted.shape[:2]
            np.testing.assert_array_equal(slide.read((0, height), (0, width), level=number), wanted)
        assert slide.is_blank((0, 512), (0, 512)) == (kind == "ome-zarr")


def test_zarr_reads_the_chunks(converted):
    folder, pixels = converted
    group = zarr.open_group(folder / "out.ome.zarr", mode="r")
    for number, wanted in enumerate(all_levels(pixels)):
        np.testing.assert_array_equal(np.moveaxis(group[str(number)][0, :, 0], 0, -1), wanted)


def test_a_stack_keeps_its_document_and_its_planes(tmp_path, shared_data):
    image = read_image(shared_data / "slides" / "4D-series.ome.tiff")
    facts, planes = facts_of(image), image.pixels.reshape(-1, *image.pixels.shape[-2:], 1)
    path = tmp_path / "out.ome.tif"
    write_slide(path, facts, lambda rows, columns, plane: planes[plane, slice(*rows), slice(*columns)], kind="ome-tiff")
    again = read_image(path)
    assert (again.axes, again.value_range, again.pixel_size) == (image.axes, image.value_range, image.pixel_size)
    np.testing.assert_array_equal(again.pixels, image.pixels)
    before, after = (ome_types.from_xml(document.stored.ome_xml.decode()) for document in (image, again))
    assert after.images[0].acquisition_date == before.images[0].acquisition_date
