"""The sample of a slide: spread evenly, half of it where tissue may be, always the same."""

from __future__ import annotations

import numpy as np
import pytest

from array_slide import ArraySlide
from dgno.arrays import Image
from dgno.restoration.image import by_extremes, by_percentiles
from dgno.restoration.slide_candidates import EVERYWHERE, Candidates, find_candidates
from dgno.restoration.slide_sample import SIDE, as_image, sample_plane, windows_of


def numbered(down: int, along: int) -> np.ndarray:
    """Windows that hold their own number."""
    numbers = np.arange(1, 1 + down * along, dtype=np.uint16).reshape(down, along)
    return np.kron(numbers, np.ones((SIDE, SIDE), np.uint16))


def test_half_of_the_windows_lie_where_tissue_may_be() -> None:
    pixels = numbered(20, 15)
    near = Candidates(np.arange(20 * 15).reshape(20, 15) < 45, (SIDE, SIDE))  # the first three rows
    found = [int(w[0, 0, 0]) for w in sample_plane(ArraySlide(pixels), 0, near, windows=40)]
    assert len(set(found)) == len(found) == 40
    inside, outside = [n for n in found if n <= 45], [n for n in found if n > 45]
    assert (len(inside), len(outside)) == (20, 20)
    for part, first, last in ((inside, 1, 45), (outside, 46, 300)):
        counts, _ = np.histogram(part, 4, (first, last))
        assert counts.min() >= 3
        assert counts.max() <= 7
    assert found == [int(w[0, 0, 0]) for w in sample_plane(ArraySlide(pixels), 0, near, windows=40)]


def test_what_was_never_scanned_is_no_part_of_it() -> None:
    pixels = numbered(12, 12)
    pixels[: 11 * SIDE] = 0
    found = sample_plane(ArraySlide(pixels), 0, EVERYWHERE, windows=40)
    assert {int(w.min()) for w in found} <= set(range(133, 145))
    assert len(found) >= 6
    nothing = sample_plane(ArraySlide(np.zeros_like(pixels)), 0, EVERYWHERE, windows=40)
    assert [w.shape for w in nothing] == [(SIDE, SIDE, 1)]


def test_small_slides_are_taken_whole_and_scales_are_those_of_the_image() -> None:
    pixels = np.random.default_rng(0).gamma(2, 300, (3, 300, 407)).astype(np.uint16)
    slide = ArraySlide(pixels, "Z")
    assert windows_of(slide, 3) == 0
    sample = as_image([w for i in range(3) for w in sample_plane(slide, i, EVERYWHERE, windows=0)], slide)
    image = Image(pixels, "ZYX", slide.facts.value_range)
    for normalize in (by_percentiles, by_extremes):
        assert normalize(sample, 0) == normalize(image, 0)


@pytest.mark.parametrize("shape", [(3000, 5), (100, 60000), (7, 700000)])
def test_narrow_slides_have_samples_too(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    slide = ArraySlide(pixels)
    found = sample_plane(slide, 0, EVERYWHERE, windows=windows_of(slide, 1) or 8)
    assert as_image(found, slide).pixels.size > 0


def test_candidates_are_around_what_differs_from_the_ground() -> None:
    """A dim disk on noise is there, and most of the ground is not."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:2400, :3200]
    dim = 150 * (np.hypot(y - 700, x - 2000) < 60)
    bright = 3000 * (np.hypot(y - 1800, x - 500) < 60)
    pixels = (200 + dim + bright + rng.normal(0, 5, y.shape)).astype(np.uint16)
    found = find_candidates(ArraySlide(pixels, levels=3), 0)
    squares = found.squares((0, 2400), (0, 3200))
    assert squares.shape == (300, 400)
    assert squares[80:95, 243:257].all()
    assert squares[218:232, 56:70].all()
    assert squares.mean() < 0.3
