"""Pyramids: which levels there are, what their pixels are, and how often the source is asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slide_cases import Source, all_levels, next_level, pixels_of

from dgno.errors import ConfigError
from dgno.io.pyramid import Pyramid, halved, level_shapes
from dgno.io.slide import SlideFacts

DTYPES = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]


def test_levels_halve_until_the_longer_side_fits_into_a_tile():
    assert level_shapes((512, 512)) == ((512, 512),)
    assert level_shapes((513, 100)) == ((513, 100), (256, 50))
    assert level_shapes((5000, 1)) == ((5000, 1), (2500, 1), (1250, 1), (625, 1), (312, 1))


def test_means_are_rounded_to_the_even_one_of_two_that_are_as_near():
    block = np.array([[0, 1, 1, 2, 3, 4], [0, 1, 1, 2, 3, 4]], np.uint8)[..., None]
    np.testing.assert_array_equal(halved(block)[0, :, 0], [0, 2, 4])
    np.testing.assert_array_equal(halved(-block.astype(np.int8))[0, :, 0], [0, -2, -4])


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_values_do_not_overflow(dtype):
    limits = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    for value in (limits.min, limits.max):
        assert halved(np.full((2, 2, 1), value, dtype)) == np.array(value, dtype)


def test_nan_and_infinity_spread_without_a_warning():
    block = np.array([[np.inf, -np.inf, 1, np.nan], [1, 1, 1, 1]], np.float32)[..., None]
    assert np.isnan(halved(block)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(DTYPES), st.sampled_from([1, 3]), st.integers(0, 99))
def test_halving_equals_plain_means(height, width, dtype, samples, seed):
    block = pixels_of(SlideFacts((height, width), np.dtype(dtype), samples), seed)[0]
    np.testing.assert_array_equal(halved(block), next_level(block))


SIZES = [(1, 1), (1, 3000), (2500, 1), (512, 512), (513, 512), (1024, 1536), (1025, 1027), (700, 2049)]


@pytest.mark.parametrize("shape", SIZES)
def test_levels_made_of_tiles_equal_those_made_of_the_whole(tmp_path, shape):
    facts = SlideFacts(shape, np.dtype("uint8"), axes="C", sizes=(2,))
    pixels = pixels_of(facts)
    source = Source(pixels)
    with Pyramid(facts, source, blank=None, folder=tmp_path) as pyramid:
        for level, grid in enumerate(pyramid.grids):
            found = np.zeros((2, *grid.shape, 1), np.uint8)
            for tile in pyramid.tiles(level):
                plane, row, column = grid.place(tile.number)
                rows, columns = grid.windows(row, column)
                found[plane, slice(*rows), slice(*columns)] = tile.pixels
                pyramid.shrink(level, tile)
            for plane in range(2):
                np.testing.assert_array_equal(found[plane], all_levels(pixels[plane])[level])
    grid = pyramid.grids[0]
    wanted = [(p, *grid.windows(r, c)) for p in range(2) for r in range(grid.rows) for c in range(grid.columns)]
    assert source.asked == wanted
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fill", [0, 240])
def test_blank_windows_are_not_asked_for_and_levels_of_them_are_blank(tmp_path, fill):
    facts = SlideFacts((1024 + 512, 2048), np.dtype("uint8"), fill=float(fill))
    pixels = np.full((1, *facts.shape, 1), fill, np.uint8)
    pixels[0, 1100:1200, 1500:2048] = 17
    source = Source(pixels)

    def blank(rows, columns, plane):
        return bool((pixels[plane, slice(*rows), slice(*columns)] == fill).all())

    with Pyramid(facts, source, blank=blank, folder=tmp_path) as pyramid:
        for level, wanted in enumerate(all_levels(pixels[0])):
            for tile in pyramid.tiles(level):
                rows, columns = pyramid.grids[level].windows(*pyramid.grids[level].place(tile.number)[1:])
                part = wanted[slice(*rows), slice(*columns)]
                assert (tile.pixels is None) == bool((part == fill).all())
                if tile.pixels is not None:
                    np.testing.assert_array_equal(tile.pixels, part)
                pyramid.shrink(level, tile)
    assert len(source.asked) == 2


def test_a_source_that_gives_something_else_is_refused(tmp_path):
    facts = SlideFacts((600, 600), np.dtype("uint8"))
    for wrong in (np.zeros((512, 511, 1), np.uint8), np.zeros((512, 512, 1), np.uint16)):
        with (
            Pyramid(facts, lambda rows, columns, plane, wrong=wrong: wrong, blank=None, folder=tmp_path) as pyramid,
            pytest.raises(ConfigError, match="for a window of uint8"),
        ):
            next(pyramid.tiles(0))
