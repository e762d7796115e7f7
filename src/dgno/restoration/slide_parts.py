"""Which parts of a block a restorer must see, when only some of its pixels are to change.

Scattered blur would otherwise cost whole blocks: a restorer needs its context around every part, so parts are cut only
where two of them, with their contexts, have clearly fewer pixels than one around both.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from dgno.restoration.tiling import Cut, Span, Tile

GAIN = 0.85  # a cut must leave no more than this share of the pixels that are seen
LEAST = 96  # px; no shorter halves are tried
Mask = Bool[np.ndarray, "h w"]


def parts_of(tile: Tile, changed: Mask, *, overlap: int, multiple: int) -> list[Tile]:
    """Tiles, counted from what `tile` reads, that together write every changed pixel once, with `overlap` px of context
    as far as the tile reads.

    changed : of the tile's kept part
    """
    return _cut(tile, changed, (Span(0, changed.shape[0]), Span(0, changed.shape[1])), overlap, multiple)


def _cut(tile: Tile, changed: Mask, window: tuple[Span, Span], overlap: int, multiple: int) -> list[Tile]:
    """The parts of a window of the kept part: its box, or the boxes of its halves if they are clearly less."""
    box = _box(changed, window)
    if box is None:
        return []
    whole = [_with_context(tile, box, overlap, multiple)]
    best = whole
    for axis in (0, 1):
        if box[axis].length <= 2 * max(overlap, LEAST):  # two contexts more would be all that is won
            continue
        middle = (box[axis].start + box[axis].stop) // 2
        halves = [
            tuple(half if i == axis else span for i, span in enumerate(box))
            for half in (Span(box[axis].start, middle), Span(middle, box[axis].stop))
        ]
        found = [part for half in halves for part in _cut(tile, changed, (half[0], half[1]), overlap, multiple)]
        if _pixels(found) < min(_pixels(best), GAIN * _pixels(whole)):
            best = found
    return best


def _box(changed: Mask, window: tuple[Span, Span]) -> tuple[Span, Span] | None:
    """The smallest window with all changed pixels of this one; None if there are none."""
    inside = changed[slice(*window[0]), slice(*window[1])]
    spans = []
    for axis, span in enumerate(window):
        found = np.flatnonzero(inside.any(1 - axis))
        if not len(found):
            return None
        spans.append(Span(span.start + int(found[0]), span.start + int(found[-1]) + 1))
    return spans[0], spans[1]


def _with_context(tile: Tile, box: tuple[Span, Span], overlap: int, multiple: int) -> Tile:
    cuts = []
    for cut, span in zip((tile.rows, tile.columns), box, strict=True):
        write = Span(span.start + cut.keep.start, span.stop + cut.keep.start)
        start = max(write.start - overlap, 0) // multiple * multiple
        stop = min(-(-(write.stop + overlap) // multiple) * multiple, cut.read.length)
        cuts.append(Cut(Span(start, stop), write, 0, 0))
    return Tile(cuts[0], cuts[1])


def _pixels(parts: list[Tile]) -> int:
    return sum(part.rows.read.length * part.columns.read.length for part in parts)
