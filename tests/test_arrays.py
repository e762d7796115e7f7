"""Laws of images as arrays: the identity keeps every bit, conversions invert, ranges hold, nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgno.arrays import (
    Affine,
    Image,
    from_tensor,
    guess_value_range,
    identity_affine,
    percentile_affine,
    range_affine,
    restored_plane,
    to_tensor,
)
from dgno.errors import CheckpointError, ConfigError, InputOutOfRange, NonFiniteInput, UnsupportedInput
from dgno.restorable import check_finite, check_float32, check_restorable, is_label_plane

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
AFFINES = [identity_affine, range_affine, percentile_affine]


def pixels(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Values over the whole range of a dtype, its extremes, -0.0 and subnormals included."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind in "ui":
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        extremes, values = [low, high, 0], rng.integers(low, high, shape, dtype=kind, endpoint=True)
    else:
        top = min(float(np.finfo(kind).max), 3.4e38)
        extremes = [-top, top, -0.0, float(np.finfo(kind).smallest_subnormal), 1.0]
        values = (rng.normal(size=shape) * 10.0 ** rng.integers(-30, 30, shape)).clip(-top, top).astype(kind)
    where = rng.integers(values.size, size=values.size // 3 + 1)
    values.flat[where] = rng.choice(np.array(extremes, kind), where.size)
    return values


def image_of(values: np.ndarray, axes: str = "") -> Image:
    return Image(values, axes or ("YXS" if values.ndim == 3 else "YX"), guess_value_range(values)[0])


def restored(image: Image, change, affine=range_affine):
    """What comes of the first plane when a restorer applies `change` to its tensor."""
    plane, normalisation = next(image.planes()), affine(image)
    given = to_tensor(plane, normalisation)
    return restored_plane(plane, given, change(given), affine=normalisation, value_range=image.value_range)


@pytest.mark.parametrize("affine", AFFINES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3]), st.integers(0, 999))
def test_the_identity_keeps_every_byte(dtype, affine, height, width, samples, seed):
    image = image_of(pixels(dtype, (height, width, samples), seed))
    result, saturated = restored(image, lambda x: x.clone(), affine)
    assert result.dtype == image.pixels.dtype
    assert result.tobytes() == image.pixels.tobytes()
    assert saturated == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_are_finite_whatever_the_values(dtype):
    for seed in range(5):
        image = image_of(pixels(dtype, (20, 30, 1), seed))
        for affine in (range_affine, percentile_affine):
            assert to_tensor(next(image.planes()), affine(image)).isfinite().all()


def test_black_and_white_go_to_0_and_1():
    image = Image(np.array([[0, 4095]], np.uint16), "YX", (0, 4095))
    assert to_tensor(next(image.planes()), range_affine(image)).flatten().tolist() == [0, 1]


def test_to_tensor_and_back():
    plane = pixels("float32", (5, 7, 3), 0)
    tensor = to_tensor(plane, Affine(0.0, 1.0))
    assert tuple(tensor.shape) == (1, 3, 5, 7)
    assert tensor.is_contiguous()
    np.testing.assert_array_equal(from_tensor(tensor), plane)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32"])
def test_a_change_of_whole_steps_is_exact(dtype):
    values = np.arange(1000, 1100).reshape(10, 10)
    image = image_of(values.astype(dtype) if dtype != "uint8" else (values - 1000).astype(dtype))
    result, _ = restored(image, lambda x: x + 1, identity_affine)
    np.testing.assert_array_equal(result[..., 0], image.pixels + 1)


def test_integers_beyond_2_to_24_keep_their_last_digit():
    image = image_of(np.array([[2**32 - 1, 2**24 + 1, 2**31 + 3]], np.uint32))
    scale = range_affine(image).scale
    result, _ = restored(image, lambda x: x - 2 * 2**-10)
    np.testing.assert_array_equal(result[0, :, 0], np.rint(image.pixels[0] - scale * 2 * 2**-10))


def test_rounding_is_half_to_even():
    image = image_of(np.array([[0, 1, 2, 3]], np.uint8))
    assert restored(image, lambda x: x + 0.5, identity_affine)[0].ravel().tolist() == [0, 2, 2, 4]


def test_saturation_is_at_the_range_and_counted():
    image = Image(np.array([[0, 2000, 4090, 4095]], np.uint16), "YX", (0, 4095))
    result, saturated = restored(image, lambda x: x + 10, identity_affine)
    assert result.ravel().tolist() == [10, 2010, 4095, 4095]
    assert saturated == 2


def test_values_beyond_the_range_are_not_pulled_into_it():
    image = Image(np.array([[10, 5000]], np.uint16), "YX", (0, 4095))
    change = np.array([1.0, 0.0])
    result, saturated = restored(image, lambda x: x + x.new_tensor(change), identity_affine)
    assert (result.ravel().tolist(), saturated) == ([11, 5000], 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_not_clipped_but_stay_finite(dtype):
    image = image_of(np.array([[-5.0, 3e4]], dtype))
    result, _ = restored(image, lambda x: x * 1.5 - 0.25)
    assert result.min() < -5 and result.max() > 3e4
    huge = image_of(np.array([[0, min(float(np.finfo(dtype).max), 3e38)]], dtype))
    result, saturated = restored(huge, lambda x: x * 2)
    assert np.isfinite(result).all()
    assert saturated == (dtype != "float64")


def test_true_and_false_are_1_and_0():
    image = image_of(np.array([[True, False, True, False]]))
    change = np.array([-0.6, 0.6, 0.3, 0.4])
    result, _ = restored(image, lambda x: x + x.new_tensor(change))
    assert result.ravel().tolist() == [False, True, True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_restorer_that_gives_no_numbers_is_refused(value):
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        restored(image_of(np.zeros((4, 4), np.uint8)), lambda x: x + value)


@pytest.mark.parametrize("height", [1, 511, 512, 513, 1025])
def test_bands_leave_no_seam(height):
    image = image_of(pixels("uint8", (height, 3), 1))
    result, _ = restored(image, lambda x: 1 - x)
    np.testing.assert_array_equal(result[..., 0], 255 - image.pixels)


# --- alpha ---------------------------------------------------------------------------------------------------------


def with_alpha(kind: str) -> tuple[Image, np.ndarray, np.ndarray]:
    alpha = np.array([[0, 128, 255]], np.uint8)
    colours = np.array([[[9, 9, 9], [64, 32, 0], [200, 100, 0]]], np.uint8)
    return Image(colours, "YXS", (0, 255), alpha=alpha, alpha_kind=kind), colours, alpha


@pytest.mark.parametrize(
    "kind, share", [("straight", [0, 1, 1]), ("premultiplied", [0, 128 / 255, 1]), ("unspecified", None)]
)
def test_transparent_pixels_take_their_share_of_a_change(kind, share):
    image, colours, _ = with_alpha(kind)
    opacity = next(image.opacities())
    assert (opacity is None) == (share is None)
    affine = range_affine(image)
    given = to_tensor(colours, affine, opacity=opacity)
    result, _ = restored_plane(
        colours, given, given + 0.11, affine=affine, value_range=image.value_range, opacity=opacity
    )
    change = 28.05 * np.array([1, 1, 1] if share is None else share)
    np.testing.assert_array_equal(result, np.rint(colours + change[None, :, None]).clip(0, 255))


def test_premultiplied_colours_reach_the_restorer_undivided_where_opaque_and_divided_elsewhere():
    image, colours, _ = with_alpha("premultiplied")
    given = from_tensor(to_tensor(colours, identity_affine(image), opacity=next(image.opacities())))
    np.testing.assert_allclose(given[0, 1], colours[0, 1] * (255 / 128), rtol=1e-6)
    np.testing.assert_array_equal(given[0, [0, 2]], colours[0, [0, 2]])


# --- planes and axes -----------------------------------------------------------------------------------------------


def test_planes_are_views_in_order():
    values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    image = Image(values, "ZCYX")
    planes = list(image.planes())
    assert [plane.shape for plane in planes] == [(4, 5, 1)] * 6
    assert all(np.shares_memory(plane, values) for plane in planes)
    np.testing.assert_array_equal(planes[4][..., 0], values[1, 1])
    assert [image.channel_of(i) for i in range(6)] == [0, 1, 2, 0, 1, 2]
    assert (image.channels, image.samples, image.is_colour) == (3, 1, False)


def test_planes_of_arrays_that_are_not_contiguous_are_views_too():
    values = np.zeros((6, 4, 5), np.uint8)[::2]
    assert all(np.shares_memory(plane, values) for plane in Image(values, "ZYX").planes())


def test_colours_stay_together():
    image = Image(np.zeros((2, 4, 5, 3), np.uint8), "TYXS")
    assert [plane.shape for plane in image.planes()] == [(4, 5, 3)] * 2
    assert image.is_colour and image.shape_without_samples == (2, 4, 5)


def test_with_planes_is_the_reverse_of_planes():
    image = image_of(pixels("uint16", (3, 4, 5, 3), 0), "ZYXS")
    new = image.with_planes([plane[::-1] for plane in image.planes()])
    np.testing.assert_array_equal(new.pixels, image.pixels[:, ::-1])
    assert (new.axes, new.value_range) == (image.axes, image.value_range)


def test_other_shapes_and_dtypes_are_refused():
    image = Image(np.zeros((4, 5), np.uint8))
    for wrong in (np.zeros((5, 4), np.uint8), np.zeros((4, 5), np.uint16)):
        with pytest.raises(ConfigError, match=r"the image has uint8 of shape \(4, 5\)"):
            image.with_pixels(wrong)
    for axes in ("XY", "YXZ", "ZYX", ""):
        with pytest.raises(ConfigError, match="do not fit"):
            Image(np.zeros((4, 5)), axes)
    with pytest.raises(ConfigError, match="alpha of shape"):
        Image(np.zeros((4, 5)), alpha=np.zeros((5, 4)))


# --- normalisation -------------------------------------------------------------------------------------------------


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


# --- ranges --------------------------------------------------------------------------------------------------------


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
    found, note = guess_value_range(values)
    assert found == wanted
    assert found[0] <= values.min() and values.max() <= found[1]
    assert bool(note) == (np.dtype(dtype).itemsize > 1 and wanted != (0, 1))


def test_ranges_of_floats_heed_finite_values_only():
    assert guess_value_range(np.array([[np.nan, np.inf, 0.5]]))[0] == (0, 1)
    assert guess_value_range(np.full((2, 2), np.nan))[0] == (0, 1)


# --- refusals ------------------------------------------------------------------------------------------------------


def test_nan_and_infinity_are_refused_with_count_and_place():
    values = np.zeros((2, 5, 6), np.float32)
    values[1, 2, 3], values[1, 4, 4] = np.nan, -np.inf
    with pytest.raises(NonFiniteInput, match="2 values that are NaN or infinite, the first at Z 1, Y 2, X 3"):
        check_finite(image_of(values, "ZYX"))


def test_values_beyond_float32_are_refused():
    with pytest.raises(InputOutOfRange, match=r"values up to 1e\+300"):
        check_float32(image_of(np.array([[0, -1e300]])))
    check_float32(image_of(np.array([[0, 3.4e38]])))


def labels(step: int = 32, background: bool = True) -> np.ndarray:
    """Squares numbered from 1 on a grid, with or without zeros between them."""
    numbers = 1 + np.arange(64).reshape(8, 8)
    plane = np.kron(numbers, np.ones((step, step), int))
    if background:
        plane[(np.indices(plane.shape) % step < step // 4).any(0)] = 0
    return plane


def discs(count: int) -> np.ndarray:
    rng, plane = np.random.default_rng(1), np.zeros((256, 256), int)
    rows, columns = np.indices(plane.shape)
    for number in range(1, count + 1):
        row, column = rng.integers(20, 236, 2)
        plane[(rows - row) ** 2 + (columns - column) ** 2 < 150] = number
    return plane


RNG = np.random.default_rng(0)
BLOB = np.exp(-((np.indices((256, 256)) - 128) ** 2).sum(0) / 3000)
IMAGES = {
    "noise": RNG.integers(0, 256, (256, 256)),
    "photons": RNG.poisson(BLOB * 4 + 0.3),
    "few photons": RNG.poisson(BLOB * 0.5),
    "smooth and dark": np.round(BLOB * 9),
    "smooth, clipped background": np.round((BLOB * 30 - 5).clip(0)),
    "ramp of 64 levels": np.tile(np.arange(1024) // 16, (64, 1)),
    "black": np.zeros((64, 64)),
    "constant": np.full((64, 64), 3),
    "one square": np.pad(np.ones((32, 32)), 32) * 3,
    "two squares": np.pad(np.ones((16, 16)), 24) * 2 + np.pad(np.ones((32, 32)), 16) * 100,
    "gray squares": np.kron(RNG.integers(0, 256, (8, 8)), np.ones((32, 32))),
    "binary mask": (labels() > 0) * 255,
    "hot pixels": np.where(RNG.random((256, 256)) < 0.001, RNG.integers(1, 6, (256, 256)), 0),
    "checkerboard": np.indices((64, 64)).sum(0) % 2 * 255,
    "single pixel": np.ones((1, 1)),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
@pytest.mark.parametrize("plane", [labels(), labels(background=False), discs(20), discs(5), labels(8)])
def test_label_images_are_refused_unless_allowed(plane, dtype):
    image = image_of(plane.astype(dtype))
    with pytest.raises(UnsupportedInput, match="labels"):
        check_restorable(image)
    check_restorable(image, allow_labels=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("name", IMAGES)
def test_images_are_not_taken_for_labels(name, dtype):
    check_restorable(image_of(IMAGES[name].astype(dtype)))


def test_floats_and_colours_are_never_labels():
    assert not is_label_plane(labels().astype(np.float32)[..., None])
    assert not is_label_plane(np.repeat(labels()[..., None], 3, axis=-1).astype(np.uint8))


def test_describing_images_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys, dgno.arrays, dgno.io.image, dgno.io.provenance; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
