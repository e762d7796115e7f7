"""What files say of the planes of a stack: steps along Z and T, colours and ranges that channels are shown in.

ImageJ: ij.measure.Calibration and ij.io.TiffDecoder of 1.54. OME-XML: Pixels and Channel of 2016-06. What makes no
sense is passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dgno.io.pixel_size import micrometres
from dgno.stored import PlaneFacts

SECONDS = {  # names of units in OME-XML, OME-Zarr and ImageJ
    **dict.fromkeys(("us", "\u00b5s", "\u03bcs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
MEGASECOND = "Ms"  # no millisecond
LONGEST_WORD = 64
COLOUR = re.compile("[0-9A-Fa-f]{6}")


def seconds(unit: object) -> float | None:
    """The length of a unit in s, by its name in OME-XML, OME-Zarr or ImageJ; None for what is no time."""
    name = str(unit)
    return 1e6 if name == MEGASECOND else SECONDS.get(name.lower())


def step(said: object, unit: float | None) -> float | None:
    """A step in a unit of that length -> in um or s; None for what is none."""
    try:
        value = abs(float(str(said))) * (unit or 0.0)
    except ValueError:
        return None
    return value if 0 < value < 1e9 else None


def shown_range(low: object, high: object) -> tuple[float, float] | None:
    """Two numbers that rise; None for what is none."""
    try:
        start, end = float(str(low)), float(str(high))
    except ValueError:
        return None
    return (start, end) if math.isfinite(end - start) and start < end else None


def of_ome(pixels: Mapping[str, str], colours: Sequence[str | None]) -> PlaneFacts:
    """From the attributes of <Pixels>, and Color of each <Channel>: red, green, blue, alpha in a signed number."""
    numbers = [int(text) for text in colours if text is not None and re.fullmatch(r"-?\d{1,10}", text)]
    known = len(numbers) == len(colours)
    return PlaneFacts(
        step(pixels.get("PhysicalSizeZ"), micrometres(pixels.get("PhysicalSizeZUnit", "µm"))),
        step(pixels.get("TimeIncrement"), seconds(pixels.get("TimeIncrementUnit", "s"))),
        tuple(f"{number >> 8 & 0xFFFFFF:06X}" for number in numbers) if known else (),
    )


def of_imagej(imagej: Mapping[str, Any], *, has_size: bool) -> PlaneFacts:  # Any: as tifffile reads them
    """From spacing, frame interval, the end colours of the look-up tables, and the ranges that are shown.

    has_size : is the size of the pixels known? Without it the spacing is in a unit that nobody set
    """
    unit = micrometres(imagej.get("zunit") or imagej.get("unit", "")) if has_size else None
    ends = [tuple(table[:, -1].tolist()) for table in look_up_tables(imagej)]
    ranges, numbers = [], imagej.get("Ranges")
    if isinstance(numbers, tuple):
        ranges = [shown_range(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=False)]
    known = tuple(one for one in ranges if one is not None)
    return PlaneFacts(
        step(imagej.get("spacing"), unit),
        step(imagej.get("finterval"), seconds(imagej.get("tunit", "sec"))),
        tuple("{:02X}{:02X}{:02X}".format(*end) for end in ends) if all(map(any, ends)) else (),
        known if len(known) == len(ranges) else (),
    )


def channels_of(omero: Any) -> list[Mapping[str, Any]]:  # Any: JSON
    """What an OME-Zarr says of each of its channels; nothing where that makes no sense."""
    said = omero.get("channels") if isinstance(omero, Mapping) else None
    return [channel if isinstance(channel, Mapping) else {} for channel in said] if isinstance(said, list) else []


def of_omero(omero: Any) -> tuple[tuple[str, ...], tuple[tuple[float, float], ...]]:  # Any: JSON
    """Colours of the channels of an OME-Zarr, and the ranges that they are shown in."""
    parts = channels_of(omero)
    colours = tuple(str(part.get("color", "")).upper() for part in parts)
    windows = [window if isinstance(window, Mapping) else {} for window in (part.get("window") for part in parts)]
    ranges = [shown_range(window.get("start"), window.get("end")) for window in windows]
    known = tuple(one for one in ranges if one is not None)
    return colours if all(map(COLOUR.fullmatch, colours)) else (), known if len(known) == len(ranges) else ()


def display_of(omero: Any) -> dict[str, Any]:  # Any: JSON
    """What else an OME-Zarr says of how it is shown: which channels are, the ends of their sliders, the first plane."""
    said: Mapping[str, Any] = omero if isinstance(omero, Mapping) else {}
    channels = [_right(part, CHANNEL) for part in channels_of(omero)]
    return {"channels": channels, "rdefs": _right(said.get("rdefs"), RDEFS)}


def _right(said: object, known: Mapping[str, Callable[[Any], bool]]) -> dict[str, Any]:
    """The known keys that have a value of the right kind."""
    given = said if isinstance(said, Mapping) else {}
    return {key: given[key] for key, is_right in known.items() if key in given and is_right(given[key])}


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON has integers beyond all floats
        return False


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isidentifier() and len(value) <= LONGEST_WORD


def _is_slider(value: Any) -> bool:
    ends = [value.get("min"), value.get("max")] if isinstance(value, Mapping) else []
    return len(ends) == 2 and all(map(_is_number, ends)) and shown_range(*ends) is not None


CHANNEL: dict[str, Callable[[Any], bool]] = {
    "active": _is_flag,
    "inverted": _is_flag,
    "coefficient": _is_number,
    "family": _is_word,
    "window": _is_slider,
}
RDEFS: dict[str, Callable[[Any], bool]] = {
    "model": lambda value: value in ("color", "greyscale"),
    "projection": _is_word,
    "defaultT": _is_place,
    "defaultZ": _is_place,
}


def look_up_tables(imagej: Mapping[str, Any]) -> list[np.ndarray]:
    """Look-up tables (3, n) of the channels; none where one is no table."""
    said = imagej.get("LUTs")
    tables = said if isinstance(said, list) else [] if said is None else [said]
    right = [isinstance(table, np.ndarray) and table.ndim == 2 and len(table) == 3 and table.size for table in tables]
    return tables if all(right) else []
