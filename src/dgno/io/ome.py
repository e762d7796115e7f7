"""OME-XML, read with suspicion: no entities, no document types, no nesting to death, no numbers that lie.

tifffile is given a rewritten document that holds what was checked here and nothing else.
Schema: openmicroscopy.org/Schemas/OME/2016-06; older ones use the same names for what is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement
from xml.parsers import expat

from dgno.io.limits import Limits
from dgno.io.pixel_size import micrometres
from dgno.io.plane_facts import of_ome
from dgno.stored import PlaneFacts

DEEPEST = 64
MOST_ELEMENTS = 1_000_000
MOST_PAGES = 2**31


class BadMetadataError(ValueError):
    """OME-XML that is not used; the message says why. Never leaves this package: the pixels are read without it."""


@dataclass(frozen=True)
class OmeImage:
    """What an <Image> says.

    number : which <Image> of the document it is
    sizes : by axis letter; C counts colour samples as well
    samples : colour samples of a pixel
    blocks : (first plane, first page, number of planes) of every TiffData
    pixel_size : (row, column) in um, unchecked
    odd_size : why what is said of it is not used, in words; else empty
    significant_bits : 0 if unknown
    plane_facts : steps along Z and T, and colours of channels
    """

    number: int
    name: str
    order: str
    sizes: dict[str, int]
    samples: int
    blocks: tuple[tuple[int, int, int], ...]
    pixel_size: tuple[float, float] | None
    odd_size: str
    significant_bits: int
    channel_names: tuple[str, ...]
    plane_facts: PlaneFacts

    @property
    def planes(self) -> int:
        """How many pages it takes."""
        return self.sizes["Z"] * self.sizes["T"] * (self.sizes["C"] // self.samples)


def is_ome(description: bytes) -> bool:
    """Does the description of the first page claim to be OME-XML? (As tifffile and Bio-Formats tell.)"""
    return description[-64:].strip().endswith(b"OME>")


def parse_xml(data: bytes, limits: Limits) -> Element:
    """The root of a document; BadMetadataError if it is broken, too large, too deep, or has a document type."""
    if len(data) > limits.metadata_bytes:
        raise BadMetadataError(f"{len(data):,} bytes, more than {limits.metadata_bytes:,}")
    try:
        _check_xml(data)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadMetadataError(str(error)) from error


def parse_ome(data: bytes, pages: int, limits: Limits) -> tuple[OmeImage, ...]:
    """The images that OME-XML describes in a file of `pages` pages; BadMetadataError if they are not there."""
    root = parse_xml(data, limits)
    uuids = {element.text for element in root.iter() if local(element) == "UUID"}
    if len(uuids) > 1:
        raise BadMetadataError("it describes several files")
    elements = [element for element in root if local(element) == "Image"]
    found = tuple(_image(element, number, pages) for number, element in enumerate(elements))
    images = tuple(image for image in found if image.blocks)
    if not images or sum(image.planes for image in images) > pages:
        raise BadMetadataError(f"it does not describe the {pages} pages of this file")
    return images


def parse_file_set(data: bytes, limits: Limits) -> tuple[OmeImage, tuple[str, ...]]:
    """The first image that OME-XML describes over several files, and of each of its blocks the file's name.

    The name is empty for the file that the document is in. BadMetadataError if it makes no sense.
    """
    root = parse_xml(data, limits)
    own = root.get("UUID", "")
    element = next((child for child in root if local(child) == "Image"), None)
    if element is None:
        raise BadMetadataError("it describes no image")
    image = _image(element, 0, MOST_PAGES)
    names = []
    for block in (child for child in element.iter() if local(child) == "TiffData"):
        uuid = next((child for child in block if local(child) == "UUID"), None)
        name = "" if uuid is None or (own and uuid.text == own) else uuid.get("FileName", "")
        if uuid is not None and name == "" and uuid.text != own:
            raise BadMetadataError("it does not name all its files")
        if name in (".", "..") or any(sign in name for sign in "/\\\0"):
            raise BadMetadataError(f"it names {name[:80]!r}, which is outside its folder")
        names.append(name)
    if not names:
        raise BadMetadataError("it describes no planes")
    return image, tuple(names)


def rewritten(images: tuple[OmeImage, ...]) -> str:
    """A document of the checked facts, for tifffile."""
    root = Element("OME")
    for image in images:
        parent = SubElement(root, "Image", {"ID": f"Image:{image.number}", "Name": image.name})
        sizes = {f"Size{axis}": str(size) for axis, size in image.sizes.items()}
        pixels = SubElement(parent, "Pixels", {"DimensionOrder": image.order, **sizes})
        SubElement(pixels, "Channel", {"SamplesPerPixel": str(image.samples)})
        for plane, page, count in image.blocks:
            first = {f"First{axis}": str(index) for axis, index in _unravelled(plane, image).items()}
            SubElement(pixels, "TiffData", {"IFD": str(page), "PlaneCount": str(count), **first})
    return ElementTree.tostring(root, encoding="unicode")


def local(element: Element) -> str:
    """Name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _check_xml(data: bytes) -> None:
    """Count elements and depth; a document type, in which entities are declared, ends it."""
    depth = elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > DEEPEST or elements > MOST_ELEMENTS:
            raise ValueError("it is nested too deep" if depth > DEEPEST else "it has too many elements")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*declaration: object) -> NoReturn:
        raise ValueError("it declares a document type or entities, which may be an attack")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.Parse(data, True)


def _image(element: Element, number: int, pages: int) -> OmeImage:
    pixels = next((child for child in element if local(child) == "Pixels"), None)
    if pixels is None:
        raise BadMetadataError("an image without pixels")
    sizes = {axis: _integer(pixels, f"Size{axis}", 1, 2**31) for axis in "XYZCT"}
    order = pixels.get("DimensionOrder", "")
    if sorted(order) != sorted("XYZCT") or not order.startswith("XY"):
        raise BadMetadataError(f"dimension order {order!r}")
    channels = [child for child in pixels if local(child) == "Channel"]
    samples = _integer(channels[0], "SamplesPerPixel", 1, 64, default=1) if channels else 1
    if sizes["C"] % samples or any(_integer(c, "SamplesPerPixel", 1, 64, default=1) != samples for c in channels):
        raise BadMetadataError("channels of different numbers of samples")
    names = tuple(channel.get("Name", "") for channel in channels)
    image = OmeImage(
        number,
        element.get("Name", ""),
        order,
        sizes,
        samples,
        (),
        *_pixel_size(pixels),
        _integer(pixels, "SignificantBits", 0, 64, default=0),
        names if any(names) else (),
        of_ome(pixels.attrib, [channel.get("Color") for channel in channels]),
    )
    data = [child for child in pixels if local(child) == "TiffData"]
    blocks = tuple(_block(child, image, pages) for child in data)
    covered = 0
    for first, _, count in sorted(blocks):
        if first != covered:
            raise BadMetadataError(f"plane {min(first, covered)} is missing or is there twice")
        covered += count
    if data and covered != image.planes:
        raise BadMetadataError(f"it describes {image.planes} planes, of which the file has {covered}")
    return replace(image, blocks=blocks)


def _block(element: Element, image: OmeImage, pages: int) -> tuple[int, int, int]:
    """(first plane, first page, number of planes) of a <TiffData>; without attributes it means all pages."""
    page = _integer(element, "IFD", 0, pages - 1, default=0)
    plane, step = 0, 1
    for axis in image.order[2:]:
        size = image.sizes[axis] // (image.samples if axis == "C" else 1)
        plane += step * _integer(element, f"First{axis}", 0, size - 1, default=0)
        step *= size
    default = 1 if "IFD" in element.attrib else min(image.planes, pages)
    count = _integer(element, "PlaneCount", 0, pages - page, default=0) or default
    if plane + count > image.planes or page + count > pages:
        raise BadMetadataError(f"it describes {plane + count} planes in {pages} pages")
    return plane, page, count


def _unravelled(plane: int, image: OmeImage) -> dict[str, int]:
    """Index along each axis of a plane."""
    index = {}
    for axis in image.order[2:]:
        plane, index[axis] = divmod(plane, image.sizes[axis] // (image.samples if axis == "C" else 1))
    return index


def _integer(element: Element, name: str, low: int, high: int, *, default: int | None = None) -> int:
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        value = int(text or "")
    except ValueError:
        raise BadMetadataError(f"{name} is {text!r}") from None
    if not low <= value <= high:
        raise BadMetadataError(f"{name} is {value}, where {low} to {high} is possible")
    return value


def _pixel_size(pixels: Element) -> tuple[tuple[float, float] | None, str]:
    """(row, column) in um; and why it is none, if something is said that is no length."""
    if "PhysicalSizeX" not in pixels.attrib or "PhysicalSizeY" not in pixels.attrib:
        return None, ""
    sizes = []
    for axis in "YX":
        text, name = pixels.attrib[f"PhysicalSize{axis}"], pixels.get(f"PhysicalSize{axis}Unit", "µm")
        unit = micrometres(name)
        if unit is None:
            return None, f"its unit {name[:40]!r} is no length"
        try:
            sizes.append(float(text) * unit)
        except ValueError:
            return None, f"{text[:40]!r} is no number"
    return (sizes[0], sizes[1]), ""
