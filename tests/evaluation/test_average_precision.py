"""Average precision against matchings that are found by trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dgno.evaluation.average_precision import (
    THRESHOLDS,
    Matches,
    average_precisions,
    intersection_over_union,
    match_instances,
)


def best_matching(overlap: np.ndarray, threshold: float) -> int:
    """The most pairs of a one-to-one matching above the threshold, by trying all."""
    rows, columns = overlap.shape
    if rows > columns:
        overlap, rows, columns = overlap.T, columns, rows
    choices = itertools.permutations(range(columns), rows)
    return max((sum(overlap[i, j] >= threshold for i, j in enumerate(choice)) for choice in choices), default=0)


def scattered(seed: int, count: int) -> np.ndarray:
    """Squares at random, later ones over earlier ones, with labels that leave gaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((30, 34), np.int64)
    for label in range(1, count + 1):
        y, x, side = rng.integers(0, 26), rng.integers(0, 30), rng.integers(4, 9)
        labels[y : y + side, x : x + side] = 3 * label
    return labels


@pytest.mark.parametrize("threshold", [0.05, 0.3, *THRESHOLDS])
@pytest.mark.parametrize("seed", range(8))
def test_as_many_are_matched_as_can_be(seed: int, threshold: float) -> None:
    truth, detected = scattered(seed, 5), scattered(seed + 100, 6)
    if seed % 2:  # close to the truth: shifted by a pixel
        detected = np.roll(truth, 1, axis=0)
    overlap = intersection_over_union(detected, truth)
    found = match_instances(detected, truth, threshold)
    assert found.true_positives == best_matching(overlap, threshold)
    assert found.true_positives + found.false_positives == len(np.unique(detected[detected > 0]))
    assert found.true_positives + found.false_negatives == len(np.unique(truth[truth > 0]))


def test_overlaps_are_those_of_single_pairs() -> None:
    truth, detected = scattered(1, 4), scattered(2, 5)
    overlap = intersection_over_union(detected, truth)
    for i, a in enumerate(np.unique(detected[detected > 0])):
        for j, b in enumerate(np.unique(truth[truth > 0])):
            one, other = detected == a, truth == b
            assert overlap[i, j] == (one & other).sum() / (one | other).sum()


def test_hand_counted() -> None:
    truth = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2]])
    detected = np.array([[5, 5, 0, 0, 7], [5, 5, 0, 0, 7]])
    assert average_precisions(detected, truth) == {0.5: 1.0, 0.7: 1 / 3, 0.9: 1 / 3}
    assert match_instances(detected, truth, 0.7) == Matches(1, 1, 1)


def test_nothing_to_find() -> None:
    nothing, something = np.zeros((4, 4), np.int64), np.eye(4, dtype=np.int64)
    assert match_instances(nothing, nothing).average_precision == 1.0
    assert match_instances(nothing, something).average_precision == 0.0
    assert match_instances(something, nothing).average_precision == 0.0


def test_pooled_counts_add_up() -> None:
    assert Matches(1, 2, 3) + Matches(4, 5, 6) == Matches(5, 7, 9)
    assert Matches(2, 1, 1).average_precision == 0.5
