"""How much of a remedy every pixel takes: all inside regions of its type of blur, nothing outside, smooth between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt

from dgno.optics.blur_types import CELL
from dgno.restoration.tiling import Span

FADE = CELL  # px, on which a change fades in, inside the blurred squares
REACH = 2 * CELL  # px around a window that decide its weights: more than FADE

Weights = Float[np.ndarray, "h w"]


def feather(
    types: UInt8[np.ndarray, "rows columns"], wanted: int, blurred: Sequence[int], rows: Span, columns: Span
) -> Weights:
    """The weight of the type `wanted` at the pixels of a window, in [0, 1].

    types : number of the type of every square
    blurred : the numbers of all types that are restored; `wanted` is one of them
    rows, columns : of the window, px

    Exactly 0 in squares of no blurred type; over all blurred types the weights add up to 1 from FADE px inside their
    squares on, and rise to that along s^2 (3 - 2 s). Blurred types fade into each other over 2 FADE px. The border of
    the image is none of a region: there nothing fades. A pixel's weights do not depend on the window.
    """
    around, inner = _window(types, rows, columns)
    near = {kind: _count_near(around == kind) for kind in blurred}
    if not near[wanted][inner].any():
        return np.zeros((rows.length, columns.length), np.float32)
    inside = np.isin(around, blurred)
    distance = distance_transform_edt(inside) if not inside.all() else np.full(inside.shape, np.inf)
    rise = (distance / (FADE + 1)).clip(0, 1)
    share = near[wanted] / np.maximum(sum(near.values()), 1)
    weights: np.ndarray = np.where(inside, rise**2 * (3 - 2 * rise) * share, 0.0)[inner]
    return weights.astype(np.float32)


def touches(types: UInt8[np.ndarray, "rows columns"], wanted: int, rows: Span, columns: Span) -> bool:
    """Is a square of this type in the window, or next to it? Where not, all weights are 0."""
    down, along = (slice(max(span.start // CELL - 1, 0), (span.stop - 1) // CELL + 2) for span in (rows, columns))
    return bool((types[down, along] == wanted).any())


def _window(
    types: UInt8[np.ndarray, "rows columns"], rows: Span, columns: Span
) -> tuple[UInt8[np.ndarray, "h w"], tuple[slice, slice]]:
    """The types of the pixels of a window and REACH px around it, and the window in it; the last squares go on."""
    places = [
        (np.arange(span.start - REACH, span.stop + REACH) // CELL).clip(0, n - 1)
        for span, n in zip((rows, columns), types.shape, strict=True)
    ]
    inner = (slice(REACH, REACH + rows.length), slice(REACH, REACH + columns.length))
    return types[np.ix_(*places)], inner


def _count_near(mask: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """How many of the pixels at most FADE rows and columns away are in the mask; whole numbers, so that it is exact."""
    sums = np.pad(mask.astype(np.int64), ((FADE + 1, FADE), (FADE + 1, FADE))).cumsum(0).cumsum(1)
    side = 2 * FADE + 1
    count: np.ndarray = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return count
