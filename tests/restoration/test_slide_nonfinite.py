"""NaN and infinite pixels of slides that are not restored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from array_slide import ArraySlide
from dgno.errors import NonFiniteInput
from dgno.restoration.journal import Journal
from dgno.restoration.slide import RestoredSlide, SlideWork
from dgno.restoration.slide_plan import plan_blocks
from dgno.restoration.tiling import Span

WHOLE = (Span(0, 60), Span(0, 70))


def test_an_unrestored_plane_may_hold_numbers_that_are_none(tmp_path: Path) -> None:
    """It stays as it is, as in images; a plane to restore may not, wherever its tiles need no work."""
    pixels = np.random.default_rng(0).random((2, 60, 70)).astype(np.float32)
    pixels[1, 5, 5] = np.nan
    slide = ArraySlide(pixels, "C", value_range=(0.0, 1.0))
    with Journal(tmp_path / "work", {}) as journal:
        for mode in ("refuse", "mask"):
            first, both = (
                SlideWork(plan_blocks(slide.facts.shape, planes, tile_size=0, overlap=0), [], nonfinite=mode)
                for planes in ((0,), (0, 1))
            )
            found = RestoredSlide(slide, first, journal).read(*WHOLE, 1)
            np.testing.assert_array_equal(found[..., 0], pixels[1])
            if mode == "mask":
                found = RestoredSlide(slide, both, journal).read(*WHOLE, 1)
                np.testing.assert_array_equal(found[..., 0], np.nan_to_num(pixels[1], nan=0.0))
            else:
                with pytest.raises(NonFiniteInput):
                    RestoredSlide(slide, both, journal).read(*WHOLE, 1)
