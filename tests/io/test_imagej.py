"""What ImageJ says of its pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from ome_files import RNG, STACK

from dgno.io.image import read_image, write_image

IMAGEJ = {"axes": "ZCYX", "unit": "micron", "spacing": 0.5, "mode": "composite", "Info": "objective 60x", "min": 3.0}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_imagej_hyperstacks_come_back_to_imagej(tmp_path, dtype):
    values = STACK.astype(dtype).reshape(3, 2, 9, 8)
    labels = [f"slice {i}" for i in range(6)]
    tifffile.imwrite(tmp_path / "x.tif", values, imagej=True, resolution=(4, 2), metadata={**IMAGEJ, "Labels": labels})
    found = read_image(tmp_path / "x.tif")
    assert (found.axes, found.pixel_size) == ("ZCYX", (0.5, 0.25))
    write_image(tmp_path / "y.tif", found, provenance={"k": "v"})
    with tifffile.TiffFile(tmp_path / "y.tif") as tiff:
        assert tiff.is_imagej and tiff.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(tiff.asarray(), values)
        kept = tiff.imagej_metadata
    assert {key: kept[key] for key in ("unit", "spacing", "mode", "min", "Labels")} == {
        "unit": "micron",
        "spacing": 0.5,
        "mode": "composite",
        "min": 3.0,
        "Labels": labels,
    }
    assert kept["Info"].startswith("objective 60x")


UNKNOWN_SIZES = [("inch", 72.0), ("mm", 0.5), ("furlong", 0.25), ("pixel", 1.0)]


@pytest.mark.parametrize("unit, density", UNKNOWN_SIZES)
def test_the_scale_of_imagej_stays_beside_its_unit_where_it_is_no_pixel_size(tmp_path, unit, density):
    given = {"axes": "ZYX", "unit": unit, "spacing": 3.0}
    tifffile.imwrite(tmp_path / "x.tif", STACK, imagej=True, resolution=(density, density), metadata=given)
    found = read_image(tmp_path / "x.tif")
    assert found.pixel_size is None
    write_image(tmp_path / "y.tif", found)
    again = read_image(tmp_path / "y.tif").stored
    assert again.resolution[:2] == (density, density)
    assert (again.imagej["unit"], again.imagej["spacing"]) == (unit, 3.0)


UNITS = [("nanometer", 0.01), ("micrometre", 10.0), ("microns", 10.0), ("millimeters", 1e4), ("cm", 1e5)]


@pytest.mark.parametrize("unit, density", UNITS)
def test_the_pixel_size_that_is_given_leaves_the_spacing_of_imagej_true(tmp_path, unit, density):
    given = {"axes": "ZYX", "unit": unit, "spacing": 3 / density}
    tifffile.imwrite(tmp_path / "x.tif", STACK, imagej=True, resolution=(density, density), metadata=given)
    found = read_image(tmp_path / "x.tif")
    np.testing.assert_allclose(found.pixel_size, (0.1, 0.1), rtol=1e-6)
    write_image(tmp_path / "y.tif", replace(found, pixel_size=(0.2, 0.2)))
    again = read_image(tmp_path / "y.tif")
    np.testing.assert_allclose(again.pixel_size, (0.2, 0.2), rtol=1e-6)
    assert (again.stored.imagej["unit"], again.stored.imagej["spacing"]) == (unit, 3 / density)


def test_a_spacing_in_an_unknown_unit_stays_as_many_pixels(tmp_path):
    given = {"axes": "ZYX", "unit": "furlong", "spacing": 300.0}
    tifffile.imwrite(tmp_path / "x.tif", STACK, imagej=True, resolution=(0.01, 0.01), metadata=given)
    write_image(tmp_path / "y.tif", replace(read_image(tmp_path / "x.tif"), pixel_size=(0.2, 0.2)))
    again = read_image(tmp_path / "y.tif").stored.imagej
    assert again["unit"] == "um"
    assert again["spacing"] == pytest.approx(0.6)


@pytest.mark.parametrize("given", [None, 0.2])
def test_rows_may_have_a_unit_of_their_own(tmp_path, given):
    """`yunit`; both units stay, and the densities are true with them."""
    said = {"unit": "um", "yunit": "mm"}
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], imagej=True, resolution=(4, 2000), metadata=said)
    found = read_image(tmp_path / "x.tif")
    np.testing.assert_allclose(found.pixel_size, (0.5, 0.25), rtol=1e-6)
    wanted = found.pixel_size if given is None else (given, given)
    write_image(tmp_path / "y.tif", replace(found, pixel_size=wanted))
    again = read_image(tmp_path / "y.tif")
    np.testing.assert_allclose(again.pixel_size, wanted, rtol=1e-6)
    assert (again.stored.imagej["unit"], again.stored.imagej["yunit"]) == ("um", "mm")


def test_rows_in_an_unknown_unit_have_no_pixel_size(tmp_path):
    said = {"unit": "um", "yunit": "furlong"}
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], imagej=True, resolution=(4, 4), metadata=said)
    found = read_image(tmp_path / "x.tif")
    assert found.pixel_size is None
    write_image(tmp_path / "y.tif", replace(found, pixel_size=(0.2, 0.2)))
    again = read_image(tmp_path / "y.tif")
    np.testing.assert_allclose(again.pixel_size, (0.2, 0.2), rtol=1e-6)


def test_1_pixel_a_unit_of_length_is_a_pixel_size_of_imagej(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], imagej=True, resolution=(1, 1), metadata={"unit": "um"})
    assert read_image(tmp_path / "x.tif").pixel_size == (1, 1)
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], imagej=True, resolution=(1, 1))
    assert read_image(tmp_path / "x.tif").pixel_size is None


ODD_IMAGEJ = [
    ("unit=µm".encode("cp1252"), {"unit": "\\u00B5m"}),
    ("unit=µm".encode(), {"unit": "\\u00B5m"}),
    (b"unit=\\u00B5m\nspacing=0.5", {"unit": "\\u00B5m", "spacing": 0.5}),
    (b"Info=5\nLabels=3\nLUTs=4\nRanges=1\nROI=x\nProperties=7\nmode=klingon", {}),
    (b"weird key=3\naxes=XX\nshape=5\ncolormaped=1\nversion=9\n=5\nmin=1.5", {"min": 1.5}),
]


@pytest.mark.parametrize("lines, kept", ODD_IMAGEJ, ids=lambda x: repr(x)[:30])
def test_odd_imagej_metadata_do_not_harm_the_output(tmp_path, lines, kept):
    text = b"ImageJ=1.53\nimages=1\n" + lines + b"\n"
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], description=text, metadata=None, resolution=(4, 4), resolutionunit=1)
    found = read_image(tmp_path / "x.tif")
    assert found.pixel_size == ((0.25, 0.25) if "unit" in kept else None)
    write_image(tmp_path / "y.tif", found)
    again = read_image(tmp_path / "y.tif")
    assert {key: again.stored.imagej[key] for key in kept} == kept
    assert again.pixel_size == found.pixel_size
    np.testing.assert_array_equal(again.pixels, STACK[0])


def test_large_imagej_stacks_behind_one_page_are_read(tmp_path):
    values = RNG.integers(0, 255, (5, 9, 8), dtype=np.uint8)
    text = "ImageJ=1.53\nimages=5\nslices=5\n"
    tifffile.imwrite(tmp_path / "x.tif", values[0], description=text, metadata=None)
    with (tmp_path / "x.tif").open("ab") as file:
        file.write(values[1:].tobytes())
    found = read_image(tmp_path / "x.tif")
    assert found.axes == "ZYX"
    np.testing.assert_array_equal(found.pixels, values)


@pytest.mark.parametrize("counts", ["images=1000000000", "images=7\nslices=7", "images=5\nslices=1000000000"])
def test_imagej_counts_that_lie_do_not_invent_planes(tmp_path, counts):
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], description=f"ImageJ=1.53\n{counts}\n", metadata=None)
    try:
        found = read_image(tmp_path / "x.tif")
    except Exception as error:
        assert type(error).__name__ in ("UnreadableInput", "InputTooLarge", "TruncatedInput")
    else:
        np.testing.assert_array_equal(found.pixels, STACK[0])
