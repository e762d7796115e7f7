"""Laws of tiling: nothing is lost, nothing is counted twice, and a local restorer does not notice it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dgno.errors import ConfigError, OutOfMemory
from dgno.restoration.image import restore_plane
from dgno.restoration.tiling import Cut, Span, largest_tile, plan_cuts, plan_tiles

LENGTHS = st.integers(1, 700)


@st.composite
def tilings(draw: st.DrawFn) -> dict[str, int]:
    multiple = draw(st.sampled_from([1, 8, 32, 33]))
    overlap = draw(st.integers(0, 40))
    tile_size = multiple * draw(st.integers(-(-(2 * overlap + multiple) // multiple), 12 + 2 * overlap // multiple))
    return {"tile_size": tile_size, "overlap": overlap, "blend": draw(st.integers(0, overlap)), "multiple": multiple}


@settings(deadline=None)
@given(LENGTHS, tilings())
def test_weights_of_all_tiles_sum_to_one(length: int, tiling: dict[str, int]) -> None:
    """Kept parts cover the axis, and fading shares every pixel out."""
    total = torch.zeros(length)
    for cut in plan_cuts(length, **tiling):
        total[slice(*cut.write)] += cut.weights()
    torch.testing.assert_close(total, torch.ones(length))


@pytest.mark.parametrize("length", [1, 2, 7])
def test_fading_is_the_same_from_both_sides(length: int) -> None:
    """A tile and its mirror image share a pixel alike; the first and the last faded pixel count too."""
    weights = Cut(Span(0, 40), Span(0, 40), fade_in=length, fade_out=length).weights()
    torch.testing.assert_close(weights, weights.flip(0))
    assert (weights[:length] > 0).all()
    assert (weights[:length].diff() > 0).all()
    assert (weights[length:-length] == 1).all()


@settings(deadline=None)
@given(LENGTHS, tilings())
def test_every_kept_pixel_has_its_context(length: int, tiling: dict[str, int]) -> None:
    """Reads begin at multiples, stay inside, and reach `overlap` beyond what is kept, less the faded margin."""
    context = tiling["overlap"] - tiling["blend"]
    cuts = plan_cuts(length, **tiling)
    assert all(cut.read.stop < length for cut in cuts[:-1])  # no tile more than needed
    for cut in cuts:
        assert cut.read.start % tiling["multiple"] == 0
        assert cut.read.stop <= length
        assert cut.read.length <= tiling["tile_size"] or cut.read == (0, length)
        assert cut.read.start == 0 or cut.write.start - cut.read.start >= context
        assert cut.read.stop == length or cut.read.stop - cut.write.stop >= context


@pytest.mark.parametrize(("size", "overlap", "blend"), [(64, 0, 0), (64, 16, 8), (100, 33, 33), (0, 5, 0)])
@pytest.mark.parametrize("shape", [(1, 1), (7, 200), (130, 61), (300, 300)])
def test_tiling_keeps_the_image(shape: tuple[int, int], size: int, overlap: int, blend: int) -> None:
    """Restoring with the identity changes nothing, bit for bit."""
    plane = torch.rand(1, 3, *shape)
    tiles = plan_tiles(shape, tile_size=size, overlap=overlap, blend=blend)
    assert torch.equal(restore_plane(plane, lambda x: x, tiles), plane)


def smooth(x: Tensor, radius: int = 6) -> Tensor:
    """A local restorer: a mean over a window, zero outside what it is given."""
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius)


@pytest.mark.parametrize(("overlap", "agrees"), [(6, True), (12, True), (5, False)])
@pytest.mark.parametrize("blend", [0, 3])
def test_tiles_of_a_local_restorer_equal_the_whole(overlap: int, agrees: bool, blend: int) -> None:
    """With context of the restorer's reach tiles give the whole; with less, or faded into the context, they do not."""
    plane = torch.rand(1, 1, 150, 170)
    tiles = plan_tiles((150, 170), tile_size=64, overlap=overlap, blend=blend, multiple=8)
    difference = (restore_plane(plane, smooth, tiles) - smooth(plane)).abs().max()
    if agrees and overlap - blend >= 6:
        assert difference < 1e-6
    else:
        assert difference > 1e-4


@pytest.mark.parametrize(("tile_size", "overlap", "multiple"), [(64, 32, 1), (60, 4, 8), (32, 20, 8), (-1, 0, 1)])
def test_impossible_tilings_are_refused(tile_size: int, overlap: int, multiple: int) -> None:
    with pytest.raises(ConfigError, match="tile"):
        plan_cuts(1000, tile_size, overlap, multiple=multiple)


@pytest.mark.parametrize(("max_bytes", "side"), [(1.1e5, 32), (1e6, 96), (1e12, 1024)])
def test_the_largest_tile_fits_into_memory(max_bytes: float, side: int) -> None:
    assert largest_tile(1024, max_bytes=max_bytes, bytes_per_pixel=100, overlap=0, multiple=32) == side
    assert side == 32 or side**2 * 100 <= max_bytes


def test_a_tile_that_is_all_context_is_refused_with_what_it_takes() -> None:
    """256 px is the least with 112 px on each side and steps of 32."""
    with pytest.raises(OutOfMemory, match=r"tile of 256 px; give --max-memory at least 0\.1"):
        largest_tile(1024, max_bytes=1e6, bytes_per_pixel=1000, overlap=112, multiple=32)
