"""What a TIFF slide says of itself: range, pixel size, magnification, properties."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tifffile import TiffPage

from dgno.io.exif import orientation_note
from dgno.io.limits import Limits
from dgno.io.ome import BadMetadataError, OmeImage, local, parse_xml
from dgno.io.plane_facts import of_imagej
from dgno.io.slide import SlideFacts, checked_magnification
from dgno.io.tiff_facts import (
    LARGEST_VALUE,
    free_text,
    imagej_facts,
    range_of_values,
    resolution_tags,
    shaped_facts,
    size_of_pixels,
)
from dgno.io.tiff_levels import Pyramid
from dgno.io.tiff_read import PALETTE, expanded
from dgno.stored import Stored

NO_DATA_TAG, SOURCE_LENS = 42113, 65421
TEXT_TAGS = {270: "ImageDescription", 271: "Make", 272: "Model", 305: "Software", 306: "DateTime", 315: "Artist"}
LONGEST_TEXT = 2000  # characters of a property
APERIO = re.compile(r"\|\s*([^|=]+?)\s*=\s*([^|]*)")

Sample = Callable[[], np.ndarray]


def facts_of(
    pyramid: Pyramid, ome: OmeImage | None, document: bytes, sample: Sample, limits: Limits
) -> tuple[SlideFacts, tuple[str, ...]]:
    """The facts, and notes on what was guessed. `sample` gives some pixels, for ranges that are not declared."""
    page, kind = pyramid.keyframe, pyramid.kind
    notes: list[str] = []
    assert page.dtype is not None
    turned, is_inverted = expanded(np.zeros(1, page.dtype), page, notes)
    is_plain = turned.dtype.itemsize == 1 and page.tags.valueof(LARGEST_VALUE) is None
    known = range_of_values(np.zeros(1, turned.dtype) if is_plain else sample(), page, ome, min_is_white=is_inverted)
    notes += [note.replace("from the data", "from samples of the data") for note in known.notes]
    imagej = imagej_facts(page) if kind == "imagej" else {}
    size, told = size_of_pixels(page, ome, imagej)
    notes += told
    orientation = int(page.tags.valueof(274, 1))
    notes += orientation_note(orientation)
    shaped = shaped_facts(page)
    names = ome.channel_names if ome else tuple(str(name) for name in shaped.get("channel_names", ()))
    facts = SlideFacts(
        pyramid.levels[0].shape, turned.dtype, pyramid.samples, pyramid.axes, pyramid.sizes, known.value_range, size,
        magnification=_magnification(page, document if ome else b"", ome, shaped, limits),
        icc_profile=page.iccprofile,
        fill=_fill(page, turned.dtype, pyramid.samples),
        properties=properties(page),
        stored=Stored(
            {"ome": "ome-tiff", "imagej": "imagej-tiff"}.get(kind, "tiff"),
            orientation if 1 <= orientation <= 8 else 1,
            is_inverted,
            resolution=resolution_tags(page),
            colour_table=page.colormap if int(page.photometric) == PALETTE else None,
            description=free_text(page, kind, shaped),
            ome_xml=document if ome else b"",
            ome_image=ome.number if ome else 0,
            imagej=imagej,
            planes=ome.plane_facts if ome else of_imagej(imagej, has_size=size is not None),
        ),
        limits=known.limits,
    )  # fmt: skip
    return replace(facts, channel_names=names if len(names) == facts.channels else ()), tuple(notes)


def properties(page: TiffPage) -> dict[str, str]:
    """What the page says of itself in words and numbers: Aperio's and Hamamatsu's own, and texts of TIFF."""
    found: dict[str, str] = {}
    if page.is_svs:
        found |= {f"aperio.{key}": value.strip() for key, value in APERIO.findall(page.description)}
    if page.is_ndpi:
        found |= {f"hamamatsu.{key}": str(value) for key, value in (page.ndpi_tags or {}).items() if np.isscalar(value)}
    for code, name in TEXT_TAGS.items():
        value = page.tags.valueof(code)
        if isinstance(value, str) and value and not value.startswith(("<", "{")):  # documents are read, not shown
            found[f"tiff.{name}"] = value
    return {key: value[:LONGEST_TEXT] for key, value in found.items()}


def _magnification(
    page: TiffPage, document: bytes, ome: OmeImage | None, shaped: Mapping[str, Any], limits: Limits
) -> float | None:
    """Of the objective: Aperio's AppMag, Hamamatsu's SourceLens, OME's NominalMagnification, or what dgno wrote."""
    text: object = None
    if page.is_svs:
        text = dict(APERIO.findall(page.description)).get("AppMag")
    elif page.is_ndpi:
        text = page.tags.valueof(SOURCE_LENS)
    elif ome:
        text = _ome_magnification(document, ome, limits)
    else:
        text = shaped.get("magnification")
    return checked_magnification(text)


def _ome_magnification(document: bytes, ome: OmeImage, limits: Limits) -> str | None:
    """Of the objective that the image names, or the only one there is."""
    try:
        root = parse_xml(document, limits)
    except BadMetadataError:
        return None
    objectives = [element for element in root.iter() if local(element) == "Objective"]
    lenses = {element.get("ID", ""): element.get("NominalMagnification") for element in objectives}
    images = [element for element in root if local(element) == "Image"]
    named = [e.get("ID", "") for e in images[ome.number] if local(e) in ("ObjectiveSettings", "ObjectiveRef")]
    if named:
        return lenses.get(named[0])
    return next(iter(lenses.values())) if len(lenses) == 1 else None


def _fill(page: TiffPage, dtype: np.dtype[Any], samples: int) -> float:
    """What GDAL's tag says, else white for colours in integers, else 0."""
    if page.tags.valueof(NO_DATA_TAG) is not None:
        return float(page.nodata)
    return float(np.iinfo(dtype).max) if samples == 3 and dtype.kind in "iu" else 0.0
