"""Restoring an image by any callable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dgno.arrays import Image
from dgno.errors import ChannelMismatch, InputOutOfRange, NonFiniteInput, OutOfMemory
from dgno.restoration.image import as_is, by_extremes, by_percentiles, by_range, restore_image
from dgno.restoration.nonfinite import fill, mark

DTYPES = [np.uint8, np.uint16, np.int16, np.uint32, np.float16, np.float32, np.float64]
NORMALIZERS = [by_range, by_percentiles, by_extremes, as_is]


def picture(dtype: type, shape: tuple[int, ...] = (40, 50)) -> np.ndarray:
    values = np.random.default_rng(0).random(shape) * 200
    return values.astype(dtype)


class Restorer:
    """Brightens by 0.1; how it may be tiled is told by attributes."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def __call__(self, x: Tensor) -> Tensor:
        return x + 0.1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalize", NORMALIZERS)
@pytest.mark.parametrize("axes", ["YX", "YXS", "ZYX", "TCYX"])
def test_the_identity_gives_the_bytes_back(dtype: type, normalize: object, axes: str) -> None:
    """Every dtype, every normalisation, every arrangement of planes."""
    shape = {"YX": (40, 50), "YXS": (40, 50, 3), "ZYX": (4, 40, 50), "TCYX": (2, 2, 40, 50)}[axes]
    image = Image(picture(dtype, shape), axes, (0.0, 255.0))
    restored = restore_image(image, lambda x: x, tile_size=32, overlap=4, normalize=normalize)  # type: ignore[arg-type]
    assert restored.pixels.dtype == dtype
    assert restored.pixels.tobytes() == image.pixels.tobytes()


def test_a_change_is_scaled_back_into_the_image_range() -> None:
    image = Image(np.full((20, 20), 100, np.uint16) + np.eye(20, dtype=np.uint16), "YX", (0.0, 1000.0))
    restored = restore_image(image, lambda x: x + 0.05)
    np.testing.assert_array_equal(restored.pixels, image.pixels + 50)


def test_integers_end_at_the_range_and_are_counted() -> None:
    image = Image(picture(np.uint8), "YX", (0.0, 255.0))
    restored = restore_image(image, lambda x: x + 0.601)
    assert restored.pixels.max() == 255
    counted = int(((restored.pixels == 255) & (image.pixels != 255)).sum())
    share = f"{100 * counted / image.pixels.size:.2g} %"
    assert f"{counted:,} values newly cut at 0 or 255, {share}" in restored.notes


def test_values_that_were_at_the_end_before_are_not_counted() -> None:
    """Half of the image is saturated already; of the other half nothing is cut, or one value in 10,001 is."""
    pixels = np.full((2, 10_001), 200, np.uint8)
    pixels[0] = 255
    assert restore_image(Image(pixels, "YX", (0.0, 255.0)), lambda x: x + 0.1).notes == ()
    pixels[1, 7] = 254
    assert restore_image(Image(pixels, "YX", (0.0, 255.0)), lambda x: x + 0.1).notes == (
        "1 value newly cut at 0 or 255, less than 0.01 %",
    )


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_constant_plane_stays_as_it_is(value: int) -> None:
    """There is nothing to restore, and nothing to normalise by."""
    image = Image(np.full((30, 30), value, np.uint8), "YX", (0.0, 255.0))
    assert (restore_image(image, Restorer(), normalize=by_percentiles).pixels == value).all()


def test_percentiles_are_those_of_the_whole_image_not_of_a_tile() -> None:
    """A restorer that returns half of what it gets halves around one black point, whatever the tiles."""
    pixels = np.linspace(0, 1000, 128 * 128).reshape(128, 128).astype(np.float32)
    image = Image(pixels, "YX", (0.0, 1000.0))
    tiled, whole = (restore_image(image, lambda x: x / 2, tile_size=n, normalize=by_percentiles) for n in (32, 0))
    np.testing.assert_allclose(tiled.pixels, whole.pixels, rtol=1e-5)


def test_planes_that_are_not_asked_for_stay() -> None:
    image = Image(picture(np.uint8, (3, 40, 50)), "CYX", (0.0, 255.0))
    restored = restore_image(image, Restorer(), planes={1})
    changed = [bool((restored.pixels[c] != image.pixels[c]).any()) for c in range(3)]
    assert changed == [False, True, False]


def test_a_gray_restorer_takes_colours_one_by_one() -> None:
    """Each becomes what it would become as a gray image."""

    class Mirror(Restorer):
        def __call__(self, x: Tensor) -> Tensor:
            assert x.shape[1] == 1
            return x.flip(-1)

    image = Image(picture(np.uint8, (40, 50, 3)), "YXS", (0.0, 255.0))
    restored = restore_image(image, Mirror(channels=1))
    np.testing.assert_array_equal(restored.pixels, image.pixels[:, ::-1])
    assert any("each colour" in note for note in restored.notes)


def test_planes_that_stay_may_hold_nan() -> None:
    pixels = picture(np.float32, (3, 40, 50))
    pixels[0, 5, 6] = np.nan
    restored = restore_image(Image(pixels, "CYX", (0.0, 255.0)), Restorer(), planes={1})
    assert restored.pixels[0].tobytes() == pixels[0].tobytes() and (restored.pixels[1] > pixels[1]).all()


@pytest.mark.parametrize("value", [0, 7])
def test_colours_without_signal_stay_where_each_is_restored_on_its_own(value: int) -> None:
    """Fluorescence kept as RGB has two of them; the third becomes what it becomes alone."""
    pixels = np.full((40, 50, 3), value, np.uint8)
    pixels[..., 1] = picture(np.uint8)
    restored = restore_image(Image(pixels, "YXS", (0.0, 255.0)), Restorer(channels=1)).pixels
    assert (restored[..., [0, 2]] == value).all()
    alone = restore_image(Image(pixels[..., 1], "YX", (0.0, 255.0)), Restorer(channels=1)).pixels
    np.testing.assert_array_equal(restored[..., 1], alone)


def test_a_colour_restorer_takes_gray_only_when_told() -> None:
    image = Image(picture(np.uint8), "YX", (0.0, 255.0))
    with pytest.raises(ChannelMismatch, match="replicate"):
        restore_image(image, Restorer(channels=3))
    restored = restore_image(image, Restorer(channels=3), replicate=True)
    np.testing.assert_allclose(restored.pixels, restore_image(image, Restorer()).pixels, atol=1)  # 25.5 is a tie


def test_a_gray_image_becomes_the_mean_of_what_a_colour_restorer_makes_of_it() -> None:
    class Tint(Restorer):
        def __call__(self, x: Tensor) -> Tensor:
            assert all(torch.equal(x[:, 0], x[:, i]) for i in (1, 2))
            return x + torch.tensor([0.1, 0.2, 0.6])[:, None, None]

    image = Image(picture(np.float32), "YX", (0.0, 255.0))
    restored = restore_image(image, Tint(channels=3), replicate=True)
    np.testing.assert_allclose(restored.pixels, image.pixels + 0.3 * 255, rtol=1e-5)


@pytest.mark.parametrize(("is_local", "largest_step"), [(False, 1 / 16), (True, 1.0)])
def test_tiles_of_a_restorer_that_is_not_local_fade_into_each_other(is_local: bool, largest_step: float) -> None:
    """Every tile gets brighter by one step than the last; half the context, on both sides, is where they fade."""

    class Steps:
        halo, calls = 16, 0

        def __init__(self) -> None:
            self.is_local = is_local

        def __call__(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x + self.calls

    image = Image(np.tile(np.linspace(0, 1e-3, 200, dtype=np.float32), (20, 1)), "YX", (0.0, 1.0))
    restored = restore_image(image, Steps(), tile_size=64)
    steps = np.diff((restored.pixels - image.pixels)[0])
    assert restored.pixels.max() > 5
    assert steps.max() == pytest.approx(largest_step, abs=1e-5)


def test_two_runs_are_bitwise_equal_and_the_input_is_untouched() -> None:
    image = Image(picture(np.float32), "YX", (0.0, 200.0))
    before = image.pixels.copy()
    a, b = (restore_image(image, Restorer(halo=8), tile_size=24).pixels for _ in range(2))
    assert a.tobytes() == b.tobytes()
    np.testing.assert_array_equal(image.pixels, before)


def test_progress_rises_to_one() -> None:
    shares: list[float] = []
    restore_image(Image(picture(np.uint8), "YX", (0.0, 255.0)), Restorer(), tile_size=16, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 10


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory: 1 TB")]
)
def test_running_out_of_memory_is_one_clear_error(error: Exception) -> None:
    def greedy(x: Tensor) -> Tensor:
        raise error

    with pytest.raises(OutOfMemory, match=r"40 x 50 px.*--tile"):
        restore_image(Image(picture(np.uint8), "YX", (0.0, 255.0)), greedy)


def test_other_errors_of_a_restorer_pass_unchanged() -> None:
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        restore_image(Image(picture(np.uint8), "YX", (0.0, 255.0)), broken)


def test_a_restorer_must_keep_the_shape() -> None:
    with pytest.raises(ValueError, match="the same shape"):
        restore_image(Image(picture(np.uint8), "YX", (0.0, 255.0)), lambda x: x[..., :10])


def test_pixels_that_cannot_be_restored_are_refused() -> None:
    pixels = picture(np.float64)
    pixels[3, 4] = np.nan
    with pytest.raises(NonFiniteInput, match=r"1 .* Y 3, X 4"):
        restore_image(Image(pixels), Restorer())
    pixels[3, 4] = 1e300
    with pytest.raises(InputOutOfRange):
        restore_image(Image(pixels), Restorer())


@pytest.mark.parametrize("mode", ["inpaint", "mask"])
def test_filled_pixels_are_marked_again_and_do_not_spread(mode: str) -> None:
    """Elsewhere the result is finite, and far away it is that of the image without the hole."""
    pixels = picture(np.float32)
    holed = pixels.copy()
    holed[10:12, 20] = [np.nan, np.inf]
    image = Image(holed, "YX", (5.0, 200.0))
    filled, bad = fill(image, mode)
    restored = mark(restore_image(filled, Restorer(), normalize=by_range), image, bad, mode)
    assert np.isfinite(restored.pixels[~bad]).all()
    whole = restore_image(Image(pixels, "YX", (5.0, 200.0)), Restorer(), normalize=by_range)
    np.testing.assert_array_equal(restored.pixels[~bad], whole.pixels[~bad])
    expected = holed[bad] if mode == "inpaint" else np.full(2, 5.0)
    np.testing.assert_array_equal(restored.pixels[bad], expected)


def test_holes_are_filled_with_the_nearest_finite_value_of_their_channel() -> None:
    """Compared with a search over all pixels; a plane without any finite value becomes 0."""
    rng = np.random.default_rng(0)
    pixels = rng.random((2, 12, 14, 3)).astype(np.float32)
    pixels[0][rng.random((12, 14, 3)) < 0.3] = np.nan
    pixels[1, ..., 2] = np.inf
    filled, bad = fill(Image(pixels, "ZYXS"), "inpaint")
    np.testing.assert_array_equal(bad, ~np.isfinite(pixels))
    np.testing.assert_array_equal(filled.pixels[~bad], pixels[~bad])
    assert (filled.pixels[1, ..., 2] == 0).all()
    for row, column, c in np.argwhere(bad[0]):
        rows, columns = np.nonzero(~bad[0, ..., c])
        squares = (rows - row) ** 2 + (columns - column) ** 2
        nearest = squares == squares.min()
        assert filled.pixels[0, row, column, c] in pixels[0, rows[nearest], columns[nearest], c]
