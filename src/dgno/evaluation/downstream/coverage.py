"""How much of each pixel a polygon covers, exactly.

By Green's theorem the area of a polygon within a pixel follows from its edges: an edge adds, to the pixels right of it,
the height that it spans, and to the pixels that it crosses what lies right of it there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Polygons = Float[np.ndarray, "n corners 2"]  # (row, column), counted from the corner of the first pixel
Shape = tuple[int, int]


def coverage(polygons: Polygons, shape: Shape) -> Float[np.ndarray, "h w"]:
    """The part of each pixel, in [0, 1], that lies in polygons that do not overlap; what is outside is cut off.

    polygons : their corners in px, all the same way round; pixel (i, j) reaches from (i, j) to (i + 1, j + 1)
    """
    height, width = shape
    starts = polygons.reshape(-1, 2)
    ends = np.roll(polygons, -1, axis=1).reshape(-1, 2)
    starts, ends = _cut(starts, ends)
    row, column = np.floor((starts + ends) / 2).astype(np.int64).T
    inside = (row >= 0) & (row < height) & (column < width)
    spanned = (ends - starts)[:, 0] * inside
    within = 1 - ((starts + ends)[:, 1] / 2 - column)  # of the pixel's width, what lies right of the edge
    within = np.where(column < 0, 1.0, within)
    row, column = row.clip(0, height - 1), column.clip(0, width - 1)
    area = np.zeros((height, width + 1))
    np.add.at(area, (row, column), spanned * within)
    np.add.at(area, (row, column + 1), spanned * (1 - within))
    return np.abs(area.cumsum(axis=1)[:, :width])


def _cut(
    starts: Float[np.ndarray, "n 2"], ends: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, "m 2"]]:
    """Edges, cut where they cross lines between pixels."""
    firsts, lasts = [], []
    for start, end in zip(starts, ends, strict=True):
        low, high = np.minimum(start, end), np.maximum(start, end)
        places = [np.array([0.0, 1.0])]
        for axis in (0, 1):
            lines = np.arange(np.floor(low[axis]) + 1, np.ceil(high[axis]))
            places.append((lines - start[axis]) / ((end - start)[axis] or 1.0))
        along = np.unique(np.concatenate(places))[:, None]
        points = start + along * (end - start)
        firsts.append(points[:-1])
        lasts.append(points[1:])
    return np.concatenate(firsts), np.concatenate(lasts)
