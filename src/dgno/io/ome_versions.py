"""OME-XML of older schemas in the terms of 2016-06, the last one.

From 2012-06 on all is kept, as the stylesheets of the OME consortium do it (2012-06-to-2013-06.xsl to
2015-01-to-2016-06.xsl). Of older documents what stands in 2016-06 under the same name: names, sizes, channels, planes
and objectives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree.ElementTree import Element, SubElement

from dgno.io.limits import DEFAULT_LIMITS
from dgno.io.ome import BadMetadataError, local, parse_xml

LAST = "2016-06"
ALIKE = ("2012-06", "2013-06", "2015-01")
NAMESPACE = re.compile(r"\{https?://www\.openmicroscopy\.org/Schemas/[A-Za-z]+/([0-9A-Z-]+)\}")
SHAPES = ("Line", "Rectangle", "Mask", "Ellipse", "Point", "Polyline", "Polygon", "Label")
LIGHTS = ("Laser", "Arc", "Filament", "LightEmittingDiode", "GenericExcitationSource")
MERGED = {"Shape": SHAPES, "LightSource": LIGHTS}  # the child that tells the kind becomes the element
WITHOUT_ANNOTATIONS = ("Pixels", "WellSample")
DROPPED = {"ROI": ("Namespace",), **dict.fromkeys(SHAPES, ("LineCap", "Visible"))}
MARKERS = ("MarkerStart", "MarkerEnd")


def _is_text(value: str) -> bool:
    return True


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?|[+-]?\.\d+([eE][+-]?\d+)?", value) is not None


def is_positive(value: str) -> bool:
    """Is this the text of a positive number, as XML Schema has them?"""
    return _is_number(value.strip()) and float(value) > 0


def _is_whole(value: str) -> bool:
    return re.fullmatch(r"-?\d{1,10}", value) is not None and -(2**31) <= int(value) < 2**31


def _is_immersion(value: str) -> bool:
    return value in ("Oil", "Water", "WaterDipping", "Air", "Multi", "Glycerol", "Other")


Attributes = dict[str, Callable[[str], bool]]
OBJECTIVE: Attributes = {
    **dict.fromkeys(("ID", "Manufacturer", "Model", "SerialNumber", "LotNumber"), _is_text),
    **dict.fromkeys(("LensNA", "NominalMagnification", "CalibratedMagnification", "WorkingDistance"), _is_number),
    "Immersion": _is_immersion,
}
SAME: dict[str, Attributes] = {  # what 2016-06 has by the same name, and which values it allows
    "Instrument": {"ID": _is_text},
    "Objective": OBJECTIVE,
    "Image": {"ID": _is_text, "Name": _is_text},
    "AcquisitionDate": {},
    "Description": {},
    "InstrumentRef": {"ID": _is_text},
    "ObjectiveSettings": {"ID": _is_text, "RefractiveIndex": _is_number},
    "Pixels": {
        "ID": _is_text,
        **dict.fromkeys(("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ"), is_positive),
        "TimeIncrement": _is_number,
    },
    "Channel": {
        **dict.fromkeys(("ID", "Name", "Fluor"), _is_text),
        **dict.fromkeys(("EmissionWavelength", "ExcitationWavelength"), is_positive),
        **dict.fromkeys(("PinholeSize", "NDFilter"), _is_number),
        "Color": _is_whole,
    },
    "Plane": {
        **dict.fromkeys(("TheZ", "TheC", "TheT"), _is_whole),
        **dict.fromkeys(("DeltaT", "ExposureTime", "PositionX", "PositionY", "PositionZ"), _is_number),
    },
}
CHILDREN = {
    "OME": ("Instrument", "Image"),
    "Instrument": ("Objective",),
    "Image": ("AcquisitionDate", "Description", "InstrumentRef", "ObjectiveSettings", "Pixels"),
    "Pixels": ("Channel", "Plane"),
}
PLAIN = ("OME", "Image", "Pixels", "UUID", "TiffData", "BinData", "MetadataOnly")
WHOLE = ("StructuredAnnotations", "ROI")  # named, and not what is in them
PLAIN_ATTRIBUTES = {"ID", "Name", "SamplesPerPixel"}  # of a Channel that says nothing but its name
SAID_ANEW = ("TiffData", "BinData", "UUID", "SemanticTypeDefinitions")


def modern(root: Element) -> Element | None:
    """The document in the terms of 2016-06, with names without namespace; None if its version is unknown.

    The one that is given is changed.
    """
    found = NAMESPACE.match(str(root.tag))
    if found is None or local(root) != "OME":
        return root if root.tag == "OME" else None
    for element in root.iter():
        if NAMESPACE.match(str(element.tag)):
            element.tag = local(element)
    if found[1] == LAST:
        return root
    root.attrib = {key: value for key, value in root.attrib.items() if key == "Creator"}
    if found[1] not in ALIKE:
        return _same(root)
    for element in list(root.iter()):
        _renew(element)
    return root


def left_out(document: bytes) -> tuple[str, ...]:
    """A note on what of older OME-XML is not kept."""
    if not document:
        return ()
    try:
        root = parse_xml(document, DEFAULT_LIMITS)
    except BadMetadataError:
        return ()
    found = NAMESPACE.match(str(root.tag))
    if found is None:
        return () if root.tag == "OME" else ("the OME-XML is of a version that dgno does not know, and is left out",)
    if found[1] == LAST or found[1] in ALIKE:
        return ()
    before = [element for element in root.iter() if local(element) not in SAID_ANEW]
    after = modern(root)
    if after is None or (count := len(before) - sum(1 for _ in after.iter())) <= 0:
        return ()
    what = "1 element is" if count == 1 else f"{count} elements are"
    return (f"of the OME-XML of {found[1]} {what} left out, which later versions of it say in another way",)


def elements_of(document: bytes) -> list[str]:
    """The kinds of elements that say more than pixels, their size and the names of channels, in their order."""
    try:
        root = parse_xml(document, DEFAULT_LIMITS) if document else Element("OME")
    except BadMetadataError:
        return []
    found: dict[str, None] = {}
    _collect(root, found)
    return list(found)


def _collect(element: Element, found: dict[str, None]) -> None:
    name = local(element)
    says = set(element.attrib) - PLAIN_ATTRIBUTES or (element.text or "").strip()
    if name in WHOLE or (says and name not in PLAIN and not name.endswith("Ref")):
        found[name] = None
    for child in element if name not in WHOLE else ():
        _collect(child, found)


def _renew(element: Element) -> None:
    """An element of 2012-06 or later: its kind, and attributes and children that it no longer has."""
    kinds = MERGED.get(str(element.tag), ())
    for kind in [child for child in element if child.tag in kinds]:
        element.remove(kind)
        element.tag = kind.tag
        element.attrib |= kind.attrib
        element.extend(list(kind))
    for name in DROPPED.get(str(element.tag), ()):
        element.attrib.pop(name, None)
    if element.tag in SHAPES:
        element.attrib |= {name: "Arrow" for name in MARKERS if name in element.attrib}
    if element.tag in WITHOUT_ANNOTATIONS:
        for child in element.findall("AnnotationRef"):
            element.remove(child)


def _same(element: Element) -> Element:
    """A copy with what is the same in 2016-06, in the order of its schema."""
    allowed = SAME.get(str(element.tag), {})
    kept = {key: value for key, value in element.attrib.items() if key in allowed and allowed[key](value)}
    copy = Element(str(element.tag), kept)
    copy.text = element.text if not len(element) else None
    for name in CHILDREN.get(str(element.tag), ()):
        copies = [_same(child) for child in element.findall(name)]
        if name == "Plane":  # which all three of them are needed for
            copies = [plane for plane in copies if {"TheZ", "TheC", "TheT"} <= set(plane.attrib)]
        copy.extend(copies)
    if element.tag == "Image" and copy.find("Pixels") is None:
        SubElement(copy, "Pixels")
    return copy
