"""Detectors by name: what they see, and in what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dgno.evaluation.downstream.average_precision import match_instances
from dgno.evaluation.downstream.detectors import DETECTORS, bright_nuclei, by_percentiles, stained_nuclei
from dgno.evaluation.downstream.matching import match_boxes, match_points
from dgno.io.image import read_image


def discs(bright: bool, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright ones on a dark ground, or blue and red ones on a bright ground, of which hematoxylin's are the blue."""
    rows, columns = np.indices((80, 80))
    labels = np.zeros((80, 80), np.int64)
    picture = np.full((80, 80, 3), 0.1 if bright else 0.9)
    for label, (row, column) in enumerate([(18, 18), (18, 58), (58, 18)], start=1):
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= 100] = label
    picture[labels > 0] = 0.8 if bright else (0.3, 0.25, 0.6)
    if not bright:
        picture[(rows - 58) ** 2 + (columns - 58) ** 2 <= 100] = (0.88, 0.4, 0.6)  # eosin
    return picture[..., :channels], labels


@pytest.mark.parametrize(("detect", "bright", "channels"), [
    (bright_nuclei, True, 1), (bright_nuclei, True, 3), (stained_nuclei, False, 3), (stained_nuclei, False, 1),
])  # fmt: skip
def test_nuclei_of_gray_and_colour(detect: object, bright: bool, channels: int) -> None:
    picture, labels = discs(bright, channels)
    assert callable(detect)
    assert match_instances(detect(picture), labels, 0.9).average_precision == 1


def test_those_of_the_package_need_nothing_else() -> None:
    for name in ("nuclei", "stained-nuclei"):
        detect = DETECTORS[name]()
        assert not detect(np.full((30, 40, 3), 0.5)).any()


def test_a_plug_in_is_any_function() -> None:
    """Points and boxes of a detector of one's own, and what it recalls."""
    picture, labels = discs(bright=True, channels=1)
    centres = np.array([np.argwhere(labels == i).mean(0) for i in (1, 2, 3)])

    def brightest(image: np.ndarray) -> np.ndarray:
        return np.argwhere(image[..., 0] == image.max())[:1].astype(np.float64)

    assert match_points(brightest(picture), centres, 12.0).recall == pytest.approx(1 / 3)
    boxes = np.concatenate([centres - 10, centres + 11], axis=1)
    assert match_boxes(boxes[1:], boxes).recall == pytest.approx(2 / 3)


def test_percentiles_become_zero_and_one() -> None:
    """By channel, and nothing is clipped."""
    rng = np.random.default_rng(0)
    picture = rng.random((60, 70, 3)) * (1.0, 0.2, 0.0) + (0.0, 0.5, 0.3)
    found = by_percentiles(picture)
    np.testing.assert_allclose(np.percentile(found[..., :2], (1, 99.8), axis=(0, 1)), [[0, 0], [1, 1]], atol=1e-12)
    assert found.min() < 0
    assert found[..., :2].max() > 1
    assert not found[..., 2].any()


def test_stained_nuclei_of_real_sections_are_found_in_part(shared_data: Path) -> None:
    """H&E of DSB 2018: a weak detector, which misses more than half; far better than what finds bright ones."""
    folder = shared_data / "test" / "dsb_he"
    scores: dict[str, list[float]] = {"stained": [], "bright": []}
    for path in sorted((folder / "images").iterdir())[2:8]:
        picture = next(read_image(path).planes()) / 255.0
        truth = next(read_image(folder / "labels" / path.name).planes())[..., 0].astype(np.int64)
        for name, detect in (("stained", stained_nuclei), ("bright", bright_nuclei)):
            scores[name].append(match_instances(detect(picture), truth, 0.5).average_precision)
    assert np.mean(scores["stained"]) > 0.25
    assert np.mean(scores["bright"]) < 0.1
