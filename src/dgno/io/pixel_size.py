"""Pixel sizes from what files say of their resolution, with nonsense taken out.

All pixel sizes are (row, column) in um.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

MICROMETRES = {  # names of units in OME-XML, OME-Zarr and ImageJ
    **dict.fromkeys(("pm", "picometer", "picometers", "picometre", "picometres"), 1e-6),
    **dict.fromkeys(("å", "angstrom", "angstroms"), 1e-4),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1e-3),
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"), 1.0),
    **dict.fromkeys(("\u00b5m", "\u03bcm", "\\u00b5m", "\\u03bcm"), 1.0),  # micro sign, mu; as ImageJ escapes them
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 1e4),
    **dict.fromkeys(("in", "inch", "inches"), 25400.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e6),
}
LARGER = {"Mm": 1e12, "Pm": 1e21}  # mega and peta: the only capitals of SI that are no milli and pico
INCH, CENTIMETRE = 2, 3  # units of a Resolution, as TIFF numbers them
UNITS = {INCH: 25400.0, CENTIMETRE: 1e4}  # in um
METRE = 1e6
SCREENS = (72, 96)  # dots an inch that programs write when they know nothing
SMALLEST, LARGEST = 1e-3, 1e3
UNLIKELY = 30.0  # above it lie print resolutions: 300 dots an inch are 85 um

PixelSize = tuple[float, float]
Resolution = tuple[float, float, int]  # pixels per unit in x and y, and the unit


def micrometres(unit: object) -> float | None:
    """The length of a unit in um, by its name in OME-XML, OME-Zarr or ImageJ; None for what is no length."""
    name = str(unit)
    return LARGER.get(name) or MICROMETRES.get(name.lower())


def checked(rows: float, columns: float, *, source: str) -> tuple[PixelSize | None, tuple[str, ...]]:
    """A pixel size in um as a file gives it -> the same, or None if it is absurd, and notes."""
    size = (rows, columns)
    if not all(math.isfinite(value) and SMALLEST <= value <= LARGEST for value in size):
        return None, (f"pixel size {rows:.3g} x {columns:.3g} um ({source}) is absurd and taken as unknown",)
    notes = []
    if abs(rows - columns) >= 0.01 * min(size):
        notes.append(f"pixels are not square: {rows:.4g} um high, {columns:.4g} um wide")
    if max(size) > UNLIKELY:
        notes.append(f"pixel size {max(size):.3g} um ({source}) is unlikely in microscopy; --pixel-size overrules it")
    return size, tuple(notes)


def overruled(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes but for those on the pixel size, which the user knows better."""
    return tuple(note for note in notes if not note.startswith(("pixel size ", "pixels are not square")))


def from_density(
    x: float, y: float, micrometres: float, *, source: str, is_named: bool = False
) -> tuple[PixelSize | None, tuple[str, ...]]:
    """Pixels per unit in x and y, and the length of the unit in um -> pixel size and notes.

    1 pixel a unit, and the densities of screens (72, 96 dots an inch), are written by programs that know nothing: the
    size is unknown, without a note.

    is_named : the file names the unit, as programs that know nothing do not: 1 pixel a unit is meant
    """
    if not all(math.isfinite(value) and value > 0 for value in (x, y)):
        return None, (f"pixel size unknown: the resolution ({source}) is {x:g} x {y:g}",)
    per_inch = [value * 25400 / micrometres for value in (x, y)]
    is_screen = all(any(abs(value - screen) < 0.5 for screen in SCREENS) for value in per_inch)
    if is_screen or ((x, y) == (1, 1) and not is_named):
        return None, ()
    return checked(micrometres / y, micrometres / x, source=source)


def per_centimetre(x: float, y: float) -> Resolution | None:
    """Pixels a metre, as PNG and BMP tell them; None if they say nothing."""
    return (x / 100, y / 100, CENTIMETRE) if x and y else None


def whole_density(
    size: PixelSize | None, stored: Resolution | None, units: Mapping[int, float], most: int
) -> tuple[int, int, int] | None:
    """What a format of whole numbers says of a pixel size: pixels per unit in x and y, and its number for the unit.

    Of the units the one that rounding changes least is taken, and of equals that of the input. An image without pixel
    size keeps what its file said, which may be the density of a screen. None: nothing is known, or it cannot be held.

    stored : what the input said
    units : the lengths in um of the units that the format has, by number
    most : the largest number that it holds
    """
    if size is None and stored is not None and stored[2] in UNITS and min(stored[:2]) > 0:
        size = UNITS[stored[2]] / stored[1], UNITS[stored[2]] / stored[0]
    if size is None or not min(size) > 0:
        return None
    own = UNITS.get(stored[2]) if stored else None
    found = []
    for number, length in units.items():
        x, y = length / size[1], length / size[0]
        if min(x, y) > 0.5 and max(x, y) < most + 0.5:
            change = max(abs(round(value) / value - 1) for value in (x, y))
            found.append((round(change, 9), length != own, round(x), round(y), number))
    return min(found)[2:] if found else None
