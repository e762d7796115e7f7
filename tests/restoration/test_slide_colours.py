"""Colours of a slide without any signal, where weights for gray images restore one colour after the other."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from array_slide import ArraySlide
from dgno.arrays import Affine
from dgno.restoration.image import EachColour, tiling_of
from dgno.restoration.slide import EVERYTHING, SlideWork, Treatment, read_block, restore_block
from dgno.restoration.slide_look import sample_slide
from dgno.restoration.slide_plan import plan_blocks

AFFINE = Affine(0.0, 255.0)


def brighter(x: Tensor) -> Tensor:
    return x + 0.1


def restored(pixels: np.ndarray, flat: dict[int, dict[int, float]], tile_size: int = 128) -> np.ndarray:
    """The first plane, block by block."""
    slide, restorer = ArraySlide(pixels), EachColour(brighter)
    plan = plan_blocks(slide.facts.shape, [0], **tiling_of(restorer, tile_size, None))
    work = SlideWork(plan, [Treatment(EVERYTHING, restorer, {0: AFFINE}, flat)])
    result = pixels.copy()
    for block in plan:
        rows, columns = block.tile.rows.write, block.tile.columns.write
        result[slice(*rows), slice(*columns)] = restore_block(slide, work, block, read_block(slide, block)).pixels
    return result


def green(shape: tuple[int, int] = (256, 300)) -> np.ndarray:
    """Signal in the second colour alone."""
    pixels = np.zeros((*shape, 3), np.uint8)
    pixels[..., 1] = np.random.default_rng(0).integers(0, 200, shape)
    return pixels


def test_colours_without_signal_stay() -> None:
    """The look at the slide finds them; the third becomes what it becomes anyway."""
    flat = sample_slide(ArraySlide(green())).flat
    assert flat == {0: {0: 0.0, 2: 0.0}}
    result = restored(green(), flat)
    assert not result[..., [0, 2]].any()
    np.testing.assert_array_equal(result[..., 1], restored(green(), {})[..., 1])
    assert (restored(green(), {})[..., 0] > 0).all()


def test_a_block_with_signal_that_the_look_missed_is_restored() -> None:
    pixels = green()
    pixels[:20, :20, 2] = 9
    result = restored(pixels, {0: {0: 0.0, 2: 0.0}})
    assert (result[:20, :20, 2] > 9).all()
    assert not result[..., 0].any() and not result[128:, 128:, 2].any()
