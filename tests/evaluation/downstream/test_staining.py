"""Drawn sections of H-DAB are read as they were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.downstream.matching import match_points
from dgno.evaluation.downstream.staining import dice, read_staining
from dgno.evaluation.downstream.stains import hematoxylin_and_dab
from dgno.evaluation.downstream.tasks import Immunostaining

# Optical densities of Ruifrok and Johnston 2001, red, green, blue
HEMATOXYLIN, DAB = np.array([0.650, 0.704, 0.286]), np.array([0.268, 0.570, 0.776])
PIXEL = 0.5  # um


def section(dense: list[bool], blur: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """RGB of nuclei of 3.5 um radius on a grid, brown where `dense`; and their centres."""
    centres = np.array([(24 + 40 * i, 24 + 40 * j) for i in range(3) for j in range(4)], np.float64)[: len(dense)]
    rows, columns = np.indices((128, 168))
    density = np.zeros((128, 168, 3))
    for (row, column), brown in zip(centres, dense, strict=True):
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= 49
        density += inside[..., None] * (0.5 * HEMATOXYLIN + 0.6 * brown * DAB)
    return 10 ** -gaussian_filter(density, (blur, blur, 0)), centres


def test_densities_are_those_that_were_mixed() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.uniform(0, 0.9, (2, 9, 11))
    found = hematoxylin_and_dab(10 ** -(wanted[0][..., None] * HEMATOXYLIN + wanted[1][..., None] * DAB))
    norms = np.linalg.norm(HEMATOXYLIN), np.linalg.norm(DAB)
    assert norms == pytest.approx((1, 1), abs=0.003)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("positive", [0, 1, 5, 12])
def test_the_positive_rate_is_that_of_the_drawing(positive: int) -> None:
    picture, centres = section([i < positive for i in range(12)])
    found = read_staining(picture, PIXEL)
    assert match_points(found.nuclei, centres, 1.5).f1 == 1
    assert found.positive_rate == positive / 12
    assert found.region.sum() == pytest.approx(positive * np.pi * 49, rel=0.25)


def test_a_clear_section_has_no_rate() -> None:
    found = read_staining(np.full((40, 50, 3), 0.97), PIXEL)
    assert (len(found.nuclei), found.positive_rate, found.region.any()) == (0, None, False)


def test_black_is_dense_and_not_infinite() -> None:
    found = hematoxylin_and_dab(np.zeros((4, 4, 3)))
    assert all(np.isfinite(density).all() and density.max() < 4 for density in found)
    with pytest.raises(ConfigError, match="RGB"):
        read_staining(np.zeros((4, 4, 1)), PIXEL)
    with pytest.raises(ConfigError, match="pixel_size"):
        read_staining(np.zeros((4, 4, 3)), 0.0)


def test_a_restored_section_is_compared_with_the_sharp_one() -> None:
    """Blur that takes stain away from nuclei lowers the rate, F1 and Dice; the sharp one is perfect."""
    sharp, _ = section([i % 2 == 0 for i in range(12)])
    blurred, _ = section([i % 2 == 0 for i in range(12)], blur=9.0)
    record = Record("a", None, Path("a.png"), "a")
    task = Immunostaining(PIXEL)
    assert task(sharp, sharp, record).values == {"f1": 1, "dice": 1, "positive-rate": 0.5, "rate-error": 0}
    found = task(blurred, sharp, record).values
    assert found["dice"] is not None
    assert found["dice"] < 0.5
    assert found["rate-error"] == abs((found["positive-rate"] or 0) - 0.5)
    lost = task(np.ones_like(sharp), sharp, record).values
    assert lost == {"f1": 0, "dice": 0, "positive-rate": None, "rate-error": None}


def test_dice_of_hand_counted_regions() -> None:
    one, other = np.array([True, True, False, False]), np.array([False, True, True, True])
    assert dice(one, other) == pytest.approx(2 / 5)
    assert dice(one, one) == 1
    assert dice(~one & one, other & ~other) == 1


def test_a_real_section_is_robust_to_little_blur() -> None:
    """scikit-image's section of colon, 512 px, brown glands: F1 falls with the blur, from 1."""
    sharp = data.immunohistochemistry()[:256, :256] / 255.0
    task, record = Immunostaining(PIXEL), Record("a", None, Path("a.png"), "a")
    scores = [task(gaussian_filter(sharp, (s, s, 0)), sharp, record).values["f1"] or 0.0 for s in (0.0, 0.8, 3.0, 8.0)]
    assert scores[0] == 1
    assert scores == sorted(scores, reverse=True)
    assert scores[1] > 0.8
