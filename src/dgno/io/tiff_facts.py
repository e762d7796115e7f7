"""What a TIFF file says of its pixels: their size, range, names, colours; and what must be kept to write it back."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tifffile import TiffPage, TiffPageSeries

from dgno.arrays import Image
from dgno.io import pixel_size
from dgno.io.exif import orientation_note
from dgno.io.imagej import units_of
from dgno.io.ome import OmeImage
from dgno.io.plane_facts import of_imagej
from dgno.value_ranges import Guess, Range, guess_value_range

RESOLUTION_UNITS = {2: 25400.0, 3: 10000.0, 4: 1000.0, 5: 1.0}  # inch, centimetre; tifffile adds mm and um
SMALLEST_VALUE, LARGEST_VALUE = 340, 341
APERIO_PIXEL_SIZE = re.compile(r"\|\s*MPP\s*=\s*([0-9.]+)")

Size = tuple[pixel_size.PixelSize | None, tuple[str, ...]]


def described(image: Image, series: TiffPageSeries, ome: OmeImage | None, document: bytes) -> Image:
    """The image with what the file says of it; `document` is the OME-XML that `ome` is from."""
    page = series.keyframe
    imagej = imagej_facts(page) if series.kind == "imagej" else {}
    min_is_white = image.stored.min_is_white
    known = range_of_values(image.pixels, page, ome, min_is_white=min_is_white)
    size, size_notes = size_of_pixels(page, ome, imagej)
    orientation = image.stored.orientation if 1 <= image.stored.orientation <= 8 else 1
    shaped = shaped_facts(page) if series.kind == "shaped" else {}
    names = ome.channel_names if ome else tuple(str(name) for name in shaped.get("channel_names", ()))
    stored = replace(
        image.stored,
        format={"ome": "ome-tiff", "imagej": "imagej-tiff"}.get(series.kind, "tiff"),
        orientation=orientation,
        resolution=resolution_tags(page),
        description=free_text(page, series.kind, shaped),
        ome_xml=document,
        ome_image=ome.number if ome else 0,
        imagej=imagej,
        planes=ome.plane_facts if ome else of_imagej(imagej, has_size=size is not None),
    )
    return replace(
        image,
        value_range=known.value_range,
        limits=known.limits,
        pixel_size=size,
        channel_names=names if len(names) == image.channels else (),
        icc_profile=page.iccprofile,
        notes=(*image.notes, *known.notes, *size_notes, *orientation_note(orientation), *_further_texts(series)),
        stored=stored,
    )


def turned_range(values: Range, dtype: np.dtype[Any]) -> Range:
    """Black and white of integers after all their bits are turned over."""
    top = -1 if dtype.kind == "i" else int(np.iinfo(dtype).max)
    return top - values[1], top - values[0]


def range_of_values(pixels: np.ndarray, page: TiffPage, ome: OmeImage | None, *, min_is_white: bool) -> Guess:
    """From SMinSampleValue and SMaxSampleValue, the bits of a sample, OME's SignificantBits; else guessed.

    pixels : some of the page, or all, turned over already if white was stored as 0
    """
    tags = [page.tags.valueof(code) for code in (SMALLEST_VALUE, LARGEST_VALUE)]
    depth = pixels.dtype.itemsize * 8
    bits = page.bitspersample if isinstance(page.bitspersample, int) else depth
    bits = ome.significant_bits if bits == depth and ome and ome.significant_bits else bits
    declared: Range | None = None
    if tags[1] is not None:
        declared = min(tag_numbers(tags[0])), max(tag_numbers(tags[1]))
        declared = turned_range(declared, pixels.dtype) if min_is_white else declared
    elif 8 < bits < depth and pixels.dtype.kind == "u":
        declared = 0.0, float(2**bits - 1)
    guess = guess_value_range(pixels)
    if declared is None:
        return guess
    if holds(declared, pixels):
        return Guess(declared)
    text = f"the file says that values go from {declared[0]:g} to {declared[1]:g}, which they do not"
    return guess._replace(notes=(text, *guess.notes))


def tag_numbers(value: Any) -> list[float]:  # Any: a number, several, bytes, or nothing
    """Values of a tag; 0 where it is missing."""
    if isinstance(value, (tuple, bytes, np.ndarray)) and len(value):
        return [float(number) for number in value]
    return [float(value or 0)]


def holds(declared: Range, pixels: np.ndarray) -> bool:
    """Is this a range, and do all integers lie in it?"""
    low, high = declared
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return False
    return pixels.dtype.kind == "f" or bool(low <= pixels.min() and pixels.max() <= high)


def size_of_pixels(page: TiffPage, ome: OmeImage | None, imagej: Mapping[str, Any]) -> Size:
    """From OME-XML, the Aperio description, ImageJ's unit, or the resolution tags, whichever is there first."""
    if ome and ome.odd_size:
        return None, (f"pixel size unknown: {ome.odd_size} (OME-XML)",)
    if ome and ome.pixel_size:
        return pixel_size.checked(*ome.pixel_size, source="OME-XML")
    if page.is_svs and (found := APERIO_PIXEL_SIZE.search(page.description)):
        return pixel_size.checked(float(found[1]), float(found[1]), source="Aperio MPP")
    resolution = resolution_tags(page)
    if resolution is None:
        return None, ()
    x, y, unit = resolution
    if imagej:
        high, wide = units_of(imagej)
        if not (high and wide):
            return None, ()
        return pixel_size.from_density(x, y * wide / high, wide, source="ImageJ", is_named=True)
    if unit not in RESOLUTION_UNITS:
        return None, ()
    return pixel_size.from_density(x, y, RESOLUTION_UNITS[unit], source="TIFF resolution")


def resolution_tags(page: TiffPage) -> tuple[float, float, int] | None:
    """The tags XResolution, YResolution and ResolutionUnit as they are."""
    values = [page.tags.valueof(code) for code in (282, 283)]
    if not all(isinstance(value, tuple) and len(value) == 2 for value in values):
        return None
    x, y = (numerator / denominator if denominator else math.inf for numerator, denominator in values)
    return x, y, int(page.tags.valueof(296, 2))


def imagej_facts(page: TiffPage) -> dict[str, Any]:
    return dict(page.parent.imagej_metadata or {})


def shaped_facts(page: TiffPage) -> dict[str, Any]:
    """The JSON that tifffile, and dgno, write into the description of plain files."""
    own = page.description if str(page.software).startswith("dgno ") and page.description.startswith("{") else ""
    try:
        shaped = json.loads(page.shaped_description or own or "{}")
    except (ValueError, RecursionError):
        return {}
    return shaped if isinstance(shaped, dict) else {}


def free_text(page: TiffPage, kind: str, shaped: Mapping[str, Any]) -> str:
    """The description of a plain file, where it is neither OME-XML nor ImageJ's nor tifffile's own."""
    if kind in ("ome", "imagej") or page.is_ome:
        return ""
    text = shaped.get("description", "") if shaped else page.description
    return text.decode("cp1252", "replace") if isinstance(text, bytes) else str(text)


def _further_texts(series: TiffPageSeries) -> tuple[str, ...]:
    """A note if the second page of a plain file has a description of its own; the others are not looked at."""
    if series.kind in ("ome", "imagej"):
        return ()
    second = next(itertools.islice(series, 1, 2), None)
    text = second.aspage().description if second is not None else ""
    if not text or text == series.keyframe.description:
        return ()
    return ("of the descriptions of the pages the first is kept",)
