"""What OME-XML says of the pixels; and nonsense and attacks among it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from ome_files import IMAGE, OME, RNG, STACK, ome, write_ome

from dgno.arrays import Image
from dgno.io.image import read_image, read_images, write_image, write_images
from dgno.io.limits import DEFAULT_LIMITS
from dgno.io.ome import BadMetadataError, local, parse_ome, parse_xml, rewritten
from dgno.stored import Stored


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


def test_annotations_stand_before_the_regions_as_the_schema_has_it(tmp_path):
    regions = '<ROI ID="ROI:0"><Union><Point ID="Shape:0" X="1" Y="2"/></Union></ROI>'
    text = OME.format(IMAGE.format(c=2, z=3, t=1, more="", inside="<TiffData/>") + regions)
    write_ome(tmp_path / "x.ome.tif", text)
    write_image(tmp_path / "y.ome.tif", read_image(tmp_path / "x.ome.tif"), provenance={"k": "v"})
    root = parse_xml(tifffile.tiffcomment(tmp_path / "y.ome.tif").encode(), DEFAULT_LIMITS)
    assert [local(child) for child in root] == ["Image", "StructuredAnnotations", "ROI"]


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


@pytest.mark.parametrize(
    ("text", "name", "description"),
    [
        ("cells in the dark", "cells in the dark", None),
        ("Aperio Image Library v11.2.1 \r\n46000x32914 [42673,5576 2220x2967] (240x240)", None, "46000x32914"),
        ("a" * 300, None, "a" * 300),
        ("", None, None),
    ],
)
def test_a_free_text_is_a_name_only_if_it_is_like_one(
    tmp_path: Path, text: str, name: str | None, description: str | None
) -> None:
    """Viewers show the name as the title of the image; nothing of a longer text is lost."""
    image = Image(np.zeros((9, 8), np.uint8), stored=Stored(description=text))
    write_image(tmp_path / "a.ome.tif", image)
    (element,) = parse_xml(tifffile.tiffcomment(tmp_path / "a.ome.tif").encode(), DEFAULT_LIMITS).findall("{*}Image")
    assert element.get("Name") == name
    found = element.findtext("{*}Description")
    assert found is None if description is None else description in (found or "")
