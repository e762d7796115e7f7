"""OME-XML for what is written: the document of the input with its pixels described anew, or a new one.

Schema: openmicroscopy.org/Schemas/OME/2016-06. No clock, no random identifiers: equal images give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from dgno.arrays import Image
from dgno.errors import OutputFormat
from dgno.io.limits import DEFAULT_LIMITS
from dgno.io.ome import local, parse_xml
from dgno.io.ome_versions import is_positive, modern
from dgno.io.provenance import NAMESPACE, software
from dgno.io.slide import SlideFacts

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
TYPES = {"int8": "int8", "int16": "int16", "int32": "int32", "uint8": "uint8", "uint16": "uint16", "uint32": "uint32"}
TYPES |= {"float32": "float", "float64": "double"}
DESCRIBED_ANEW = ("TiffData", "BinData", "MetadataOnly")
BEFORE_DATA = ("Channel",)
BEFORE_INSTRUMENT = ("AcquisitionDate", "ExperimenterRef", "Description", "ExperimentRef", "ExperimenterGroupRef")
LONGEST_NAME = 64  # characters; longer texts, as scanners write, are no titles
ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def ome_axes(image: Image) -> str:
    """Letters of the axes before Y in OME's terms; one unknown axis is taken for Z, or T if there is a Z."""
    axes = image.axes.removesuffix("S")[:-2]
    unknown = [axis for axis in axes if axis not in "TZC"]
    free = next((axis for axis in "ZT" if axis not in axes), "")
    if len(unknown) > 1 or (unknown and not free) or len(set(axes)) < len(axes):
        hint = "write .tif, which keeps any axes"
        raise OutputFormat(f"OME-TIFF knows the axes T, Z and C, the image has {image.axes}", hint=hint)
    return axes.replace(unknown[0], free) if unknown else axes


def check_ome(image: Image) -> None:
    """Refuse an image that OME-TIFF cannot hold (OutputFormat)."""
    if image.pixels.dtype.name not in TYPES:
        raise OutputFormat(f"OME-TIFF cannot hold {image.pixels.dtype}", hint="write .tif, or convert to float32")
    ome_axes(image)


def fits_ome(image: Image) -> bool:
    """Can OME-TIFF hold it, with its own axes?"""
    try:
        check_ome(image)
    except OutputFormat:
        return False
    return ome_axes(image) == image.axes.removesuffix("S")[:-2]


def facts_of(image: Image) -> SlideFacts:
    """What OME-XML tells of an image, in the terms of a slide; an alpha counts as a sample."""
    return SlideFacts(
        shape=(image.shape_without_samples[-2], image.shape_without_samples[-1]),
        dtype=image.pixels.dtype,
        samples=image.samples + (image.alpha is not None),
        axes=ome_axes(image),
        sizes=image.shape_without_samples[:-2],
        value_range=image.value_range,
        pixel_size=image.pixel_size,
        channel_names=image.channel_names,
        stored=image.stored,
        limits=image.limits,
    )


def ome_document(images: Sequence[SlideFacts], provenance: Mapping[str, str] | None) -> bytes:
    """The OME-XML for images whose planes are written one after the other, in ASCII."""
    root = _kept(images)
    if root is None:
        root = Element("OME")
        for image in images:
            _begin_image(root, legal(image.stored.description))
    root.attrib.pop("UUID", None)
    root.attrib |= {"xmlns": SCHEMA, "Creator": software()}
    page = 0
    for number, (element, image) in enumerate(zip(root.findall("Image"), images, strict=True)):
        element.attrib["ID"] = element.get("ID", f"Image:{number}")
        page += _describe(element, image, number, page)
        if image.magnification is not None:
            _set_magnification(root, element, image.magnification, number)
    if provenance:
        _annotate(root, provenance)
    for child in root.iter():
        child.attrib = dict(sorted(child.attrib.items()))
    document: bytes = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=True)
    return document


def _begin_image(root: Element, text: str) -> None:
    """A new image with the free text of another format: its name if as short as one, else its description. Viewers
    call an image without a name by its file."""
    is_name = 0 < len(text) <= LONGEST_NAME and text.isprintable()
    element = SubElement(root, "Image", {"Name": text} if is_name else {})
    if text and not is_name:
        SubElement(element, "Description").text = text
    SubElement(element, "Pixels")


def legal(text: str) -> str:
    """Text with the characters that XML forbids, such as control characters, written as escapes."""
    return ILLEGAL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def _kept(images: Sequence[SlideFacts]) -> Element | None:
    """The document of the input, less the images that are not written; names without namespace.

    None if there is none, or the images are from several documents or not in its order.
    """
    document, numbers = images[0].stored.ome_xml, [image.stored.ome_image for image in images]
    if not document or {image.stored.ome_xml for image in images} != {document} or numbers != sorted(set(numbers)):
        return None
    root = modern(parse_xml(document, DEFAULT_LIMITS))
    if root is None:
        return None
    elements = root.findall("Image")
    if numbers[-1] >= len(elements):
        return None
    for number, element in enumerate(elements):
        if number not in numbers:
            root.remove(element)
    return root


def _describe(element: Element, image: SlideFacts, number: int, page: int) -> int:
    """Fill <Pixels>; gives the number of pages that the image takes."""
    pixels = element.find("Pixels")
    assert pixels is not None
    lengths = dict(zip(image.axes, image.sizes, strict=True))
    sizes = {"X": image.shape[1], "Y": image.shape[0]}
    sizes |= {axis: lengths.get(axis, 1) * (image.samples if axis == "C" else 1) for axis in "ZCT"}
    pixels.attrib.pop("BigEndian", None)
    pixels.attrib |= {
        "ID": pixels.get("ID", f"Pixels:{number}"),
        "DimensionOrder": "XY" + image.axes[::-1] + "".join(axis for axis in "CZT" if axis not in image.axes),
        "Type": TYPES[image.dtype.name],
        **{f"Size{axis}": str(size) for axis, size in sizes.items()},
    }
    _set_significant_bits(pixels, image)
    for name in ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ"):
        if not is_positive(pixels.get(name, "1")):  # which the schema forbids
            del pixels.attrib[name]
    if image.pixel_size:
        rows, columns = image.pixel_size
        pixels.attrib |= {"PhysicalSizeX": repr(columns), "PhysicalSizeXUnit": "µm"}
        pixels.attrib |= {"PhysicalSizeY": repr(rows), "PhysicalSizeYUnit": "µm"}
    if (z_step := image.stored.planes.z_step) and "PhysicalSizeZ" not in pixels.attrib:
        pixels.attrib |= {"PhysicalSizeZ": repr(z_step), "PhysicalSizeZUnit": "µm"}
    if (time_step := image.stored.planes.time_step) and "TimeIncrement" not in pixels.attrib:
        pixels.attrib |= {"TimeIncrement": repr(time_step), "TimeIncrementUnit": "s"}
    _set_channels(pixels, image, number)
    for child in [child for child in pixels if local(child) in DESCRIBED_ANEW]:
        pixels.remove(child)
    data = Element("TiffData", {"IFD": str(page), "PlaneCount": str(image.plane_count)})
    pixels.insert(sum(local(child) in BEFORE_DATA for child in pixels), data)
    return image.plane_count


def _set_significant_bits(pixels: Element, image: SlideFacts) -> None:
    """Bits that a range from 0 needs, unless values may go beyond; otherwise the attribute would be wrong."""
    pixels.attrib.pop("SignificantBits", None)
    low, high = image.value_range
    bits = int(high).bit_length()
    if image.dtype.kind == "u" and low == 0 and high == 2**bits - 1 and image.limits is None:
        pixels.attrib["SignificantBits"] = str(bits)


def _set_channels(pixels: Element, image: SlideFacts, number: int) -> None:
    """One <Channel> for each channel; those of the input stay if they are as many."""
    present, colours = pixels.findall("Channel"), image.stored.planes.colours
    if len(present) != image.channels:
        for child in present:
            pixels.remove(child)
        present = [Element("Channel") for _ in range(image.channels)]
        for place, channel in enumerate(present):
            pixels.insert(place, channel)
    for place, channel in enumerate(present):
        channel.attrib["ID"] = channel.get("ID", f"Channel:{number}:{place}")
        channel.attrib["SamplesPerPixel"] = str(image.samples)
        if image.channel_names:
            channel.attrib["Name"] = legal(image.channel_names[place])
        if len(colours) == len(present) and "Color" not in channel.attrib:
            rgba = int(colours[place] + "FF", 16)
            channel.attrib["Color"] = str(rgba - 2**32 if rgba >= 2**31 else rgba)  # signed, as the schema has it


def _set_magnification(root: Element, element: Element, magnification: float, number: int) -> None:
    """An <Objective> for the image: its own, or a new one in a new instrument."""
    settings = element.find("ObjectiveSettings")
    objectives = {objective.get("ID"): objective for objective in root.iterfind("Instrument/Objective")}
    objective = objectives.get(settings.get("ID")) if settings is not None else None
    if objective is None:
        for old in [child for child in element if local(child) in ("InstrumentRef", "ObjectiveSettings")]:
            element.remove(old)
        instrument = Element("Instrument", {"ID": f"Instrument:dgno:{number}"})
        root.insert(list(root).index(root.findall("Image")[0]), instrument)
        objective = SubElement(instrument, "Objective", {"ID": f"Objective:dgno:{number}"})
        place = sum(local(child) in BEFORE_INSTRUMENT for child in element)
        element.insert(place, Element("InstrumentRef", {"ID": f"Instrument:dgno:{number}"}))
        element.insert(place + 1, Element("ObjectiveSettings", {"ID": f"Objective:dgno:{number}"}))
    objective.attrib["NominalMagnification"] = repr(magnification)


def _annotate(root: Element, provenance: Mapping[str, str]) -> None:
    """A map annotation, the place that OME has for what else is to be said."""
    annotations = root.find("StructuredAnnotations")
    if annotations is None:
        annotations = Element("StructuredAnnotations")
        root.insert(1 + list(root).index(root.findall("Image")[-1]), annotations)  # before the ROIs
    for old in [e for e in annotations if local(e) == "MapAnnotation" and e.get("Namespace") == NAMESPACE]:
        annotations.remove(old)
    ours = SubElement(annotations, "MapAnnotation", {"ID": "Annotation:dgno", "Namespace": NAMESPACE})
    value = SubElement(ours, "Value")
    for key, text in sorted(provenance.items()):
        SubElement(value, "M", {"K": legal(key)}).text = legal(text)
