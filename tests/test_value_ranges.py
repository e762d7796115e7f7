"""White may be guessed; where values are cut is what the file states or the dtype holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

import dgno
from dgno.arrays import Image
from dgno.io.image import read_image, write_image
from dgno.io.open_slide import open_slide
from dgno.io.slide_output import ENDINGS, SlideKind
from dgno.io.slide_write import write_slide
from dgno.restoration.image import as_is, restore_image
from dgno.user_arrays import as_image
from dgno.value_ranges import float_below, guess_value_range


def nucleus(top: int, dtype: str = "uint16", *, times: int = 1) -> np.ndarray:
    """A spot on a dark ground whose largest value stands `times` times."""
    spot = 40 + (0.9 * top - 40) * np.exp(-((np.indices((64, 80)) - 30) ** 2).sum(0) / 200)
    spot = spot.astype(dtype)
    spot[30, 30 : 30 + times] = top
    return spot


def doubled(image: Image) -> Image:
    return restore_image(image, lambda x: 2 * x)


@pytest.mark.parametrize(
    ("pixels", "ends"),
    [
        (nucleus(1017), (0, 65535)),
        (nucleus(1023), (0, 65535)),  # one value may stand there by chance
        (nucleus(1023, times=2), (0, 1023)),  # a camera that ends there
        (nucleus(4095, times=9), (0, 4095)),
        (nucleus(1017, "int16"), (0, 32767)),  # light is not negative
        (nucleus(1017, "int16") - 300, (-32768, 32767)),
        (nucleus(70_000, "uint32"), (0, 2**32 - 1)),
        (nucleus(200, "uint8"), (0, 255)),
        (nucleus(65_535), (0, 65_535)),
    ],
)
def test_a_guess_does_not_say_where_values_end(pixels: np.ndarray, ends: tuple[int, int]) -> None:
    guess = guess_value_range(pixels)
    assert Image(pixels, "YX", guess.value_range, limits=guess.limits).ends == ends
    assert guess.value_range[1] <= ends[1]


@pytest.mark.parametrize("dtype", ["int64", "uint64", ">i8"])
@pytest.mark.parametrize("bits", [31, 32, 33, 40, 53, 62, 63, 64])
def test_long_integers_have_a_range(bits: int, dtype: str) -> None:
    """The range holds the values and is held by the dtype; what leaves it is cut, not wrapped round."""
    top = min(2**bits - 1, int(np.iinfo(dtype).max))
    pixels = nucleus(2**16 - 1).astype(dtype)
    pixels[:4] = top
    image = as_image(pixels)
    black, white = image.value_range
    assert black == 0 and white <= np.iinfo(dtype).max and top <= white * (1 + 2**-52)
    restored = doubled(image).pixels
    assert restored.dtype == dtype and restored.min() >= 0 and (restored[:4] >= 0.99 * top).all()


@pytest.mark.parametrize("top", [2**32, 2**64 - 1])
@pytest.mark.parametrize("verb", [dgno.restore, dgno.simulate, dgno.assess])
def test_long_integers_are_images(verb: Callable[[np.ndarray], object], top: int) -> None:
    verb(nucleus(2**16 - 1).astype(np.uint64) * np.uint64(top // (2**16 - 1)))


@pytest.mark.parametrize("whole", [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**63), -(2**63) - 1])
def test_a_float_below(whole: int) -> None:
    """None above the integer, and the next one is."""
    below = float_below(whole)
    assert int(below) <= whole < int(math.nextafter(below, math.inf)) + (abs(whole) < 2**53)


@pytest.mark.parametrize("suffix", ["tif", "ome.tif", "png"])
def test_peaks_rise_beyond_a_guessed_white(tmp_path: Path, suffix: str) -> None:
    """Written, too, they are what they became: the file does not state the guess, and stays what it is when read."""
    write_image(tmp_path / f"in.{suffix}", Image(nucleus(1017), "YX", limits=(0, 65535)))
    image = read_image(tmp_path / f"in.{suffix}")
    assert any("(10 bits) guessed from the data" in note for note in image.notes)
    restored = doubled(image)
    np.testing.assert_array_equal(restored.pixels, 2 * image.pixels)
    assert not any("cut" in note for note in restored.notes)
    write_image(tmp_path / f"out.{suffix}", restored)
    again = read_image(tmp_path / f"out.{suffix}")
    np.testing.assert_array_equal(again.pixels, restored.pixels)
    assert not any("which they do not" in note for note in again.notes)
    np.testing.assert_array_equal(doubled(again).pixels, 4 * image.pixels)


def test_one_bright_pixel_changes_nothing_elsewhere(tmp_path: Path) -> None:
    """One pixel of 1100 makes 12 bits of 10; the photometry of all others is the same."""
    pixels = []
    for name, hottest in (("a", 1017), ("b", 1100)):
        values = nucleus(1017)
        values[0, 0] = hottest
        tifffile.imwrite(tmp_path / f"{name}.tif", values)
        image = read_image(tmp_path / f"{name}.tif")
        pixels.append(restore_image(image, lambda x: 2 * x, normalize=as_is).pixels[1:])
    np.testing.assert_array_equal(*pixels)
    assert pixels[0].max() == 2 * 1017


def test_values_end_where_the_file_says(tmp_path: Path) -> None:
    extra = [(340, "H", 1, 0, False), (341, "H", 1, 4095, False)]
    tifffile.imwrite(tmp_path / "stated.tif", nucleus(3000), extratags=extra)
    image = read_image(tmp_path / "stated.tif")
    assert image.ends == image.value_range == (0, 4095)
    restored = doubled(image)
    assert restored.pixels.max() == 4095
    count = int((restored.pixels == 4095).sum())
    assert f"{count} values newly cut at 0 or 4095, {100 * count / restored.pixels.size:.2g} %" in restored.notes


def test_a_camera_at_its_end_stays_there(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "saturated.tif", nucleus(4095, times=20))
    assert doubled(read_image(tmp_path / "saturated.tif")).pixels.max() == 4095


@pytest.mark.parametrize("kind", ["tiff-pyramid", "ome-tiff", "ome-zarr"])
def test_slides_end_where_images_do(tmp_path: Path, kind: SlideKind) -> None:
    """Of a pyramid, too, the guess is no statement; an OME-Zarr keeps both."""
    source, target = tmp_path / "in.tif", tmp_path / f"out{ENDINGS[kind]}"
    tifffile.imwrite(source, nucleus(1017), tile=(16, 16))
    with open_slide(source) as slide:
        assert (slide.facts.value_range, slide.facts.ends) == ((0, 1023), (0, 65535))
        write_slide(target, slide.facts, lambda rows, columns, plane: slide.read(rows, columns), kind=kind)
    with open_slide(target) as again:
        assert (again.facts.value_range, again.facts.ends) == ((0, 1023), (0, 65535))
