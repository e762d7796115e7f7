"""Points and boxes matched one to one, against trying all matchings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dgno.errors import ConfigError
from dgno.evaluation.downstream.matching import Matches, match_boxes, match_points


def most(allowed: np.ndarray) -> int:
    """The most pairs of a one-to-one matching among the allowed ones, by trying all."""
    allowed = allowed if allowed.shape[0] <= allowed.shape[1] else allowed.T
    choices = itertools.permutations(range(allowed.shape[1]), allowed.shape[0])
    return max(int(sum(allowed[i, j] for i, j in enumerate(choice))) for choice in choices)


@pytest.mark.parametrize("radius", [1.0, 2.5, 6.0, 40.0])
@pytest.mark.parametrize("seed", range(6))
def test_as_many_points_match_as_can(seed: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    found, truth = rng.uniform(0, 12, (6, 2)), rng.uniform(0, 12, (5, 2))
    matches = match_points(found, truth, radius)
    right = most(np.hypot(*(found[:, None] - truth).transpose(2, 0, 1)) <= radius)
    assert matches == Matches(right, 6 - right, 5 - right)


@pytest.mark.parametrize("overlap", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_as_many_boxes_match_as_can(seed: int, overlap: float) -> None:
    """Intersections counted on pixels."""
    rng = np.random.default_rng(seed)
    truth = np.sort(rng.integers(0, 20, (5, 2, 2)), axis=1).reshape(5, 4)
    found = np.concatenate([truth[:3] + rng.integers(-1, 2, (3, 4)), rng.integers(0, 20, (2, 4))])
    pixels = np.indices((24, 24)) - 2
    masks = [
        [((pixels >= box[:2, None, None]) & (pixels < box[2:, None, None])).all(0) for box in boxes]
        for boxes in (found, truth)
    ]
    allowed = np.array([[(a & b).sum() / max((a | b).sum(), 1) >= overlap for b in masks[1]] for a in masks[0]])
    matches = match_boxes(found.astype(np.float64), truth.astype(np.float64), overlap)
    assert matches.true_positives == most(allowed)


def test_a_point_at_the_radius_is_within_it() -> None:
    here, there = np.zeros((1, 2)), np.array([[0.0, 3.0]])
    assert match_points(here, there, 3.0).recall == 1
    assert match_points(here, there, 2.999).recall == 0


def test_shares_of_hand_counted_matches() -> None:
    matches = Matches(6, 2, 4)
    assert (matches.recall, matches.f1, matches.average_precision) == (0.6, pytest.approx(2 / 3), 0.5)
    nothing, missed, invented = Matches(0, 0, 0), Matches(0, 0, 3), Matches(0, 3, 0)
    for name, values in {"recall": (1, 0, 1), "f1": (1, 0, 0), "average_precision": (1, 0, 0)}.items():
        assert tuple(getattr(one, name) for one in (nothing, missed, invented)) == values


def test_no_points_and_no_boxes() -> None:
    none, some = np.zeros((0, 2)), np.ones((3, 2))
    assert match_points(none, some, 1.0) == Matches(0, 0, 3)
    assert match_points(some, none, 1.0) == Matches(0, 3, 0)
    assert match_boxes(np.zeros((0, 4)), np.zeros((0, 4))) == Matches(0, 0, 0)
    assert match_boxes(np.zeros((1, 4)), np.zeros((1, 4))) == Matches(0, 1, 1), "empty boxes are nowhere"


def test_limits_that_mean_nothing_are_refused() -> None:
    for radius in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="radius"):
            match_points(np.zeros((1, 2)), np.zeros((1, 2)), radius)
    for overlap in (0.0, 1.5):
        with pytest.raises(ConfigError, match="overlap"):
            match_boxes(np.zeros((1, 4)), np.zeros((1, 4)), overlap)
