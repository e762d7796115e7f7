"""OME-TIFF in several files is one slide."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
import tifffile
from made_slides import tissue

from dgno.errors import InputError, MissingInput, UnreadableInput
from dgno.io.open_slide import open_slide

PLANES = np.stack([tissue(150, 130, samples=1, dtype="uint16") // (n + 1) for n in range(6)]).reshape(2, 3, 150, 130)


def document(own: str, names: list[str]) -> str:
    """Three channels at two depths; file z has the channels of depth z."""
    blocks = "".join(
        f'<TiffData FirstC="{c}" FirstZ="{z}" FirstT="0" IFD="{c}" PlaneCount="1">'
        f"<UUID FileName={quoteattr(names[z])}>urn:uuid:{z}</UUID></TiffData>"
        for z in range(2)
        for c in range(3)
    )
    channels = "".join(f'<Channel ID="Channel:0:{c}" Name="{"ABC"[c]}" SamplesPerPixel="1"/>' for c in range(3))
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{own}">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="130" SizeY="150" '
        f'SizeC="3" SizeZ="2" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.25">{channels}{blocks}'
        "</Pixels></Image></OME>"
    )


def write_set(folder: Path, names: list[str], *, pixels: np.ndarray = PLANES) -> None:
    for z in range(2):
        with tifffile.TiffWriter(folder / f"z{z}.ome.tif") as writer:
            for c in range(3):
                text = document(f"urn:uuid:{z}", names) if c == 0 else None
                common = {"tile": (64, 64), "photometric": "minisblack", "metadata": None, "compression": "zlib"}
                writer.write(pixels[z, c], description=text, subifds=1, **common)
                writer.write(pixels[z, c, ::2, ::2], subfiletype=1, **common)


NAMES = ["z0.ome.tif", "z1.ome.tif"]


@pytest.mark.parametrize("given", NAMES)
def test_all_planes_and_levels_from_either_file(tmp_path: Path, given: str) -> None:
    write_set(tmp_path, NAMES)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / given), PLANES)
    with open_slide(tmp_path / given) as slide:
        assert (slide.facts.axes, slide.facts.sizes, slide.format) == ("ZC", (2, 3), "ome-tiff")
        assert slide.facts.pixel_size == (0.25, 0.5) and slide.facts.channel_names == ("A", "B", "C")
        assert [level.shape for level in slide.levels] == [(150, 130), (75, 65)]
        for plane in range(6):
            wanted = PLANES.reshape(6, 150, 130)[plane]
            np.testing.assert_array_equal(slide.read((0, 150), (0, 130), plane=plane)[..., 0], wanted)
            np.testing.assert_array_equal(slide.read((0, 75), (0, 65), plane=plane, level=1)[..., 0], wanted[::2, ::2])
        assert len(slide.fingerprint()) == 8


def test_the_given_file_may_have_another_name(tmp_path: Path) -> None:
    write_set(tmp_path, NAMES)
    (tmp_path / "z0.ome.tif").rename(tmp_path / "renamed.ome.tif")
    with open_slide(tmp_path / "renamed.ome.tif") as slide:
        assert slide.facts.plane_count == 6
    with pytest.raises(MissingInput) as caught:
        open_slide(tmp_path / "z1.ome.tif")
    assert caught.value.path == tmp_path / "z0.ome.tif"


def test_broken_companions_are_named(tmp_path: Path) -> None:
    write_set(tmp_path, NAMES)
    whole = (tmp_path / "z1.ome.tif").read_bytes()
    for data in (whole[:-100], b"", b"text that is no image", whole[:5]):
        (tmp_path / "z1.ome.tif").write_bytes(data)
        with pytest.raises(InputError) as caught:
            open_slide(tmp_path / "z0.ome.tif")
        assert caught.value.path == tmp_path / "z1.ome.tif"
    tifffile.imwrite(tmp_path / "z1.ome.tif", PLANES[0, 0], photometric="minisblack")
    with pytest.raises(UnreadableInput, match="lacks pages"):
        open_slide(tmp_path / "z0.ome.tif")


def test_names_do_not_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write_set(tmp_path, ["z0.ome.tif", "../z1.ome.tif"])
    (tmp_path / "z0.ome.tif").rename(tmp_path / "sub" / "z0.ome.tif")
    with open_slide(tmp_path / "sub" / "z0.ome.tif") as slide:
        assert slide.facts.plane_count == 3  # its own pages
        assert any("describes several files" in note for note in slide.notes)
