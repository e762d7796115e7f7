"""What files say of their pixels: OME-XML, ImageJ, resolutions, ranges; and nonsense and attacks among it."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from dgno.arrays import Image
from dgno.io import pixel_size
from dgno.io.image import read_image, read_images, write_image, write_images
from dgno.io.limits import DEFAULT_LIMITS
from dgno.io.ome import BadMetadataError, parse_ome, rewritten

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 4000, (6, 9, 8), dtype=np.uint16)
OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
IMAGE = (
    '<Image ID="Image:0" Name="cells"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="9"'
    ' SizeC="{c}" SizeZ="{z}" SizeT="{t}" {more}>{inside}</Pixels></Image>'
)


def ome(inside: str = "<TiffData/>", *, c: int = 2, z: int = 3, t: int = 1, more: str = "") -> str:
    return OME.format(IMAGE.format(c=c, z=z, t=t, more=more, inside=inside))


def write_ome(path, text: str | bytes, pages: np.ndarray = STACK, **arguments) -> None:
    data = text.encode() if isinstance(text, str) else text
    tifffile.imwrite(path, pages, photometric="minisblack", description=data, metadata=None, **arguments)


# --- OME-XML -------------------------------------------------------------------------------------------------------


def test_axes_names_sizes_and_bits_come_from_ome(tmp_path):
    inside = '<Channel ID="C:0" Name="DAPI"/><Channel ID="C:1" Name="GFP"/><TiffData/>'
    more = 'PhysicalSizeX="0.2" PhysicalSizeY="300" PhysicalSizeYUnit="nm" SignificantBits="12"'
    write_ome(tmp_path / "x.ome.tif", ome(inside, more=more))
    found = read_image(tmp_path / "x.ome.tif")
    assert (found.axes, found.pixels.shape) == ("ZCYX", (3, 2, 9, 8))
    np.testing.assert_array_equal(found.pixels.reshape(STACK.shape), STACK)
    assert found.channel_names == ("DAPI", "GFP")
    assert found.value_range == (0, 4095)
    np.testing.assert_allclose(found.pixel_size, (0.3, 0.2))
    assert found.notes == ("pixels are not square: 0.3 um high, 0.2 um wide",)


def test_planes_come_in_the_order_that_ome_gives(tmp_path):
    blocks = "".join(f'<TiffData FirstC="{i % 2}" FirstZ="{i // 2}" IFD="{5 - i}"/>' for i in range(6))
    write_ome(tmp_path / "x.ome.tif", ome(blocks))
    np.testing.assert_array_equal(read_image(tmp_path / "x.ome.tif").pixels.reshape(STACK.shape), STACK[::-1])


def test_what_else_ome_says_is_kept(tmp_path):
    instrument = '<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="1.4"/></Instrument>'
    text = OME.format(instrument + IMAGE.format(c=2, z=3, t=1, more="", inside="<TiffData/>"))
    write_ome(tmp_path / "x.ome.tif", text)
    write_image(tmp_path / "y.tif", read_image(tmp_path / "x.ome.tif"), provenance={"k": "v"})
    kept = tifffile.TiffFile(tmp_path / "y.tif", is_ome=True)
    with kept:
        assert 'LensNA="1.4"' in kept.ome_metadata and 'Name="cells"' in kept.ome_metadata
        assert kept.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(kept.asarray().reshape(STACK.shape), STACK)


def test_several_images_of_ome_come_and_go_in_order(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as writer:
        for number in range(3):
            writer.write(np.full((3, 9, 8 + number), number, np.uint8), metadata={"axes": "ZYX", "Name": f"n{number}"})
    found = read_images(tmp_path / "x.ome.tif")
    assert [(image.axes, image.pixels.shape[-1], image.pixels.max()) for image in found] == [
        ("ZYX", 8 + n, n) for n in range(3)
    ]


def test_images_that_are_left_out_leave_the_others_their_metadata(tmp_path):
    """A converted slide: its label and macro pictures are images of OME, but no data."""
    parts = [("slide", 1.5), ("label image", 2.5), ("macro image", 3.5), ("second", 4.5)]
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as writer:
        for number, (name, size) in enumerate(parts):
            facts = {"axes": "YX", "Name": name, "PhysicalSizeX": size, "PhysicalSizeY": size}
            writer.write(np.full((9, 8 + number), number, np.uint8), metadata=facts)
    found = read_images(tmp_path / "x.ome.tif")
    assert [(image.pixels.max(), image.pixel_size) for image in found] == [(0, (1.5, 1.5)), (3, (4.5, 4.5))]
    for images, names in ((found, ["slide", "second"]), (found[1:], ["second"])):
        write_images(tmp_path / "y.ome.tif", images, overwrite=True)
        with tifffile.TiffFile(tmp_path / "y.ome.tif") as tiff:
            assert [series.name for series in tiff.series] == names
        again = read_images(tmp_path / "y.ome.tif")
        assert [image.pixel_size for image in again] == [image.pixel_size for image in images]


def test_images_of_ome_in_another_order_than_their_pages_keep_their_metadata(tmp_path):
    image = IMAGE.replace("Image:0", "Image:{n}").replace("cells", "n{n}").replace('SizeX="8"', 'SizeX="{x}"')
    first, second = (
        image.format(
            n=n, x=x, c=1, z=1, t=1, more=f'PhysicalSizeX="{x}" PhysicalSizeY="{x}"', inside=f'<TiffData IFD="{i}"/>'
        )
        for n, x, i in ((0, 8, 1), (1, 7, 0))
    )
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as writer:
        writer.write(np.full((9, 7), 1, np.uint16), description=OME.format(first + second), metadata=None)
        writer.write(np.full((9, 8), 0, np.uint16), metadata=None)
    found = read_images(tmp_path / "x.ome.tif")
    assert [(one.pixels.shape[1], one.pixels.max(), one.pixel_size) for one in found] == [
        (8, 0, (8, 8)),
        (7, 1, (7, 7)),
    ]


def test_files_of_tifffile_are_read_with_all_axes(tmp_path):
    values = RNG.integers(0, 255, (2, 3, 4, 9, 8, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "x.ome.tif", values, photometric="rgb", metadata={"axes": "TZCYXS"})
    found = read_image(tmp_path / "x.ome.tif")
    assert found.axes == "TZCYXS"
    np.testing.assert_array_equal(found.pixels, values)


BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]>"
)
BAD_OME = {
    "entity bomb": BILLION_LAUGHS + ome("&j;<TiffData/>"),
    "external entity": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + ome("&e;<TiffData/>"),
    "document type": "<!DOCTYPE OME>" + ome(),
    "not closed": ome().replace("</Pixels>", ""),
    "not UTF-8": ome().encode().replace(b"cells", b"c\xffells"),
    "unknown encoding": '<?xml version="1.0" encoding="klingon"?>' + ome(),
    "nested too deep": OME.format("<a>" * 5000 + "</a>" * 5000),
    "no image": OME.format(""),
    "no pixels": OME.format('<Image ID="Image:0"/>'),
    "a billion planes": ome(z=10**9),
    "planes that are not there": ome(z=4),
    "a block of a billion": ome('<TiffData IFD="0" PlaneCount="1000000000"/>'),
    "a block behind the end": ome('<TiffData IFD="7"/>'),
    "a plane twice": ome('<TiffData IFD="0" PlaneCount="5"/><TiffData IFD="5"/>'),
    "negative size": ome(z=-3),
    "size of letters": ome().replace('SizeZ="3"', 'SizeZ="three"'),
    "unknown order": ome().replace("XYCZT", "XYZ"),
    "channels that differ": ome('<Channel SamplesPerPixel="1"/><Channel SamplesPerPixel="3"/><TiffData/>'),
    "several files": ome(
        '<TiffData IFD="0" PlaneCount="3"><UUID FileName="a">urn:a</UUID></TiffData>'
        '<TiffData FirstZ="1" FirstC="1" IFD="0" PlaneCount="3"><UUID FileName="b">urn:b</UUID></TiffData>'
    ),
}


@pytest.mark.parametrize("case", BAD_OME)
def test_bad_ome_is_dropped_with_a_note_and_pixels_are_read(tmp_path, case):
    write_ome(tmp_path / "x.ome.tif", BAD_OME[case])
    found = read_image(tmp_path / "x.ome.tif")
    np.testing.assert_array_equal(found.pixels, STACK)
    assert found.axes == "IYX"
    assert "the XML metadata are not used, the pages are read in their order" in found.notes[0]


def test_huge_ome_is_dropped(tmp_path):
    text = ome("<!--" + "x" * 50_000_000 + "--><TiffData/>")
    write_ome(tmp_path / "x.ome.tif", text)
    found = read_image(tmp_path / "x.ome.tif")
    np.testing.assert_array_equal(found.pixels, STACK)
    assert "bytes, more than 16,777,216" in found.notes[0]


def test_other_xml_is_checked_as_well(tmp_path):
    write_ome(tmp_path / "x.tif", BILLION_LAUGHS + "<scn>&j;</scn>")
    assert "document type" in read_image(tmp_path / "x.tif").notes[0]


def test_the_rewritten_document_says_the_same():
    text = ome('<TiffData FirstZ="1" IFD="2" PlaneCount="4"/><TiffData PlaneCount="2"/>').encode()
    (image,) = parse_ome(text, 6, DEFAULT_LIMITS)
    assert image.blocks == ((2, 2, 4), (0, 0, 2))
    (again,) = parse_ome(rewritten((image,)).encode(), 6, DEFAULT_LIMITS)
    assert (again.blocks, again.sizes, again.order) == (image.blocks, image.sizes, image.order)
    with pytest.raises(BadMetadataError, match="6 planes"):
        parse_ome(ome('<TiffData IFD="0" PlaneCount="3"/>').encode(), 6, DEFAULT_LIMITS)


# --- ImageJ --------------------------------------------------------------------------------------------------------

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


# --- pixel size ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows, columns, is_known, note",
    [
        (0.25, 0.25, True, ""),
        (0.25, 0.26, True, "not square"),
        (0.25, 0.252, True, ""),
        (85, 85, True, "unlikely"),
        (0, 0, False, "absurd"),
        (-1, 1, False, "absurd"),
        (math.nan, 1, False, "absurd"),
        (math.inf, math.inf, False, "absurd"),
        (1001, 1001, False, "absurd"),
        (0.0009, 0.0009, False, "absurd"),
    ],
)
def test_pixel_sizes_are_checked(rows, columns, is_known, note):
    size, notes = pixel_size.checked(rows, columns, source="test")
    assert size == ((rows, columns) if is_known else None)
    assert [note in text for text in notes] == ([True] if note else [])


@pytest.mark.parametrize("density", [72, 96, 72.009, 95.987])
def test_densities_of_screens_are_no_pixel_sizes(density):
    assert pixel_size.from_density(density, density, 25400, source="test") == (None, ())
    assert pixel_size.from_density(density / 2.54, density / 2.54, 1e4, source="test") == (None, ())


@pytest.mark.parametrize("unit, micrometres", [("INCH", 25400), ("CENTIMETER", 1e4)])
def test_resolution_of_tiff(tmp_path, unit, micrometres):
    resolution = (micrometres / 0.5, micrometres / 0.25)
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], resolution=resolution, resolutionunit=unit)
    np.testing.assert_allclose(read_image(tmp_path / "x.tif").pixel_size, (0.25, 0.5), rtol=1e-6)
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], resolution=(4, 4), resolutionunit="NONE")
    found = read_image(tmp_path / "x.tif")
    assert found.pixel_size is None and found.stored.resolution == (4, 4, 1)
    write_image(tmp_path / "y.tif", found)
    assert read_image(tmp_path / "y.tif").stored.resolution == (4, 4, 1)


def test_resolution_of_png_and_jpeg_and_bmp(tmp_path):
    image = Pillow.fromarray(STACK[0].astype(np.uint8))
    for suffix in (".png", ".jpg", ".bmp"):
        image.save(tmp_path / f"x{suffix}", dpi=(50800, 50800))
        np.testing.assert_allclose(read_image(tmp_path / f"x{suffix}").pixel_size, (0.5, 0.5), rtol=1e-4)
        image.save(tmp_path / f"x{suffix}", dpi=(96, 96))
        assert read_image(tmp_path / f"x{suffix}").pixel_size is None
        image.save(tmp_path / f"x{suffix}")
        assert read_image(tmp_path / f"x{suffix}").pixel_size is None


def test_jpeg_says_when_it_cannot_hold_a_pixel_size(tmp_path):
    image = Image(np.zeros((9, 8), np.uint8), "YX", (0, 255), pixel_size=(0.1, 0.1))
    notes = write_image(tmp_path / "x.jpg", image)
    assert any("below 0.153 um" in note for note in notes)
    assert read_image(tmp_path / "x.jpg").pixel_size is None


# --- value range ---------------------------------------------------------------------------------------------------


def tagged(path, values: np.ndarray, low: float, high: float, code: str = "H") -> None:
    tifffile.imwrite(path, values, extratags=[(340, code, 1, low, False), (341, code, 1, high, False)], metadata=None)


def test_ranges_come_from_the_file_if_it_says_so(tmp_path):
    tagged(tmp_path / "x.tif", STACK[0] // 8, 0, 4095)
    found = read_image(tmp_path / "x.tif")
    assert found.value_range == (0, 4095) and found.notes == ()
    tagged(tmp_path / "x.tif", STACK[0].astype(np.float32), -1.0, 5000.0, "f")
    assert read_image(tmp_path / "x.tif").value_range == (-1, 5000)


@pytest.mark.parametrize("low, high", [(0, 255), (9, 9), (4095, 0)])
def test_ranges_that_do_not_hold_are_not_used(tmp_path, low, high):
    tagged(tmp_path / "x.tif", STACK[0], low, high)
    found = read_image(tmp_path / "x.tif")
    assert found.value_range == (0, 4095)
    assert "which they do not" in found.notes[0] and "guessed" in found.notes[1]


def test_16_significant_bits_of_16_say_nothing(tmp_path):
    write_ome(tmp_path / "x.ome.tif", ome(more='SignificantBits="16"'))
    found = read_image(tmp_path / "x.ome.tif")
    assert found.value_range == (0, 4095) and "12 bits" in found.notes[0]


def png(pixels: np.ndarray, *extra: tuple[bytes, bytes]) -> bytes:
    """A gray 16-bit PNG with further chunks."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))
    parts = [(b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_sbit_of_png(tmp_path):
    (tmp_path / "x.png").write_bytes(png(STACK[0] // 8, (b"sBIT", b"\x0c")))
    assert read_image(tmp_path / "x.png").value_range == (0, 4095)
    (tmp_path / "x.png").write_bytes(png(STACK[0] * 16, (b"sBIT", b"\x0c")))
    assert read_image(tmp_path / "x.png").value_range == (0, 65535)  # stretched, as the standard has it


# --- PNG and JPEG --------------------------------------------------------------------------------------------------


def test_broken_metadata_of_png_do_not_matter(tmp_path):
    extra = [(b"iCCP", b"name\0\0not deflated"), (b"pHYs", b"short"), (b"eXIf", b"MM\0*"), (b"sBIT", b"")]
    (tmp_path / "x.png").write_bytes(png(STACK[0], *extra))
    found = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(found.pixels, STACK[0])
    assert (found.icc_profile, found.pixel_size, found.stored.orientation) == (None, None, 1)


def test_a_deflate_bomb_in_a_profile_is_left_out(tmp_path):
    bomb = zlib.compress(bytes(200_000_000))
    (tmp_path / "x.png").write_bytes(png(STACK[0], (b"iCCP", b"name\0\0" + bomb)))
    assert read_image(tmp_path / "x.png").icc_profile is None


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_equals_what_pillow_reads(tmp_path, mode, progressive, subsampling):
    rows, columns = np.indices((50, 70))
    array = np.stack([rows * 3, columns * 3, rows + columns], -1).astype(np.uint8)
    image = Pillow.fromarray(array if mode == "RGB" else array[..., 0])
    image.save(tmp_path / "x.jpg", progressive=progressive, subsampling=subsampling, icc_profile=b"p" * 200_000)
    found = read_image(tmp_path / "x.jpg")
    with Pillow.open(tmp_path / "x.jpg") as opened:
        np.testing.assert_array_equal(found.pixels, np.asarray(opened))
    assert found.icc_profile == b"p" * 200_000 and found.value_range == (0, 255)


@pytest.mark.parametrize("has_alpha", [False, True])
def test_a_palette_of_grays_makes_a_gray_image(tmp_path, has_alpha):
    image = Pillow.fromarray(STACK[0].astype(np.uint8) % 4).convert("P")
    image.putpalette([v for gray in (9, 99, 7, 255) for v in (gray,) * 3])
    image.save(tmp_path / "x.png", **({"transparency": 2} if has_alpha else {}))
    found = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(found.pixels, np.array([9, 99, 7, 255])[STACK[0] % 4])
    assert (found.alpha is not None) == has_alpha and "palette expanded to colours" in found.notes
    if has_alpha:
        np.testing.assert_array_equal(found.alpha, np.array([255, 255, 0, 255])[STACK[0] % 4])


def test_every_kind_of_png_equals_what_pillow_reads(tmp_path):
    array = RNG.integers(0, 256, (21, 17, 4), dtype=np.uint8)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        samples = {"1": array[..., 0] > 99, "L": array[..., 0], "P": array[..., :3], "I;16": STACK[0]}
        image = Pillow.fromarray(samples.get(mode, array[..., : len(mode)]))
        image = image.quantize(7) if mode == "P" else image
        image.save(tmp_path / "x.png")
        found = read_image(tmp_path / "x.png")
        wanted = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
        ours = found.pixels if found.alpha is None else np.dstack([found.pixels, found.alpha])
        np.testing.assert_array_equal(ours, wanted)
