"""TIFF in all its ways gives the pixels that tifffile, libtiff and Pillow give, and the right axes."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from tiff_pixels import RNG, pixels

from dgno.errors import UnsupportedInput
from dgno.io.image import read_image, write_image

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]


LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "deflate": {"compression": "zlib", "rowsperstrip": 7},
    "tiles, lzw": {"compression": "lzw", "tile": (16, 16)},
    "zstd": {"compression": "zstd"},
    "lzma": {"compression": "lzma"},
    "packbits": {"compression": "packbits"},
    "deflate, predictor": {"compression": "zlib", "predictor": True, "tile": (16, 16)},
    "lzw, predictor": {"compression": "lzw", "predictor": True},
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout, dtype, is_big, order):
    path = tmp_path / "image.tif"
    gray, rgb = pixels(dtype, 37, 43), pixels(dtype, 37, 43, 3)
    tifffile.imwrite(path, gray, bigtiff=is_big, byteorder=order, metadata=None, **LAYOUTS[layout])
    found = read_image(path)
    np.testing.assert_array_equal(found.pixels, gray)
    assert (found.pixels.dtype, found.axes) == (np.dtype(dtype), "YX") and found.pixels.dtype.isnative
    tifffile.imwrite(path, rgb, bigtiff=is_big, byteorder=order, metadata=None, photometric="rgb", **LAYOUTS[layout])
    np.testing.assert_array_equal(read_image(path).pixels, rgb)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", ["one strip", "strips", "tiles", "deflate, predictor"])
def test_planar_colours_become_chunky(tmp_path, layout, dtype):
    rgb = pixels(dtype, 3, 37, 43)
    tifffile.imwrite(
        tmp_path / "x.tif", rgb, photometric="rgb", planarconfig="separate", metadata=None, **LAYOUTS[layout]
    )
    found = read_image(tmp_path / "x.tif")
    assert found.axes == "YXS"
    np.testing.assert_array_equal(found.pixels, rgb.transpose(1, 2, 0))


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "jpegxl", "webp", "png"])
def test_image_codecs_give_what_tifffile_gives(tmp_path, compression):
    rows, columns = np.indices((64, 80))
    rgb = np.stack([rows * 3, columns * 3, rows + columns], -1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", rgb, photometric="rgb", compression=compression, tile=(32, 32))
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif").pixels, tifffile.imread(tmp_path / "x.tif"))


PILLOW_MODES = [
    (mode, code) for mode in ("1", "L", "RGB", "RGBA", "I;16") for code in (None, "tiff_lzw", "tiff_deflate")
]


@pytest.mark.parametrize("mode, compression", [*PILLOW_MODES, ("L", "packbits"), ("1", "group3"), ("1", "group4")])
def test_files_of_libtiff_equal_what_pillow_reads(tmp_path, mode, compression):
    values = {"1": pixels("uint8", 37, 43) > 90, "L": pixels("uint8", 37, 43), "I;16": pixels("uint16", 37, 43)}
    array = values.get(mode, pixels("uint8", 37, 43, len(mode)))
    Pillow.fromarray(array).save(tmp_path / "x.tif", compression=compression)
    found = read_image(tmp_path / "x.tif")
    wanted = array * np.uint8(255) if mode == "1" else array
    np.testing.assert_array_equal(found.pixels, wanted[..., :3] if mode == "RGBA" else wanted)
    if mode == "RGBA":
        np.testing.assert_array_equal(found.alpha, array[..., 3])


def raw_tiff(data: bytes, width: int, height: int, *, order: str = "<", **tags: int) -> bytes:
    """A file of one strip; tags by number as t<code>."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    start = 8 + len(data) + len(data) % 2
    packed = b"".join(struct.pack(order + "HHII", code, 4, 1, value) for code, value in sorted(entries.items()))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    body = data + b"\0" * (len(data) % 2)
    return head + body + struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", 0)


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("fill_order", [1, 2])
def test_few_bits_become_8_and_white_the_largest(tmp_path, bits, photometric, fill_order):
    values = RNG.integers(0, 2**bits, (5, 8))
    packed = b"".join(
        np.packbits(np.unpackbits(r.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes() for r in values
    )
    if fill_order == 2:
        packed = imagecodecs.bitorder_decode(packed)
    (tmp_path / "x.tif").write_bytes(raw_tiff(packed, 8, 5, t258=bits, t262=photometric, t266=fill_order))
    found = read_image(tmp_path / "x.tif")
    wanted = values * 255 // (2**bits - 1)
    np.testing.assert_array_equal(found.pixels, wanted if photometric else 255 - wanted)
    assert found.pixels.dtype == np.uint8 and found.value_range == (0, 255)
    assert f"{bits}-bit values expanded to 8 bits" in found.notes
    if bits != 6:
        with Pillow.open(tmp_path / "x.tif") as opened:
            np.testing.assert_array_equal(np.asarray(opened.convert("L")), found.pixels)


def test_12_packed_bits_keep_their_range(tmp_path):
    values = np.array([[0, 1, 2048, 4095]])
    packed = bytes.fromhex("000001800fff")
    (tmp_path / "x.tif").write_bytes(raw_tiff(packed, 4, 1, t258=12))
    found = read_image(tmp_path / "x.tif")
    np.testing.assert_array_equal(found.pixels, values)
    assert found.value_range == (0, 4095)
    write_image(tmp_path / "y.tif", found)
    assert read_image(tmp_path / "y.tif").value_range == (0, 4095)


@pytest.mark.parametrize("order", ["<", ">"])
def test_min_is_white_equals_what_pillow_shows(tmp_path, order):
    values = pixels("uint8", 5, 8)
    (tmp_path / "x.tif").write_bytes(raw_tiff(values.tobytes(), 8, 5, order=order, t262=0))
    found = read_image(tmp_path / "x.tif")
    np.testing.assert_array_equal(found.pixels, 255 - values)
    with Pillow.open(tmp_path / "x.tif") as opened:
        np.testing.assert_array_equal(np.asarray(opened), found.pixels)
    write_image(tmp_path / "y.tif", found)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "y.tif"), values)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_kept_as_a_tag(tmp_path, orientation):
    (tmp_path / "x.tif").write_bytes(raw_tiff(bytes(40), 8, 5, t274=orientation))
    found = read_image(tmp_path / "x.tif")
    assert found.stored.orientation == orientation
    assert any("orientation" in note for note in found.notes) == (orientation != 1)
    write_image(tmp_path / "y.ome.tif", found)
    with tifffile.TiffFile(tmp_path / "y.ome.tif") as tiff:
        assert tiff.pages[0].tags.valueof(274, 1) == orientation


def test_palettes_become_colours(tmp_path):
    values, table = pixels("uint8", 37, 43), pixels("uint16", 3, 256)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="palette", colormap=table, metadata=None)
    found = read_image(tmp_path / "x.tif")
    assert found.axes == "YXS" and "palette expanded to colours" in found.notes
    with Pillow.open(tmp_path / "x.tif") as opened:
        np.testing.assert_array_equal(found.pixels, np.asarray(opened.convert("RGB")))


def test_pseudo_colours_stay_intensities_and_their_table_is_kept(tmp_path):
    values = pixels("uint8", 37, 43)
    green = np.zeros((3, 256), np.uint16)
    green[1] = np.arange(256) * 257
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="palette", colormap=green, metadata=None)
    found = read_image(tmp_path / "x.tif")
    assert found.axes == "YX"
    np.testing.assert_array_equal(found.pixels, values)
    write_image(tmp_path / "y.tif", found)
    with tifffile.TiffFile(tmp_path / "y.tif") as tiff:
        np.testing.assert_array_equal(tiff.pages[0].colormap, green)
        np.testing.assert_array_equal(tiff.asarray(), values)


def test_imagej_s_look_up_tables_are_pseudo_colours_whatever_they_are(tmp_path):
    values, table = pixels("uint8", 37, 43), pixels("uint16", 3, 256)
    text = "ImageJ=1.53\nimages=1\n"
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="palette", colormap=table, description=text, metadata=None)
    found = read_image(tmp_path / "x.tif")
    np.testing.assert_array_equal(found.pixels, values)
    write_image(tmp_path / "y.tif", found)
    with tifffile.TiffFile(tmp_path / "y.tif") as tiff:
        assert tiff.is_imagej
        np.testing.assert_array_equal(tiff.imagej_metadata["LUTs"], table >> 8)
        np.testing.assert_array_equal(tiff.asarray(), values)


@pytest.mark.parametrize("kind, name", [("assocalpha", "premultiplied"), ("unassalpha", "straight")])
def test_alpha_of_gray_and_colours(tmp_path, kind, name):
    for samples, photometric in ((2, "minisblack"), (4, "rgb")):
        values = pixels("uint16", 9, 8, samples)
        tifffile.imwrite(tmp_path / "x.tif", values, photometric=photometric, extrasamples=[kind], metadata=None)
        found = read_image(tmp_path / "x.tif")
        assert found.alpha_kind == name and found.samples == samples - 1
        np.testing.assert_array_equal(found.alpha, values[..., -1])
        np.testing.assert_array_equal(found.pixels, values[..., :-1].squeeze())


def test_a_fourth_sample_of_no_stated_meaning_is_kept(tmp_path):
    values = pixels("uint8", 9, 8, 4)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", extrasamples=["unspecified"], metadata=None)
    found = read_image(tmp_path / "x.tif")
    assert found.alpha_kind == "unspecified" and next(found.opacities()) is None
    write_image(tmp_path / "y.tif", found)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "y.tif"), values)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [2, 4, 7])
def test_channels_stored_as_samples_are_channels(tmp_path, channels, planar):
    values = pixels("uint16", channels, 9, 8)
    stored = values if planar == "separate" else values.transpose(1, 2, 0)
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="minisblack", planarconfig=planar, metadata=None)
    found = read_image(tmp_path / "x.tif")
    assert (found.axes, found.channels) == ("CYX", channels)
    np.testing.assert_array_equal(found.pixels, values)
    write_image(tmp_path / "y.tif", found)
    again = read_image(tmp_path / "y.tif")
    assert again.axes == "CYX"
    np.testing.assert_array_equal(again.pixels, values)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "y.tif"), values.transpose(1, 2, 0))


@pytest.mark.parametrize("photometric, name", [("separated", "CMYK"), ("cielab", "CIE Lab"), ("icclab", "ICC Lab")])
def test_inks_and_lab_are_refused_with_a_way_out(tmp_path, photometric, name):
    values = pixels("uint8", 9, 8, 4 if name == "CMYK" else 3)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric=photometric, metadata=None)
    with pytest.raises(UnsupportedInput, match=f"in {name}.*convert it to RGB"):
        read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("dtype", ["uint64", "int64", "complex64"])
def test_other_dtypes_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((5, 5), dtype), metadata=None)
    with pytest.raises(UnsupportedInput, match="8, 16 or 32 bits"):
        read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("provenance", [None, {"k": "v"}])
def test_descriptions_keep_letters_that_are_not_ascii(tmp_path, encoding, provenance):
    text = "Präparat 7, 5 µm"
    tifffile.imwrite(tmp_path / "x.tif", pixels("uint8", 9, 8), description=text.encode(encoding), metadata=None)
    found = read_image(tmp_path / "x.tif")
    assert found.stored.description == text
    write_image(tmp_path / "y.tif", found, provenance=provenance)
    assert read_image(tmp_path / "y.tif").stored.description == text
    write_image(tmp_path / "y.ome.tif", found, provenance=provenance)
    with tifffile.TiffFile(tmp_path / "y.ome.tif") as tiff:
        assert tiff.series[0].name == text
    assert write_image(tmp_path / "y.png", found) == ("PNG does not keep the description",)


def test_descriptions_of_later_pages_are_not_lost_without_a_word(tmp_path):
    for texts, told in ((("a", "b"), True), (("a", "a"), False), (("a", None), False)):
        with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
            for text in texts:
                writer.write(pixels("uint8", 9, 8), description=text, metadata=None)
        notes = read_image(tmp_path / "x.tif").notes
        assert ("of the descriptions of the pages the first is kept" in notes) == told
