"""Laws of reading and writing, over all formats: what is written comes back, twice alike, and others read it too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from random_images import image_of, pixels, same

from dgno.arrays import Image
from dgno.errors import OutputFormat
from dgno.io.colour import joined
from dgno.io.image import read_image, read_images, write_image, write_images
from dgno.stored import Stored

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]


DTYPES = {
    ".tif": [*INTEGERS, "float16", "float32", "float64"],
    ".ome.tif": [*INTEGERS, "float32", "float64"],
    ".png": ["uint8", "uint16"],
    ".bmp": ["uint8"],
}


COLOURS = {"gray": "YX", "gray and alpha": "YX", "RGB": "YXS", "RGBA": "YXS"}


SMALL = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def without_sync(monkeypatch):
    """Waiting for the disk takes most of the time of small files; test_full_disks.py tests that it is done."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("suffix, dtype", [(suffix, dtype) for suffix in DTYPES for dtype in DTYPES[suffix]])
@SMALL
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 99))
def test_what_is_written_comes_back(tmp_path, suffix, dtype, colour, height, width, seed):
    shape = (height, width, 3) if "RGB" in colour else (height, width)
    image = image_of(dtype, COLOURS[colour], shape, seed=seed, alpha="alpha" in colour or colour == "RGBA")
    path = tmp_path / f"image{suffix}"
    write_image(path, image, overwrite=True)
    found = read_image(path)
    if suffix == ".bmp" and colour == "gray and alpha":  # BMP has no such kind, and holds it as RGBA
        np.testing.assert_array_equal(found.pixels, np.repeat(image.pixels[..., None], 3, axis=-1))
        np.testing.assert_array_equal(found.alpha, image.alpha)
    else:
        same(found, image)


STACKS = {
    "ZYX": (4, 9, 8),
    "TZCYX": (2, 3, 2, 9, 8),
    "CZYX": (2, 3, 9, 8),
    "CYX": (3, 9, 8),
    "TYXS": (2, 9, 8, 3),
    "CYXS": (2, 9, 8, 3),
    "IYX": (3, 9, 8),
    "QZYX": (2, 3, 9, 8),
}


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float64"])
@pytest.mark.parametrize("axes", STACKS)
@pytest.mark.parametrize("alpha", [False, True])
def test_stacks_keep_their_axes(tmp_path, suffix, dtype, axes, alpha):
    image = image_of(dtype, axes, STACKS[axes], alpha=alpha)
    path = tmp_path / f"image{suffix}"
    if suffix == ".ome.tif" and axes == "QZYX":
        image = replace(image, axes="QRYX")
        with pytest.raises(OutputFormat, match="knows the axes T, Z and C"):
            write_image(path, image)
        return
    notes = write_image(path, image)
    if suffix == ".ome.tif" and "I" in axes:
        assert notes == ("axes I are written as Z, the names that OME-TIFF has",)
        image = replace(image, axes=axes.replace("I", "Z"))
    same(read_image(path), image)


FACTS = {
    "pixel_size": (0.25, 0.5),
    "icc_profile": b"an ICC profile " * 30,
    "stored": Stored(orientation=6),
    "value_range": (0.0, 4095.0),
}


@pytest.mark.parametrize("suffix, names", [(".tif", FACTS), (".ome.tif", FACTS), (".png", FACTS)])
def test_metadata_of_16_bits_survive(tmp_path, suffix, names):
    values = (pixels("uint16", (20, 30)) >> 4).clip(0, 900)
    image = Image(values, **{name: FACTS[name] for name in names})
    write_image(tmp_path / f"image{suffix}", image)
    same(read_image(tmp_path / f"image{suffix}"), image)


def test_metadata_of_jpeg_survive(tmp_path):
    image = Image(
        np.full((20, 30, 3), 77, np.uint8), "YXS", (0, 255), **{k: FACTS[k] for k in FACTS if k != "value_range"}
    )
    notes = write_image(tmp_path / "image.jpg", image)
    assert notes == ("JPEG is lossy (quality 95, no chroma subsampling); .png and .tif are not",)
    same(read_image(tmp_path / "image.jpg"), image)


def test_jpeg_is_close(tmp_path):
    rows, columns = np.indices((64, 80))
    image = Image(np.stack([rows * 3, columns * 3, rows + columns], -1).astype(np.uint8), "YXS", (0, 255))
    write_image(tmp_path / "image.jpg", image)
    assert np.abs(read_image(tmp_path / "image.jpg").pixels.astype(int) - image.pixels).max() <= 4


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_channel_names_survive(tmp_path, suffix):
    image = image_of("uint16", "ZCYX", (2, 3, 9, 8), channel_names=("DAPI", "GFP", "µ-opsin"))
    write_image(tmp_path / f"image{suffix}", image)
    same(read_image(tmp_path / f"image{suffix}"), image)


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_premultiplied_alpha_stays_so_in_tiff_and_is_refused_elsewhere(tmp_path, suffix):
    image = image_of("uint8", "YXS", (9, 8, 3), alpha=True, alpha_kind="premultiplied")
    write_image(tmp_path / f"image{suffix}", image)
    same(read_image(tmp_path / f"image{suffix}"), image)
    for other in (".png", ".bmp"):
        with pytest.raises(OutputFormat, match="multiplied by their alpha"):
            write_image(tmp_path / f"image{other}", image)


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_min_is_white_is_turned_over_for_reading_and_back(tmp_path, suffix, dtype):
    image = image_of(dtype, "YX", (9, 8), stored=Stored(min_is_white=True))
    path = tmp_path / f"image{suffix}"
    write_image(path, image)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].photometric == tifffile.PHOTOMETRIC.MINISWHITE
    np.testing.assert_array_equal(tifffile.imread(path), ~image.pixels)
    found = read_image(path)
    same(found, image)
    assert found.stored.min_is_white


def test_true_and_false_become_255_and_0(tmp_path):
    values = pixels("uint8", (9, 8)) > 100
    for suffix in (".tif", ".ome.tif", ".png", ".bmp"):
        write_image(tmp_path / f"image{suffix}", Image(values, "YX", (0, 1)))
        np.testing.assert_array_equal(read_image(tmp_path / f"image{suffix}").pixels, values * np.uint8(255))


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_several_images_of_several_sizes_make_one_file(tmp_path, suffix):
    shapes = [(64, 64), (32, 32), (64, 64), (48, 80), (16, 16)]  # halves and twins are no pyramid and no stack
    images = [image_of("uint8", "YX", shape, seed=i) for i, shape in enumerate(shapes)]
    images.append(image_of("uint16", "ZYX", (3, 7, 5)))
    write_images(tmp_path / f"images{suffix}", images)
    found = read_images(tmp_path / f"images{suffix}")
    assert len(found) == len(images)
    for a, b in zip(found, images, strict=True):
        same(a, b)
    first = read_image(tmp_path / f"images{suffix}")
    assert "the first of the 6 images of the file" in first.notes


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".png", ".jpg", ".bmp"])
def test_equal_images_give_equal_bytes(tmp_path, suffix):
    image = image_of("uint8", "YXS", (40, 30, 3), pixel_size=(0.5, 0.5))
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}{suffix}", image, provenance={"weights": "x", "seed": "0"})
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".png", ".bmp"])
@pytest.mark.parametrize("axes", ["YX", "YXS"])
def test_a_second_writing_changes_nothing(tmp_path, suffix, axes):
    image = image_of("uint8", axes, (40, 30, 3)[: len(axes)], pixel_size=(0.25, 0.25))
    write_image(tmp_path / f"a{suffix}", image, provenance={"a": "b"})
    write_image(tmp_path / f"b{suffix}", read_image(tmp_path / f"a{suffix}"), provenance={"a": "b"})
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_and_infinity_and_minus_zero_come_back(tmp_path, dtype):
    image = Image(np.array([[np.nan, np.inf, -np.inf], [-0.0, 0.0, 1.5]], dtype), "YX", (0, 1))
    write_image(tmp_path / "image.tif", image)
    assert read_image(tmp_path / "image.tif").pixels.tobytes() == image.pixels.tobytes()


@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd", "none"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_every_compression_is_lossless(tmp_path, compression, dtype):
    image = image_of(dtype, "YXS", (600, 300, 3))
    write_image(tmp_path / "image.tif", image, compression=compression)
    same(read_image(tmp_path / "image.tif"), image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "image.tif"), image.pixels)


def others(path: Path) -> np.ndarray:
    """The pixels as another program reads them."""
    if path.suffix == ".tif":
        return tifffile.imread(path)
    if path.suffix == ".png":
        return imagecodecs.png_decode(path.read_bytes())
    with Pillow.open(path) as opened:
        return np.asarray(opened)


@pytest.mark.parametrize("suffix", DTYPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_other_programs_read_the_same(tmp_path, suffix, colour):
    for dtype in DTYPES[suffix]:
        axes = COLOURS[colour]
        image = image_of(dtype, axes, (21, 17, 3)[: len(axes)], alpha="alpha" in colour or colour == "RGBA")
        path = tmp_path / f"{dtype}{suffix}"
        write_image(path, image)
        wanted = joined(image.pixels, axes, image.alpha)
        if suffix == ".bmp" and colour == "gray and alpha":
            wanted = wanted[..., [0, 0, 0, 1]]
        np.testing.assert_array_equal(others(path).reshape(wanted.shape), wanted)
        if dtype in ("uint8", "uint16") and colour in ("gray", "RGB") and (dtype, colour) != ("uint16", "RGB"):
            with Pillow.open(path) as opened:
                np.testing.assert_array_equal(np.asarray(opened), image.pixels)


EXTREMES = [(1, 1), (1, 40_000), (40_000, 1), (2, 3), (7, 9), (4, 65_536), (521, 697)]


@pytest.mark.parametrize("shape", EXTREMES)
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".png", ".bmp"])
def test_extreme_shapes(tmp_path, suffix, shape):
    image = image_of("uint8", "YX", shape)
    write_image(tmp_path / f"image{suffix}", image)
    same(read_image(tmp_path / f"image{suffix}"), image)


@pytest.mark.parametrize("level", [0, 7])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_large_constant_images_are_no_bombs(tmp_path, suffix, level):
    image = Image(np.full((5000, 6000), level, np.uint8), "YX", (0, 255))
    write_image(tmp_path / f"image{suffix}", image)
    assert (read_image(tmp_path / f"image{suffix}").pixels == level).all()
