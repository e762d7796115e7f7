"""Arrays of users: which axis is which, there and back, and no stack taken for channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dgno
from dgno.errors import ConfigError, DgnoError, InputTooLarge
from dgno.user_arrays import as_image, as_pixels, named_axes


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((160, 200), "YX"),
        ((160, 200, 3), "YXS"),
        ((160, 200, 4), "YXS"),
        ((160, 200, 1), "YXC"),
        ((33, 20, 7), "YXC"),
        ((1, 40, 2), "YXC"),
        ((256, 300, 64), "YXC"),
    ],
)
def test_arrays_that_can_only_be_one_thing_need_no_names(shape: tuple[int, ...], axes: str) -> None:
    pixels = numbered(*shape)
    assert named_axes(pixels) == axes
    np.testing.assert_array_equal(as_pixels(as_image(pixels), axes), pixels)


@pytest.mark.parametrize(
    "shape",
    [
        (3, 160, 200),  # three gray images, np.stack
        (2, 160, 200),  # an ImageJ composite, skimage.io.imread
        (1, 160, 200),
        (160, 200, 70),
        (5, 40, 50),
        (20, 160, 64),
        (100, 60, 60),
    ],
)
def test_what_may_be_a_stack_is_refused_until_its_axes_are_named(shape: tuple[int, ...]) -> None:
    pixels = numbered(*shape)
    with pytest.raises(ConfigError, match=r'without names of its axes.*say axes="ZYX" for a stack of planes') as caught:
        named_axes(pixels)
    assert str(shape) in caught.value.what
    assert ("limit is 64" in str(caught.value)) == (shape[-1] > 64)
    assert as_image(pixels, "ZYX").plane_count == shape[0]


@pytest.mark.parametrize(
    ("shape", "axes", "known"),
    [
        ((3, 16, 20), "zyx", "ZYX"),
        ((16, 20, 3), "YXZ", "ZYX"),
        ((5, 16, 20), "CYX", "CYX"),
        ((16, 20, 50), "YXC", "CYX"),
        ((2, 3, 4, 16, 20), "TZCYX", "TZCYX"),
        ((3, 16, 2, 20), "SYZX", "ZYXS"),
        ((2, 16, 20, 4), "ZYXS", "ZYXS"),
    ],
)
def test_named_axes_come_back_in_their_order(shape: tuple[int, ...], axes: str, known: str) -> None:
    pixels = numbered(*shape)
    image = as_image(pixels, axes)
    assert image.axes == known and (image.alpha is not None) == (shape[-1] == 4)
    np.testing.assert_array_equal(as_pixels(image, axes.upper()), pixels)


@pytest.mark.parametrize(
    ("shape", "axes", "error"),
    [
        ((3, 16, 20), "YX", ConfigError),
        ((3, 16, 20), "YYX", ConfigError),
        ((3, 16, 20), "ZCX", ConfigError),
        ((2, 16, 20), "SYX", ConfigError),
        ((70, 16, 20), "CYX", InputTooLarge),
        ((2, 3, 16, 20), "", ConfigError),
        ((0, 5), "", ConfigError),
        ((0, 16, 20), "ZYX", ConfigError),
        ((16,), "X", ConfigError),
    ],
)
def test_nonsense_is_refused(shape: tuple[int, ...], axes: str, error: type[DgnoError]) -> None:
    with pytest.raises(error) as caught:
        as_image(numbered(*shape), axes)
    assert caught.value.hint


@pytest.mark.parametrize("verb", [dgno.restore, dgno.assess, dgno.simulate])
def test_masked_arrays_are_refused(verb: Callable[[np.ndarray], object]) -> None:
    """Their mask would be lost, and what is below it taken for light."""
    pixels = np.random.default_rng(0).integers(0, 1000, (32, 32)).astype(np.uint16)
    with pytest.raises(ConfigError, match=r"a masked array.*filled"):
        verb(np.ma.masked_greater(pixels, 900))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("of", [np.matrix, np.asfortranarray, np.memmap], ids=lambda of: of.__name__)
def test_kinds_of_arrays_are_images_like_others(of: Callable[..., np.ndarray], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 1000, (32, 32)).astype(np.uint16)
    given = of(tmp_path / "pixels", pixels.dtype, "w+", shape=pixels.shape) if of is np.memmap else of(pixels)
    given[...] = pixels
    for verb in (dgno.restore, lambda x: dgno.simulate(x)[0], lambda x: dgno.assess(x).strength):
        np.testing.assert_array_equal(verb(given), verb(pixels))
