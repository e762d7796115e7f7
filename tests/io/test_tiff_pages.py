"""Which pages of a TIFF file are data, and how they belong together."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from tiff_pixels import pixels

from dgno.io.image import read_image, read_images


def test_pages_of_one_size_are_a_stack(tmp_path):
    stack = pixels("uint8", 20, 9, 8)
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="minisblack", metadata=None)
    found = read_image(tmp_path / "x.tif")
    assert found.axes == "IYX"
    np.testing.assert_array_equal(found.pixels, stack)


def test_one_odd_page_in_the_middle_is_an_image_of_its_own(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for page in range(20):
            writer.write(np.full((9, 8 + (page == 5)), page, np.uint8), metadata=None)
    stack, odd = read_images(tmp_path / "x.tif")
    assert stack.pixels[:, 0, 0].tolist() == [page for page in range(20) if page != 5]
    assert (odd.pixels == 5).all() and odd.pixels.shape == (9, 9)


def test_pages_of_several_sizes_are_several_images(tmp_path):
    shapes = [(64, 64), (32, 32), (16, 16), (48, 80)]
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for number, shape in enumerate(shapes):
            writer.write(np.full(shape, number, np.uint8), metadata=None)
    assert [image.pixels.shape for image in read_images(tmp_path / "x.tif")] == shapes


def test_pages_of_several_compressions_are_read(tmp_path):
    pages = pixels("uint8", 6, 9, 8)
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for page, compression in zip(pages, [None, "lzw", "zlib"] * 2, strict=True):
            writer.write(page, compression=compression, metadata=None)
    found = np.concatenate([image.pixels for image in read_images(tmp_path / "x.tif")])
    np.testing.assert_array_equal(found[np.lexsort(found.reshape(6, -1).T)], pages[np.lexsort(pages.reshape(6, -1).T)])


@pytest.mark.parametrize("as_subifds", [True, False])
def test_levels_of_a_pyramid_are_no_data(tmp_path, as_subifds):
    full = pixels("uint8", 512, 512, 3)
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(full, tile=(64, 64), photometric="rgb", metadata=None, subifds=2 if as_subifds else 0)
        for step in (2, 4):
            writer.write(full[::step, ::step], tile=(64, 64), photometric="rgb", metadata=None, subfiletype=as_subifds)
    (found,) = read_images(tmp_path / "x.tif")
    np.testing.assert_array_equal(found.pixels, full)


def test_thumbnails_and_masks_are_no_data(tmp_path):
    full = pixels("uint8", 60, 70)
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(full[:10, :10], subfiletype=1, metadata=None)
        writer.write(full, metadata=None)
        writer.write(full[:50] > 9, subfiletype=4, metadata=None, photometric="mask")
    (found,) = read_images(tmp_path / "x.tif")
    np.testing.assert_array_equal(found.pixels, full)
