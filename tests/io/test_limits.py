"""Every limit on what is read: what just reaches it is read, what is one beyond is refused before it is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from dgno.errors import InputError, InputTooLarge, UnreadableInput
from dgno.io.image import read_images
from dgno.io.limits import Limits, check_ratio

STACK = np.random.default_rng(0).integers(0, 256, (3, 9, 8), dtype=np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three pages of 9 x 8 px; the same as channels, as samples of a pixel; and as a PNG."""
    tifffile.imwrite(tmp_path / "pages.tif", STACK, photometric="minisblack", metadata=None)
    tifffile.imwrite(tmp_path / "channels.tif", STACK, imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(
        tmp_path / "samples.tif",
        STACK.transpose(1, 2, 0),
        photometric="minisblack",
        planarconfig="contig",
        metadata=None,
    )
    imsave(tmp_path / "colours.png", STACK.transpose(1, 2, 0), check_contrast=False)
    return {path.name: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize(("name", "limit", "reached", "error"), [
    ("pages.tif", "pixels", 9 * 8 * 3, InputTooLarge),
    ("colours.png", "pixels", 9 * 8, InputTooLarge),
    ("pages.tif", "side", 9, InputTooLarge),
    ("colours.png", "side", 9, InputTooLarge),
    ("channels.tif", "channels", 3, InputTooLarge),
    ("samples.tif", "channels", 3, InputTooLarge),
    ("pages.tif", "directories", 4, UnreadableInput),
])  # fmt: skip
def test_a_limit_is_what_is_just_read(
    files: dict[str, Path], name: str, limit: str, reached: int, error: type[InputError]
) -> None:
    read_images(files[name], limits=Limits(**{limit: reached}))
    with pytest.raises(error, match=f"{reached - 1}|{reached}"):
        read_images(files[name], limits=Limits(**{limit: reached - 1}))


def test_the_size_of_a_file_that_is_read_as_a_whole(files: dict[str, Path]) -> None:
    """PNG, JPEG and BMP; a TIFF file may be larger."""
    png, tiff = files["colours.png"], files["pages.tif"]
    read_images(png, limits=Limits(file_bytes=png.stat().st_size))
    with pytest.raises(InputTooLarge, match="save it as TIFF"):
        read_images(png, limits=Limits(file_bytes=png.stat().st_size - 1))
    read_images(tiff, limits=Limits(file_bytes=1))


def test_the_tags_of_a_page(files: dict[str, Path]) -> None:
    with tifffile.TiffFile(files["pages.tif"]) as tiff:
        count = len(tiff.pages[0].tags)
    read_images(files["pages.tif"], limits=Limits(tags=count))
    with pytest.raises(UnreadableInput, match=f"1 to {count - 1} are possible"):
        read_images(files["pages.tif"], limits=Limits(tags=count - 1))


def test_the_bytes_of_a_tag(tmp_path: Path) -> None:
    tag = (65000, "B", 1000, bytes(1000), False)
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], extratags=[tag], metadata=None)
    read_images(tmp_path / "x.tif", limits=Limits(tag_bytes=1000))
    with pytest.raises(UnreadableInput, match="TIFF tag 65000 has 1,000 bytes"):
        read_images(tmp_path / "x.tif", limits=Limits(tag_bytes=999))


def test_the_growth_of_a_block() -> None:
    """Only of blocks that are large in the end: 1000 times is legal for a small one."""
    limits = Limits(ratio=10, ratio_bytes=1000)
    check_ratio(limits, decoded=1000, encoded=1)
    check_ratio(limits, decoded=2000, encoded=200)
    with pytest.raises(InputTooLarge, match="199 bytes would decode to 2,000, more than 10 times"):
        check_ratio(limits, decoded=2000, encoded=199)
