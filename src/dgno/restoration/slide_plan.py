"""Which blocks a slide is restored in, and which of them there is anything to do in.

A block is a tile of one plane: what it reads, what it keeps and where that lands depend on the shape of the slide and
on the tiling alone, so that a run that goes on after a kill, on other machines or in another order has the same blocks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from dgno.restoration.tiling import Cut, Span, Tile, plan_cuts


@dataclass(frozen=True)
class Block:
    """A tile of a plane of a slide, with its number among all blocks of the slide."""

    number: int
    plane: int
    tile: Tile


@dataclass(frozen=True)
class SlidePlan:
    """All blocks of a slide: the planes one after the other, each row by row."""

    rows: tuple[Cut, ...]
    columns: tuple[Cut, ...]
    planes: tuple[int, ...]

    @property
    def per_plane(self) -> int:
        return len(self.rows) * len(self.columns)

    def __len__(self) -> int:
        return len(self.planes) * self.per_plane

    def block(self, number: int) -> Block:
        """The block of that number."""
        place, rest = divmod(number, self.per_plane)
        row, column = divmod(rest, len(self.columns))
        return Block(number, self.planes[place], Tile(self.rows[row], self.columns[column]))

    def __iter__(self) -> Iterator[Block]:
        return (self.block(number) for number in range(len(self)))

    @property
    def is_blended(self) -> bool:
        """Do kept parts overlap?"""
        return any(cut.fade_in or cut.fade_out for cut in (*self.rows, *self.columns))

    def landing_in(self, rows: Span, columns: Span, plane: int) -> Iterator[Block]:
        """The blocks of a plane whose kept parts land in the window, by their numbers."""
        if plane not in self.planes:
            return
        first = self.planes.index(plane) * self.per_plane
        for row in _meeting(self.rows, rows):
            for column in _meeting(self.columns, columns):
                yield self.block(first + row * len(self.columns) + column)

    def corners(self) -> Iterator[tuple[int, int]]:
        """Where four blocks meet, (row, column) in px: inner borders of the kept parts."""
        for above, below in zip(self.rows[:-1], self.rows[1:], strict=True):
            for left, right in zip(self.columns[:-1], self.columns[1:], strict=True):
                yield (above.write.stop + below.write.start) // 2, (left.write.stop + right.write.start) // 2


def plan_blocks(
    shape: tuple[int, int], planes: Collection[int], *, tile_size: int, overlap: int, blend: int = 0, multiple: int = 1
) -> SlidePlan:
    """The blocks of these planes, of (h, w) px; see `dgno.restoration.tiling.plan_tiles`."""
    rows, columns = (plan_cuts(n, tile_size, overlap, blend=blend, multiple=multiple) for n in shape)
    return SlidePlan(tuple(rows), tuple(columns), tuple(sorted(planes)))


def needed_blocks(plan: SlidePlan, is_needed: Callable[[Block], bool]) -> list[int]:
    """Numbers of the blocks that there is something to do in."""
    return [block.number for block in plan if is_needed(block)]


def _meeting(cuts: tuple[Cut, ...], span: Span) -> range:
    """Numbers of the cuts that land on any pixel of the span."""
    first = bisect_right(cuts, span.start, key=lambda cut: cut.write.stop)
    return range(first, bisect_left(cuts, span.stop, key=lambda cut: cut.write.start))
