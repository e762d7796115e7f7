"""ImageJ's TIFF: what fits into it, and how its metadata go back as they came.

Format: ij.io.TiffEncoder and ij.io.TiffDecoder of ImageJ 1.54. Axes are T, Z, C in this order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dgno.arrays import Image
from dgno.io.pixel_size import micrometres
from dgno.io.provenance import INFO_KEY, encoded, software

DTYPES = ("uint8", "uint16", "float32")
AXES = "TZC"
MODES = ("color", "composite", "grayscale")
LINES: tuple[str, ...] = (
    "unit",
    "yunit",
    "zunit",
    "tunit",
    "vunit",
    "xorigin",
    "yorigin",
    "zorigin",
    "spacing",
    "finterval",
    "fps",
)
LINES += ("min", "max", "loop")  # keys of the text; the numbers of planes are written anew


def fits_imagej(image: Image) -> bool:
    """Can ImageJ's own TIFF hold the image with all that belongs to it?"""
    leading = image.axes.removesuffix("S")[:-2]
    is_ordered = [axis for axis in AXES if axis in leading] == list(leading)
    is_gray = not image.is_colour and image.pixels.dtype.name in DTYPES
    is_rgb = image.is_colour and image.pixels.dtype == np.uint8
    has_more = bool(image.channel_names) or image.stored.min_is_white or image.alpha is not None
    return is_ordered and (is_gray or is_rgb) and not has_more


def imagej_arguments(image: Image, provenance: Mapping[str, str] | None) -> dict[str, Any]:  # Any: those of tifffile
    """Arguments of tifffile's writer; the pixel size is in ImageJ's unit if it had one, else in um."""
    metadata = kept_metadata(image.stored.imagej)
    info = [line for line in metadata.pop("Info", "").splitlines() if not line.startswith(INFO_KEY)]
    info += [INFO_KEY + encoded(provenance).decode()] if provenance else []
    metadata |= {"Info": "\n".join(info)} if info else {}
    if image.stored.colour_table is not None:
        metadata.setdefault("LUTs", (image.stored.colour_table >> 8).astype(np.uint8))
    return {
        **_resolution(image, metadata),
        "data": np.ascontiguousarray(image.pixels),
        "photometric": "rgb" if image.is_colour else "minisblack",
        "metadata": {**_with_unit(metadata, image), "axes": image.axes},
        "software": software(),
        "iccprofile": image.icc_profile,
    }


def _resolution(image: Image, metadata: Mapping[str, Any]) -> dict[str, Any]:  # Any: of tifffile
    """Pixels per unit; without a pixel size what the file said, which its unit and spacing are true with."""
    if image.pixel_size:
        (height, width), (high, wide) = image.pixel_size, units_of(_with_unit(metadata, image))
        return {
            "resolution": ((wide or 1.0) / width, (high or 1.0) / height),
            "resolutionunit": "NONE",
        }
    return kept_resolution(image)


def units_of(metadata: Mapping[str, Any]) -> tuple[float | None, float | None]:  # Any: as in the file
    """How long the units of rows and of columns are, um; None where they are no lengths."""
    unit = metadata.get("unit", "")
    return micrometres(metadata.get("yunit") or unit), micrometres(unit)


def kept_resolution(image: Image) -> dict[str, Any]:  # Any: of tifffile
    """The tags of resolution as they were, where TIFF can hold them."""
    if image.stored.resolution is None or not all(0 < value < 2**31 for value in image.stored.resolution[:2]):
        return {}
    x, y, unit = image.stored.resolution
    return {"resolution": (x, y), "resolutionunit": unit if unit in (1, 2, 3) else 1}


def _with_unit(metadata: Mapping[str, Any], image: Image) -> dict[str, Any]:  # Any: as in the file
    """With the unit um where only dgno knows the size of the pixels; the spacing stays as many of their widths."""
    if not image.pixel_size or all(units_of(metadata)):
        return dict(metadata)
    changed = {key: value for key, value in metadata.items() if key not in ("yunit", "zunit", "spacing")}
    changed["unit"] = "um"
    spacing, resolution = metadata.get("spacing"), image.stored.resolution
    if isinstance(spacing, (int, float)) and "zunit" not in metadata and resolution and math.isfinite(resolution[0]):
        changed["spacing"] = spacing * resolution[0] * image.pixel_size[1]
    return changed


def kept_metadata(imagej: Mapping[str, Any]) -> dict[str, Any]:
    """ImageJ's metadata as tifffile read them, less those of another type than ImageJ writes."""
    lines = {key: imagej[key] for key in LINES if isinstance(imagej.get(key), (str, int, float))}
    kept = {key: _ascii(value) if isinstance(value, str) else value for key, value in lines.items()}
    kept |= {"mode": imagej["mode"]} if imagej.get("mode") in MODES else {}
    return kept | {key: imagej[key] for key, is_right in BLOCKS.items() if key in imagej and is_right(imagej[key])}


def _ascii(text: str) -> str:
    """Other characters are escaped as ImageJ does it: a micro sign is \\u00B5."""
    return "".join(c if c.isascii() and c.isprintable() else f"\\u{ord(c):04X}" for c in text)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(map(_is_text, value)))


def _are_blocks(value: object) -> bool:
    return isinstance(value, bytes) or (isinstance(value, list) and all(isinstance(one, bytes) for one in value))


def _are_tables(value: object) -> bool:
    tables = value if isinstance(value, list) else [value]
    return all(isinstance(table, np.ndarray) and table.dtype == np.uint8 for table in tables)


def _are_numbers(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(number, float) for number in value)


def _are_properties(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(key) and _is_text(text) for key, text in value.items())


BLOCKS: dict[str, Callable[[object], bool]] = {
    "Info": _is_text,
    "Labels": _are_texts,
    "Ranges": _are_numbers,
    "LUTs": _are_tables,
    "ROI": _are_blocks,
    "Overlays": _are_blocks,
    "Properties": _are_properties,
}
