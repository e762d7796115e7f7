"""OME-XML of older schemas is written as what 2016-06 has for it."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import ome_types
import pytest
import tifffile
from ome_files import write_ome

from dgno.io.image import read_image, write_image
from dgno.io.limits import DEFAULT_LIMITS
from dgno.io.ome import parse_xml
from dgno.io.ome_versions import left_out

VERSIONS = ("2008-09", "2010-06", "2011-06", "2012-06", "2013-06", "2015-01", "2016-06")
LATEST = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
PIXELS = (
    '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="9" SizeC="2" SizeZ="3" SizeT="1"'
    ' PhysicalSizeX="0.2" PhysicalSizeY="0.2" PhysicalSizeZ="0.7" TimeIncrement="2.0">'
    '<Channel ID="Channel:0:0" Name="DAPI" Color="65535" EmissionWavelength="461"/><Channel ID="Channel:0:1"/>'
    '<TiffData/><Plane TheC="0" TheZ="1" TheT="0" ExposureTime="0.05"/></Pixels>'
)
IMAGE = (
    '<Instrument ID="Instrument:0">{light}<Objective ID="Objective:0" LensNA="0.75" Immersion="Oil"/></Instrument>'
    f'<Image ID="Image:0" Name="exp 1"><Description>mine</Description>{PIXELS}{{ref}}</Image>'
)
ROI = (
    '<ROI:ROI xmlns:ROI="http://www.openmicroscopy.org/Schemas/ROI/{version}" ID="ROI:0" Namespace="n"><ROI:Union>'
    '<ROI:Shape ID="Shape:0" TheZ="1" Visible="true"><ROI:Line X1="1" Y1="2" X2="3" Y2="4" MarkerEnd="Circle"/>'
    "</ROI:Shape></ROI:Union></ROI:ROI>"
)
LIGHT = '<LightSource ID="LightSource:0" Power="5"><Laser Type="Gas" Wavelength="488"/></LightSource>'


def document(version: str, *, light: str = "", ref: str = "", after: str = "") -> str:
    space = f"http://www.openmicroscopy.org/Schemas/OME/{version}"
    return f'<OME xmlns="{space}">{IMAGE.format(light=light, ref=ref)}{after.format(version=version)}</OME>'


def rewritten(folder: Path, text: str) -> tuple[Element, tuple[str, ...]]:
    """The OME-XML of the output, and the notes."""
    write_ome(folder / "x.ome.tif", text)
    image = read_image(folder / "x.ome.tif")
    notes = write_image(folder / "y.ome.tif", image, overwrite=True, provenance={"k": "v"})
    said = tifffile.tiffcomment(folder / "y.ome.tif")
    ome_types.from_xml(said)
    return parse_xml(said.encode(), DEFAULT_LIMITS), notes


@pytest.mark.parametrize("version", VERSIONS)
def test_sizes_channels_planes_and_objectives_of_every_version_are_kept(tmp_path: Path, version: str) -> None:
    root, notes = rewritten(tmp_path, document(version))
    assert notes == ()
    said = {(element.tag.removeprefix(LATEST), key, value) for element in root.iter() for key, value in element.items()}
    wanted = {
        ("Image", "Name", "exp 1"),
        ("Objective", "LensNA", "0.75"),
        ("Pixels", "PhysicalSizeZ", "0.7"),
        ("Pixels", "TimeIncrement", "2.0"),
        ("Channel", "Name", "DAPI"),
        ("Channel", "Color", "65535"),
        ("Channel", "EmissionWavelength", "461"),
        ("Plane", "ExposureTime", "0.05"),
    }
    assert wanted <= said
    assert all(element.tag.startswith(LATEST) for element in root.iter())
    assert root.findtext(f"{LATEST}Image/{LATEST}Description") == "mine"


@pytest.mark.parametrize("version", ["2012-06", "2013-06", "2015-01"])
def test_regions_and_lamps_become_what_2016_has_for_them(tmp_path: Path, version: str) -> None:
    root, notes = rewritten(tmp_path, document(version, light=LIGHT, ref='<ROIRef ID="ROI:0"/>', after=ROI))
    laser = root.find(f".//{LATEST}Laser")
    assert laser is not None and dict(laser.items()) == {
        "ID": "LightSource:0", "Power": "5", "Type": "Gas", "Wavelength": "488",
    }  # fmt: skip
    line = root.find(f".//{LATEST}Union/{LATEST}Line")
    assert line is not None and dict(line.items()) == {
        "ID": "Shape:0", "TheZ": "1", "X1": "1", "Y1": "2", "X2": "3", "Y2": "4", "MarkerEnd": "Arrow",
    }  # fmt: skip
    assert [child.tag.removeprefix(LATEST) for child in root] == ["Instrument", "Image", "StructuredAnnotations", "ROI"]
    assert notes == ()


def test_what_the_oldest_say_in_another_way_is_left_out_with_a_note(tmp_path: Path) -> None:
    root, notes = rewritten(tmp_path, document("2010-06", light=LIGHT, after=ROI))
    assert root.find(f".//{LATEST}ROI") is None
    assert notes == (
        "of the OME-XML of 2010-06 6 elements are left out, which later versions of it say in another way",
    )


def test_an_unknown_version_is_left_out_with_a_note() -> None:
    assert "does not know" in left_out(b'<OME xmlns="http://www.openmicroscopy.org/XMLschemas/OME/FC/ome.xsd"/>')[0]
