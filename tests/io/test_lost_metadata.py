"""What formats of plain pictures do not keep of the metadata of others is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from ome_files import STACK, ome, write_ome

from dgno.io.image import read_image, write_image

GRAY = STACK[0].astype(np.uint8)
SAID = """<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="1.4"/></Instrument>
<Image ID="Image:0"><AcquisitionDate>2020-01-01T00:00:00</AcquisitionDate><InstrumentRef ID="Instrument:0"/>
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="9" SizeC="1" SizeZ="1" SizeT="1"
PhysicalSizeX="0.5" PhysicalSizeY="0.5"><Channel ID="Channel:0:0" Name="DAPI" EmissionWavelength="460"/><TiffData/>
<Plane TheZ="0" TheC="0" TheT="0" ExposureTime="0.1"/></Pixels></Image>
<StructuredAnnotations><XMLAnnotation ID="A:0"><Value><x a="1"/></Value></XMLAnnotation></StructuredAnnotations>"""


@pytest.mark.parametrize("name", ["y.png", "y.jpg", "y.bmp"])
def test_what_is_lost_of_ome_is_told(tmp_path: Path, name: str) -> None:
    text = ome().partition("<Image")[0] + SAID + "</OME>"
    write_ome(tmp_path / "x.ome.tif", text, GRAY)
    found = read_image(tmp_path / "x.ome.tif")
    told = write_image(tmp_path / name, found)
    kind = {"y.png": "PNG", "y.jpg": "JPEG", "y.bmp": "BMP"}[name]
    elements = "Objective, AcquisitionDate, Channel, Plane, StructuredAnnotations"
    assert f"{kind} does not keep the channel names (DAPI)" in told
    assert f"{kind} does not keep what else the OME-XML says ({elements})" in told
    assert not any("keep" in note for note in write_image(tmp_path / "y.ome.tif", found))
    np.testing.assert_allclose(read_image(tmp_path / name).pixel_size, (0.5, 0.5))


def test_ome_that_says_nothing_more_is_lost_without_a_word(tmp_path: Path) -> None:
    """Pixels, their size and a channel without a name, as tifffile writes them."""
    tifffile.imwrite(tmp_path / "x.ome.tif", GRAY, metadata={"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    assert write_image(tmp_path / "y.png", read_image(tmp_path / "x.ome.tif")) == ()


def test_what_is_lost_of_imagej_is_told(tmp_path: Path) -> None:
    said = {"Info": "objective 60x", "Overlays": b"x", "unit": "um"}
    tifffile.imwrite(tmp_path / "x.tif", GRAY, imagej=True, resolution=(2, 2), metadata=said)
    found = read_image(tmp_path / "x.tif")
    told = write_image(tmp_path / "y.png", found)
    assert any("ImageJ's info" in note for note in told), told
    table = np.stack([np.arange(256)[::-1]] * 3).astype(np.uint8)
    tifffile.imwrite(tmp_path / "z.tif", GRAY, imagej=True, metadata={"LUTs": [table]})
    told = write_image(tmp_path / "z.png", read_image(tmp_path / "z.tif"))
    assert len(told) == 1 and "look-up tables" in told[0], told
    assert write_image(tmp_path / "y.tif", found) == ()
