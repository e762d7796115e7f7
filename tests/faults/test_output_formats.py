"""RELIABILITY 3C, C14: what a format can hold is known before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
from output_cases import GRAY, OTHER, names

from dgno.arrays import Image
from dgno.errors import (
    ConfigError,
    OutputFormat,
)
from dgno.io.image import check_output, write_image, write_images
from dgno.io.output import output_format
from dgno.stored import Stored


def image(dtype: str, axes: str = "YX", shape: tuple[int, ...] = (9, 7), **facts) -> Image:
    return Image(np.zeros(shape, dtype), axes, **facts)


REFUSED = [
    (".jpg", image("uint16"), "JPEG holds 8 bits, not uint16.*write .png"),
    (".jpg", image("uint8", alpha=np.zeros((9, 7), np.uint8)), "JPEG cannot hold an alpha channel"),
    (".jpg", image("uint8", "ZYX", (2, 9, 7)), "JPEG cannot hold axes ZYX.*write .ome.tif"),
    (".jpg", image("uint8", shape=(1, 65_501)), "JPEG cannot hold sides above 65,500 px"),
    (".png", image("float32"), "PNG cannot hold float32.*write .tif"),
    (".png", image("int16"), "PNG cannot hold int16"),
    (".png", image("uint8", "TYXS", (2, 9, 7, 3)), "PNG cannot hold axes TYXS"),
    (".png", image("uint8", shape=(1, 1_000_001)), "PNG cannot hold sides above 1,000,000"),
    (".bmp", image("uint16"), "BMP holds 8 bits, not uint16"),
    (".bmp", image("uint8", "CYX", (2, 9, 7)), "BMP cannot hold axes CYX"),
    (".bmp", image("uint8", stored=Stored(orientation=6)), "BMP cannot hold the orientation"),
    (".ome.tif", image("float16"), "OME-TIFF cannot hold float16.*write .tif"),
    (".ome.tif", image("uint8", "QRYX", (2, 2, 9, 7)), "OME-TIFF knows the axes T, Z and C.*write .tif"),
    (".gif", image("uint8"), "does not write .gif.*choose one of .png"),
    ("", image("uint8"), "does not write no extension"),
]


@pytest.mark.parametrize("suffix, one, text", REFUSED, ids=[f"{text[:30]!r}" for _, _, text in REFUSED])
def test_c14_what_a_format_cannot_hold_is_refused_before_computing(tmp_path, suffix, one, text):
    with pytest.raises(OutputFormat, match=text) as caught:
        check_output(tmp_path / f"out{suffix}", images=[one])
    assert caught.value.hint and caught.value.path is not None
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_c14_several_images_need_tiff(tmp_path, suffix):
    with pytest.raises(OutputFormat, match="holds one image, not 2"):
        write_images(tmp_path / f"out{suffix}", [GRAY, OTHER])


def test_no_image_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(ConfigError, match="no image"):
        write_images(tmp_path / "out.tif", [])


@pytest.mark.parametrize(
    "name, one, kind",
    [
        ("a.tif", image("uint8"), "tiff"),
        ("a.TIFF", image("uint8"), "tiff"),
        ("a.ome.tif", image("uint8"), "ome-tiff"),
        ("a.OME.TIFF", image("uint8"), "ome-tiff"),
        ("a.tif", image("uint8", stored=Stored("ome-tiff")), "ome-tiff"),
        ("a.tif", image("uint8", stored=Stored("imagej-tiff")), "imagej-tiff"),
        ("a.tif", image("float64", stored=Stored("imagej-tiff")), "ome-tiff"),
        ("a.tif", image("float16", "ZYX", (2, 9, 7), stored=Stored("imagej-tiff")), "tiff"),
        ("a.tif", image("uint16", "ZYX", (2, 9, 7)), "imagej-tiff"),
        ("a.tif", image("int16", "ZYX", (2, 9, 7)), "ome-tiff"),
        ("a.tif", image("uint16", "CZYX", (2, 2, 9, 7)), "ome-tiff"),
        ("a.tif", image("uint16", "ZYX", (2, 9, 7), stored=Stored("tiff")), "tiff"),
        ("a.tif", image("uint16", "IYX", (2, 9, 7)), "tiff"),
        ("a.tif", image("uint8", stored=Stored("png")), "tiff"),
        ("a.JPG", image("uint8"), "jpeg"),
    ],
)
def test_the_kind_of_tiff_follows_name_and_origin(name, one, kind):
    assert output_format(name, [one]) == kind


def test_b13_outputs_beyond_4_gib_are_bigtiff_and_it_is_known_before(monkeypatch, tmp_path):
    from dgno.io import tiff_write

    monkeypatch.setattr(tiff_write, "LARGEST_CLASSIC", 1000)
    for size, magic in ((30, b"II*\0"), (40, b"II+\0")):
        one = Image(np.zeros((size, size), np.uint8), "YX", (0, 255))
        write_image(tmp_path / "out.tif", one, overwrite=True)
        assert (tmp_path / "out.tif").read_bytes()[:4] == magic
