"""What can be restored: NaN, values beyond float32 and labels are refused."""

from __future__ import annotations

import numpy as np
import pytest

import dgno
from array_images import image_of
from dgno.errors import InputOutOfRange, NonFiniteInput, UnsupportedInput
from dgno.restorable import check_finite, check_float32, check_restorable, is_label_plane

RNG = np.random.default_rng(0)


def test_nan_and_infinity_are_refused_with_count_and_place():
    values = np.zeros((2, 5, 6), np.float32)
    values[1, 2, 3], values[1, 4, 4] = np.nan, -np.inf
    with pytest.raises(NonFiniteInput, match="2 values that are NaN or infinite, the first at Z 1, Y 2, X 3"):
        check_finite(image_of(values, "ZYX"))


def test_planes_that_are_only_copied_may_hold_anything():
    values = np.zeros((3, 5, 6), np.float32)
    values[1, 2, 3] = np.nan
    image = image_of(values, "CYX")
    check_restorable(image, [0, 2])
    with pytest.raises(NonFiniteInput, match="at C 1, Y 2, X 3") as caught:
        check_restorable(image, [1, 2])
    assert "--channels 0,2 restores the others" in str(caught.value.hint)


def test_values_beyond_float32_are_refused():
    with pytest.raises(InputOutOfRange, match=r"values up to 1e\+300"):
        check_float32(image_of(np.array([[0, -1e300]])))
    check_float32(image_of(np.array([[0, 3.4e38]])))


@pytest.mark.parametrize("dtype", [">f8", "<f8", np.longdouble])
@pytest.mark.parametrize("verb", [dgno.restore, dgno.simulate, dgno.assess])
def test_values_beyond_float32_are_refused_in_every_dtype(verb, dtype):
    """Whatever its order of bytes; of a longdouble even what is beyond float64."""
    pixels = RNG.random((32, 32)).astype(dtype)
    verb(pixels)
    for largest in ("1e300", "1e4000" if dtype is np.longdouble else "4e38"):
        pixels[3, 4] = np.array(largest, dtype)
        with pytest.raises(InputOutOfRange, match="values up to " + largest.replace("e", r"e\+")):
            verb(pixels)


def test_values_of_which_a_network_makes_none_are_no_fault_of_the_weights():
    pixels = 3e38 * RNG.random((32, 32)).astype(np.float32)
    with pytest.raises(InputOutOfRange, match=r"values up to 3e\+38.*divide the image by a constant"):
        dgno.restore(pixels, normalize="none")


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
    "two squares": np.pad(np.ones((16, 16)), 24) * 2 + np.pad(np.ones((32, 32)), 16) * 100,
    "gray squares": np.kron(RNG.integers(0, 256, (8, 8)), np.ones((32, 32))),
    "hot pixels": np.where(RNG.random((256, 256)) < 0.001, RNG.integers(1, 6, (256, 256)), 0),
    "dark camera": RNG.random((256, 256)) < 0.4,
    "one point": np.pad(np.ones((1, 1)), 32) * 200,
    "tiny": np.array([[0, 255], [255, 0]]),
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


MASKS = {
    "nuclei": (labels() > 0) * 255,
    "nuclei of 1": labels() > 0,
    "one square": np.pad(np.ones((32, 32)), 32) * 3,
    "checkerboard": np.indices((64, 64)).sum(0) % 2 * 255,
    "outlines": np.where((np.indices((64, 64)) % 16 == 0).any(0), 255, 0),
    "colours": np.repeat((labels() > 0)[..., None] * 255, 3, axis=-1),
}


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int32"])
@pytest.mark.parametrize("name", MASKS)
def test_masks_are_refused_unless_allowed(name, dtype):
    image = image_of(MASKS[name].astype(dtype))
    with pytest.raises(UnsupportedInput, match=r"the only values are .*mask.*--allow-labels \(allow_labels=True\)"):
        check_restorable(image)
    check_restorable(image, allow_labels=True)


def test_one_mask_among_planes_that_are_not_restored_does_not_matter():
    planes = np.stack([RNG.integers(0, 256, (64, 64)), MASKS["one square"][:64, :64]]).astype(np.uint8)
    image = image_of(planes, "ZYX")
    check_restorable(image, {0})
    with pytest.raises(UnsupportedInput, match="mask"):
        check_restorable(image, {1})


def test_floats_and_colours_are_never_labels():
    assert not is_label_plane(labels().astype(np.float32)[..., None])
    assert not is_label_plane(np.repeat(labels()[..., None], 3, axis=-1).astype(np.uint8))


def test_numbers_far_from_nought_are_no_labels():
    for far in (2**62, -(2**62)):  # a count of every value up to there would not fit into any memory
        plane = labels().astype(np.int64)[..., None]
        plane[0, 0] = far
        assert not is_label_plane(plane)
    assert not is_label_plane(np.zeros((0, 5, 1), np.uint8))


def test_labels_whose_ground_is_minus_one():
    assert is_label_plane((labels().astype(np.int32) - 1)[..., None])
    assert not is_label_plane((labels().astype(np.int32) - 2)[..., None])
