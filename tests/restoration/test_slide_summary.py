"""Numbers and maps of a whole slide, summed up block by block."""

from __future__ import annotations

import numpy as np
import pytest

from array_slide import ArraySlide
from blur_readers import LevelReader, coded, types_in_blocks
from dgno.arrays import Image
from dgno.restoration.assessment import BACKGROUND, assess_image, worst_of
from dgno.restoration.image import by_range
from dgno.restoration.slide_look import survey_slide
from dgno.restoration.slide_summary import summarise

KINDS = types_in_blocks(60, 44)
KINDS[50:] = 0


@pytest.mark.parametrize("cut", [0, 5])
def test_the_numbers_are_those_of_the_image(cut: int) -> None:
    """Over many blocks, and with some glass; to the rounding of what is kept."""
    pixels = coded(KINDS, samples=3).pixels[: 480 - cut, : 352 - cut].copy()
    pixels[:60, :200] = 250
    image = assess_image(Image(pixels, "YXS", (0, 255)), LevelReader(), normalize=by_range)[0]
    survey = survey_slide(ArraySlide(pixels), LevelReader(), tile_size=256, normalize=by_range)
    found = summarise([survey.planes[0]], is_bright=survey.is_bright)
    assert 0 < image.tissue.sum() < image.types.size
    assert (found.squares, found.tissue) == (image.types.size, image.tissue.sum())
    assert found.shares == pytest.approx(image.shares)
    assert found.type == image.type
    assert found.confidence == pytest.approx(image.confidence, abs=0.003)
    assert found.median_strength == pytest.approx(image.median_strength, rel=1e-3)
    assert found.median_sigma == pytest.approx(2.0)
    for least in (0, 2.5, 5.0):
        expected = (image.blurred & (image.strength >= least)).sum() / image.tissue.sum()
        assert found.blurred(least) == pytest.approx(expected)
    assert found.times == 4
    assert found.map.types.shape == (15, 11)
    assert (found.map.types[8:12, :5] == 2).all()
    np.testing.assert_allclose(found.map.strength[8:12, :5], np.sqrt((13**2 - 1) / 12), rtol=1e-3)
    assert (found.map.types[:1, :5] == BACKGROUND).all()


def test_of_channels_the_worst_counts() -> None:
    planes = np.stack([coded(KINDS, seed=i).pixels for i in range(2)])
    planes[0, :, :100] = coded(np.zeros_like(KINDS)).pixels[:, :100]
    survey = survey_slide(ArraySlide(planes, "C"), LevelReader(), tile_size=256, normalize=by_range)
    image = assess_image(Image(planes, "CYX", (0, 255)), LevelReader(), normalize=by_range)
    worst = worst_of([image[0], image[1]])
    found = summarise(list(survey.planes.values()), is_bright=False)
    assert found.shares == pytest.approx(worst.shares, abs=2e-3)
    assert found.median_strength == pytest.approx(worst.median_strength, rel=1e-3)


def test_without_tissue_all_is_zero() -> None:
    survey = survey_slide(ArraySlide(np.full((300, 300), 9, np.uint8)), LevelReader())
    found = summarise([survey.planes[0]], is_bright=survey.is_bright)
    assert (found.tissue, found.confidence, found.median_strength, found.blurred()) == (0, 0.0, 0.0, 0.0)
    assert found.type == "in focus"


def test_dirt_on_the_glass_is_no_tissue_but_cells_are() -> None:
    """Small pieces beside a large one are left out; on a slide of small pieces alone, and in the dark, they count."""
    glass = 240 + np.random.default_rng(0).integers(0, 5, (640, 640, 3), dtype=np.uint8)
    piece = coded(np.full((40, 40), 1), samples=3).pixels
    dirty, cells = glass.copy(), glass.copy()
    dirty[:320, :320] = piece
    dirty[330:362, 330:362] = piece[:32, :32]  # hangs together with the large one
    dirty[560:592, 100:132] = cells[560:592, 100:132] = piece[:32, :32]
    found = []
    for pixels in (dirty, cells):
        survey = survey_slide(ArraySlide(pixels), LevelReader(), tile_size=512, normalize=by_range)
        plane = survey.planes[0]
        tissue = int(plane.tissue_in((0, 80), (0, 80)).sum())
        found += [(tissue, summarise([plane], is_bright=True).tissue, summarise([plane], is_bright=False).tissue)]
    (all_dirty, bright_dirty, dark_dirty), (all_cells, bright_cells, dark_cells) = found
    assert bright_dirty == all_dirty - all_cells
    assert dark_dirty == all_dirty
    assert bright_cells == dark_cells == all_cells > 0
