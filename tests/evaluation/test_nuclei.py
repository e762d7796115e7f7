"""Drawn and real nuclei are found, and nothing where nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dgno.evaluation.average_precision import match_instances
from dgno.evaluation.bench.standins import draw_nuclei
from dgno.evaluation.nuclei import segment_nuclei
from dgno.io.image import read_image


@pytest.mark.parametrize("bright", [True, False])
def test_discs_apart_are_found_one_by_one(bright: bool) -> None:
    y, x = np.mgrid[:80, :80]
    truth = np.zeros((80, 80), np.int64)
    for label, (row, column) in enumerate([(15, 15), (15, 55), (40, 35), (62, 20), (60, 60)], start=1):
        truth[(y - row) ** 2 + (x - column) ** 2 <= 64] = label
    image = 0.1 + 0.7 * (truth > 0)
    found = segment_nuclei(image if bright else 1 - image, bright=bright)
    assert match_instances(found, truth, 0.9).average_precision == 1.0


def test_two_that_touch_are_parted() -> None:
    y, x = np.mgrid[:40, :60]
    left, right = ((y - 20) ** 2 + (x - column) ** 2 <= 81 for column in (21, 38))
    found = segment_nuclei(1.0 * (left | right))
    assert match_instances(found, np.where(left, 1, np.where(right, 2, 0)), 0.7).true_positives == 2


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_a_flat_image_has_none(value: float) -> None:
    assert not segment_nuclei(np.full((20, 30), value)).any()


def test_drawn_nuclei_are_mostly_found() -> None:
    scores = []
    for seed in range(6):
        scene, labels = draw_nuclei((96, 128), 8, np.random.default_rng(seed))
        scores.append(match_instances(segment_nuclei(scene), labels, 0.5).average_precision)
    assert np.mean(scores) > 0.6


def test_real_nuclei_are_mostly_found(shared_data: Path) -> None:
    """Images of DSB 2018 with their labels."""
    folder = shared_data / "test" / "dsb_fluorescence"
    scores = []
    for path in sorted((folder / "images").iterdir())[:8]:
        image = next(read_image(path).planes()).astype(np.float64).mean(-1)
        truth = next(read_image(folder / "labels" / path.name).planes())[..., 0].astype(np.int64)
        scores.append(match_instances(segment_nuclei(image), truth, 0.5).average_precision)
    assert np.mean(scores) > 0.6
