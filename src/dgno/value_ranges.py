"""Which values are black and white, and at which a restored integer ends, where a file does not say.

The two are not the same: what counts as white scales the image for a restorer, and a guess will do for that. But
restoring raises peaks, so where a value is cut is never guessed: at what the file states, else at what the dtype holds.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

Range = tuple[float, float]

# depths that a range is guessed among; no camera has fewer than 10 in 16
BITS = (10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
SEVERAL = 2  # values at the very end of a depth that show a camera to end there; one may be chance


class Guess(NamedTuple):
    """What is guessed of pixels.

    value_range : black and white
    limits : where restored integers end; None: at black and white
    notes : on what was guessed, in words for the user
    """

    value_range: Range
    limits: Range | None = None
    notes: tuple[str, ...] = ()


def ends_of(dtype: np.dtype[Any], value_range: Range, limits: Range | None) -> Range:
    """The values at which restored pixels end: floats stay finite, integers end at the limits, else black and white."""
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return limits or value_range


def guess_value_range(pixels: np.ndarray) -> Guess:
    """Black and white of pixels whose file does not name them.

    8 bits and bool take all their values; longer integers the depth (10, 12, 14, 16, ... bits) that just holds the
    data; floats [0, 1] if all values lie there, else the smallest and the largest.
    """
    if pixels.dtype.kind == "b":
        return Guess((0.0, 1.0))
    if pixels.dtype.itemsize == 1:
        return Guess((float(np.iinfo(pixels.dtype).min), float(np.iinfo(pixels.dtype).max)))
    if pixels.dtype.kind == "f":
        low, high = extremes(pixels)
        within = low >= 0 and high <= 1
        if within:
            return Guess((0.0, 1.0))
        return Guess((low, high), None, (f"value range {low:g} to {high:g} taken from the data",))
    least, greatest = (int(pixels.min()), int(pixels.max())) if pixels.size else (0, 1)
    sign = 1 if least < 0 else 0
    needed = max(greatest, -least - 1).bit_length() + sign
    bits = next(b for b in BITS if b >= needed)
    bits = min(bits, pixels.dtype.itemsize * 8 - (pixels.dtype.kind == "i" and not sign))
    bounds = (-float(2 ** (bits - 1)), float_below(2 ** (bits - 1) - 1)) if sign else (0.0, float_below(2**bits - 1))
    note = f"value range {bounds[0]:.0f} to {bounds[1]:.0f} ({bits} bits) guessed from the data"
    return Guess(bounds, _limits(pixels, bounds), (note,))


def _limits(pixels: np.ndarray, guessed: Range) -> Range | None:
    """The limits of the dtype; a guessed end where several pixels stand at it, and 0 where none is negative."""
    info = np.iinfo(pixels.dtype)
    low = guessed[0] if guessed[0] == 0 or _is_reached(pixels, guessed[0]) else float(info.min)
    high = guessed[1] if _is_reached(pixels, guessed[1]) else float_below(info.max)
    return None if (low, high) == guessed else (low, high)


def float_below(whole: int) -> float:
    """The largest float that is not above an integer: that of 2^64 - 1 is not 2^64, which no integer of 64 bits is."""
    nearest = float(whole)
    return nearest if int(nearest) <= whole else math.nextafter(nearest, -math.inf)


def _is_reached(pixels: np.ndarray, end: float) -> bool:
    return int((pixels == int(end)).sum()) >= SEVERAL


def extremes(pixels: np.ndarray) -> Range:
    """Smallest and largest finite value; (0, 1) if there is none."""
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
