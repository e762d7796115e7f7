"""Can the tiles be seen? Two numbers, measured on the result itself (seam index, tile delta)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dgno.arrays import Plane
from dgno.restoration.slide_plan import Block, SlidePlan
from dgno.restoration.tiling import Cut, Span, Tile

MOST = 64  # borders of each direction that are looked at
LEAST_STEP = 1e-12  # of the lines beside the borders; without any step nothing can be compared

Reading = Callable[[Span, Span, int], Plane]  # rows, columns, plane


@dataclass
class _Steps:
    """Sums of the steps between neighbouring pixels: over borders of tiles, and over lines half a tile beside them."""

    border: float = 0.0
    beside: float = 0.0

    def ratio(self) -> float | None:
        return self.border / self.beside if self.beside > LEAST_STEP else None


def seam_index(before: Reading, after: Reading, plan: SlidePlan, is_done: Callable[[int], bool]) -> float | None:
    """How much steeper the result is across borders of tiles than half a tile beside them, over the same of the input.

    1 where no border shows. None without borders between restored tiles, or where all is flat.

    before, after : windows of the slide as it was, and restored
    is_done : was the block of this number restored?
    """
    was, now = _Steps(), _Steps()
    for across, along, plane, is_row in _spread(list(_borders(plan, is_done))):
        for read, steps in ((before, was), (after, now)):
            for line, name in ((across.start, "border"), ((across.start + across.stop) // 2, "beside")):
                pair = Span(line - 1, line + 1)
                pixels = read(pair, along, plane) if is_row else read(along, pair, plane)
                step = float(np.abs(np.diff(pixels.astype(np.float64), axis=0 if is_row else 1)).mean())
                setattr(steps, name, getattr(steps, name) + step)
    ratios = was.ratio(), now.ratio()
    return ratios[1] / ratios[0] if ratios[0] and ratios[1] is not None else None


def border_count(plan: SlidePlan, is_done: Callable[[int], bool]) -> int:
    """How many borders `seam_index` looks at."""
    return len(_spread(list(_borders(plan, is_done))))


def _borders(plan: SlidePlan, is_done: Callable[[int], bool]) -> Iterator[tuple[Span, Span, int, bool]]:
    """Borders between restored blocks: from the border to the far end of the second block, the pixels along it, the
    plane, and whether the border runs along a row."""
    wide = len(plan.columns)
    for block in plan:
        if not is_done(block.number):
            continue
        row, column = divmod(block.number % plan.per_plane, wide)
        rows, columns = block.tile.rows, block.tile.columns
        if row + 1 < len(plan.rows) and is_done(block.number + wide):
            below = plan.rows[row + 1]
            yield Span(_middle(rows, below), below.write.stop), columns.write, block.plane, True
        if column + 1 < wide and is_done(block.number + 1):
            right = plan.columns[column + 1]
            yield Span(_middle(columns, right), right.write.stop), rows.write, block.plane, False


def _middle(first: Cut, second: Cut) -> int:
    return (first.write.stop + second.write.start) // 2


def _spread(borders: list[tuple[Span, Span, int, bool]]) -> list[tuple[Span, Span, int, bool]]:
    """At most MOST of each direction, evenly spread over the slide."""
    return [
        one
        for is_row in (True, False)
        for of in [[border for border in borders if border[3] == is_row]]
        for one in of[:: max(1, -(-len(of) // MOST))]
    ]


@dataclass(frozen=True)
class TileDelta:
    """Between the result and the same place restored by a tile that is shifted by half a tile, of the value range."""

    rms: float
    largest: float
    percentile: float  # the 99.9th


def shifted_block(
    plan: SlidePlan, is_done: Callable[[int], bool], *, tile_size: int, overlap: int, multiple: int
) -> Block | None:
    """A block of the plan's size in whose middle four restored blocks meet; None if there is no such place."""
    wide = len(plan.columns)
    for place, plane in enumerate(plan.planes):
        for row in range(len(plan.rows) - 1):
            for column in range(wide - 1):
                first = place * plan.per_plane + row * wide + column
                if all(is_done(first + more) for more in (0, 1, wide, wide + 1)):
                    how = (tile_size, overlap, multiple)
                    cuts = _shifted(plan.rows, row, *how), _shifted(plan.columns, column, *how)
                    return Block(-1, plane, Tile(*cuts))
    return None


def _shifted(cuts: tuple[Cut, ...], place: int, tile_size: int, overlap: int, multiple: int) -> Cut:
    """A tile midway between two, whose origin is a multiple of the restorer's as well."""
    first, second = cuts[place].read.start, cuts[place + 1].read.start
    end = cuts[-1].read.stop
    start = first + (second - first) // 2 // multiple * multiple
    read = Span(start, min(start + tile_size, end))
    kept = Span(start + (overlap if start else 0), read.stop - (overlap if read.stop < end else 0))
    return Cut(read, kept, 0, 0)


def tile_delta(first: Plane, second: Plane, value_range: tuple[float, float]) -> TileDelta:
    """How much two results of one place differ."""
    width = (value_range[1] - value_range[0]) or 1.0
    difference = np.abs(first.astype(np.float64) - second) / width
    rms = float(np.sqrt((difference**2).mean()))
    return TileDelta(rms, float(difference.max()), float(np.quantile(difference, 0.999)))
