"""Parts of a block: every changed pixel is written once, with its context, and no more is seen than pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgno.restoration.slide_parts import parts_of
from dgno.restoration.tiling import Cut, Span, Tile


def tile_of(kept: tuple[int, int], context: int) -> Tile:
    """A tile inside a plane: what it keeps, and as much context on every side."""
    cuts = [Cut(Span(64, 64 + n + 2 * context), Span(64 + context, 64 + context + n), 0, 0) for n in kept]
    return Tile(cuts[0], cuts[1])


def seen(parts: list[Tile]) -> int:
    return sum(part.rows.read.length * part.columns.read.length for part in parts)


@st.composite
def blurs(draw: st.DrawFn) -> np.ndarray:
    """Some rectangles, on a kept part of up to 800 px a side."""
    height, width = draw(st.integers(1, 800)), draw(st.integers(1, 800))
    changed = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(0, 5))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        changed[top : top + draw(st.integers(1, 300)), left : left + draw(st.integers(1, 300))] = True
    return changed


@settings(deadline=None, max_examples=60)
@given(blurs(), st.sampled_from([(0, 1), (6, 4), (128, 32)]))
def test_every_changed_pixel_is_written_once_with_its_context(changed: np.ndarray, tiling: tuple[int, int]) -> None:
    overlap, multiple = tiling
    tile = tile_of(changed.shape, overlap)
    parts = parts_of(tile, changed, overlap=overlap, multiple=multiple)
    written = np.zeros(changed.shape, int)
    for part in parts:
        rows, columns = part.rows.write.seen_from(overlap), part.columns.write.seen_from(overlap)
        written[slice(*rows), slice(*columns)] += 1
        for cut, whole in ((part.rows, tile.rows), (part.columns, tile.columns)):
            assert cut.read.start % multiple == 0
            assert 0 <= cut.read.start <= max(cut.write.start - overlap, 0)
            assert min(cut.write.stop + overlap, whole.read.length) <= cut.read.stop <= whole.read.length
    assert written.max(initial=0) <= 1
    assert (written[changed] == 1).all()


def test_specks_far_apart_are_seen_apart() -> None:
    changed = np.zeros((768, 768), bool)
    changed[:8, :8] = changed[-8:, -8:] = True
    parts = parts_of(tile_of(changed.shape, 128), changed, overlap=128, multiple=32)
    assert len(parts) == 2
    assert seen(parts) < 0.25 * 1024**2


@pytest.mark.parametrize("gap", [0, 40, 150])
def test_neighbours_are_seen_together(gap: int) -> None:
    """Two contexts would cost more than the gap."""
    changed = np.zeros((768, 768), bool)
    changed[:, :300] = changed[:, 300 + gap : 700] = True
    assert len(parts_of(tile_of(changed.shape, 128), changed, overlap=128, multiple=32)) == 1


def test_nothing_changed_needs_nothing() -> None:
    assert parts_of(tile_of((64, 64), 16), np.zeros((64, 64), bool), overlap=16, multiple=8) == []
