"""Laws of images as arrays: the identity keeps every bit, conversions invert, nonsense is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from array_images import AFFINES, DTYPES, image_of, pixels, restored
from dgno.arrays import (
    Affine,
    Image,
    from_tensor,
    identity_affine,
    newly_cut,
    percentile_affine,
    range_affine,
    restored_plane,
    to_tensor,
)
from dgno.errors import CheckpointError, ConfigError


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
    assert saturated == 1  # the last one was there before
    after = image.with_pixels(result[..., 0])
    assert newly_cut(image, after) == 1 and newly_cut(image, image) == 0


def test_values_beyond_the_range_are_not_pulled_into_it():
    image = Image(np.array([[10, 5000]], np.uint16), "YX", (0, 4095))
    change = np.array([1.0, 0.0])
    result, saturated = restored(image, lambda x: x + x.new_tensor(change), identity_affine)
    assert (result.ravel().tolist(), saturated) == ([11, 5000], 0)
    image = Image(np.array([[3, 2000]], np.uint16), "YX", (10, 4095))
    result, saturated = restored(image, lambda x: x + 1, identity_affine)
    assert (result.ravel().tolist(), saturated) == ([4, 2001], 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_not_clipped_but_stay_finite(dtype):
    image = image_of(np.array([[-5.0, 3e4]], dtype))
    result, _ = restored(image, lambda x: x * 1.5 - 0.25)
    assert result.min() < -5 and result.max() > 3e4
    huge = image_of(np.array([[0, min(0.9 * float(np.finfo(dtype).max), 3e38)]], dtype))
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
    result, _ = restored_plane(colours, given, given + 0.11, affine=affine, ends=image.ends, opacity=opacity)
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


# --- refusals ------------------------------------------------------------------------------------------------------


def test_describing_images_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys, dgno.arrays, dgno.io.image, dgno.io.provenance; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("dtype", "largest", "expected"),
    [("uint8", 200, (0, 255)), ("uint16", 4000, (0, 4095)), ("uint16", 60000, (0, 65535)), ("float32", 200, (0, 1))],
)
def test_a_range_that_is_not_given_fits_the_dtype(dtype: str, largest: float, expected: tuple[float, float]) -> None:
    values = np.linspace(0, largest, 12).reshape(3, 4).astype(dtype)
    assert Image(values).value_range == expected
    assert Image(values, value_range=(0, 9)).value_range == (0, 9)
    assert replace(Image(values), pixels=values[:1] * 0).value_range == expected, "it is guessed once"
