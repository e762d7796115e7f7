"""Plug-in detectors: found by name, their answers looked at, and judged as points or as boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dgno.errors import ConfigError
from dgno.evaluation.downstream.plugin import checked, judge, load_plugin, middles

PICTURE = np.full((40, 50, 3), 0.5)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody else's."""
    text = "def two(image):\n    return [(1, 2), (image.shape[0] - 1, 4)]\n\nnumber = 3\n"
    (tmp_path / "their_detector.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return "their_detector"


def test_a_function_of_ones_own(module: str) -> None:
    assert load_plugin(f"{module}:two")(PICTURE).tolist() == [[1, 2], [39, 4]]


@pytest.mark.parametrize(
    "name", ["nucleus", "their_detector:three", "their_detector:number", "no.such:two", ":two", "a:"]
)
def test_what_is_no_detector_is_refused(name: str, module: str) -> None:
    with pytest.raises(ConfigError, match=r"known: .*stained-nuclei.*module:function"):
        load_plugin(name)


def test_a_detector_of_labels_gives_boxes() -> None:
    picture = np.full((60, 60, 3), 0.9)
    picture[10:20, 30:44] = 0.2
    (box,) = load_plugin("stained-nuclei")(picture)
    assert np.abs(box - (10, 30, 20, 44)).max() <= 1
    assert load_plugin("stained-nuclei")(PICTURE).shape == (0, 4)


@pytest.mark.parametrize(
    "answer", [[1, 2], [[1, 2, 3]], [[1, float("nan")]], [[[1, 2]]]], ids=["flat", "three", "nan", "deep"]
)
def test_strange_answers_are_refused(answer: object) -> None:
    with pytest.raises(ConfigError, match="detector mine gives no points nor boxes"):
        checked(lambda picture: answer, "mine")(PICTURE)


@pytest.mark.parametrize(("answer", "sides"), [([], 2), (np.zeros((0, 4)), 4), (np.zeros((0, 2)), 2)])
def test_nothing_found_is_an_answer(answer: object, sides: int) -> None:
    assert checked(lambda picture: answer, "mine")(PICTURE).shape == (0, sides)


def test_boxes_by_overlap_and_points_by_distance() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    moved = boxes + np.array([6.0, 0, 6, 0])  # overlap 4 / 16
    assert judge(boxes, boxes, radius=1.0).recall == 1
    assert judge(moved, boxes, radius=9.0).recall == 0
    assert judge(moved, middles(boxes), radius=6.1).recall == 1
    assert judge(middles(moved), boxes, radius=5.9).recall == 0


def test_the_middle_of_a_box_is_a_pixel() -> None:
    """A box of the pixels 4 to 6 and 10 to 10."""
    assert middles(np.array([[4.0, 10, 7, 11]])).tolist() == [[5, 10]]
