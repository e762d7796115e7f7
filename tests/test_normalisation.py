"""Where black and white of an image are: stated, guessed or measured."""

from __future__ import annotations

import numpy as np
import pytest

from array_images import AFFINES, DTYPES, image_of, restored
from dgno.arrays import (
    Affine,
    percentile_affine,
    to_tensor,
)
from dgno.restorable import check_restorable
from dgno.value_ranges import guess_value_range


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", [0, 0.5, 1])
def test_constant_images_pass(dtype, level):
    top = 1 if np.dtype(dtype).kind in "bf" else np.iinfo(dtype).max
    image = image_of(np.full((9, 9), top * level).astype(dtype))
    check_restorable(image)
    for affine in AFFINES:
        assert affine(image).scale > 0
        result, _ = restored(image, lambda x: x, affine)
        np.testing.assert_array_equal(result[..., 0], image.pixels)


def test_percentiles_ignore_hot_pixels_and_nan():
    rng = np.random.default_rng(0)
    values = rng.uniform(100, 200, (200, 200)).astype(np.float32)
    plain = percentile_affine(image_of(values))
    values[0, :10], values[1, :10] = 1e4, np.nan
    hot = percentile_affine(image_of(values))
    assert abs(hot.offset - plain.offset) < 0.5 and abs(hot.scale - plain.scale) < 0.5


def test_percentiles_of_a_large_image_are_those_of_all_of_it() -> None:
    """Dark above, bright below; every other pixel is looked at."""
    values = np.random.default_rng(0).integers(0, 50, (4096, 2048), dtype=np.uint8)
    values[2048:] += 150
    found = percentile_affine(image_of(values))
    low, high = np.percentile(values, [0.1, 99.9])
    assert (found.offset, found.scale) == (low, high - low)


def test_percentiles_that_coincide_give_way_to_the_extremes():
    values = np.zeros((100, 100), np.uint16)
    values[0, 0] = 500
    assert percentile_affine(image_of(values)) == Affine(0, 500)


def test_outliers_end_at_most_a_million_units_away():
    values = np.linspace(0, 1e-3, 10000, dtype=np.float64).reshape(100, 100)
    values[0, 0] = 3e38
    image = image_of(values)
    assert to_tensor(next(image.planes()), percentile_affine(image)).abs().max() <= 1.001e6


def test_channels_are_normalised_apart():
    values = np.stack([np.full((9, 9), 10), np.arange(81).reshape(9, 9) * 100]).astype(np.uint16)
    image = image_of(values, "CYX")
    assert percentile_affine(image, channel=0) == Affine(10, 1)
    assert percentile_affine(image, channel=1).scale > 7000
    assert percentile_affine(image).scale > 7000


@pytest.mark.parametrize(
    "dtype, low, high, wanted",
    [
        ("bool", 0, 1, (0, 1)),
        ("uint8", 3, 7, (0, 255)),
        ("int8", 0, 5, (-128, 127)),
        ("uint16", 0, 3, (0, 1023)),
        ("uint16", 0, 1023, (0, 1023)),
        ("uint16", 0, 1024, (0, 4095)),
        ("uint16", 0, 4095, (0, 4095)),
        ("uint16", 0, 4096, (0, 16383)),
        ("uint16", 0, 16384, (0, 65535)),
        ("uint16", 0, 65535, (0, 65535)),
        ("int16", 0, 4000, (0, 4095)),
        ("int16", 0, 32767, (0, 32767)),
        ("int16", -5, 400, (-512, 511)),
        ("int16", -513, 400, (-2048, 2047)),
        ("int16", -32768, 0, (-32768, 32767)),
        ("uint32", 0, 70_000, (0, 2**20 - 1)),
        ("uint32", 0, 2**32 - 1, (0, 2**32 - 1)),
        ("int32", 0, 2**31 - 1, (0, 2**31 - 1)),
        ("int32", -(2**31), 0, (-(2**31), 2**31 - 1)),
        ("float32", 0, 1, (0, 1)),
        ("float32", 0.2, 0.3, (0, 1)),
        ("float64", -5, 3e4, (-5, 3e4)),
    ],
)
def test_ranges_are_guessed_as_documented(dtype, low, high, wanted):
    values = np.array([[low, high]], dtype)
    found, _, notes = guess_value_range(values)
    assert found == wanted
    assert found[0] <= values.min() and values.max() <= found[1]
    assert bool(notes) == (np.dtype(dtype).itemsize > 1 and wanted != (0, 1))


def test_ranges_of_floats_heed_finite_values_only():
    assert guess_value_range(np.array([[np.nan, np.inf, 0.5]]))[0] == (0, 1)
    assert guess_value_range(np.full((2, 2), np.nan))[0] == (0, 1)


@pytest.mark.parametrize("side", [2100, 2400])
def test_percentiles_of_a_large_colour_image_are_those_of_all_its_colours(side: int) -> None:
    """Light in blue alone, as in a slide of DAPI stored as colours: whatever the steps, blue is looked at."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[..., 2] = np.arange(side) % 200
    affine = percentile_affine(image_of(pixels))
    assert affine.scale == pytest.approx(199, abs=1)
