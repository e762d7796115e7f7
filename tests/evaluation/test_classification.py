"""Measures of classifiers, by hand and by laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import softmax

from dgno.errors import ConfigError
from dgno.evaluation.classification import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    precision_recall,
    wilson_interval,
)

# five images of three classes: 0 told right twice, 0 taken for 1, 1 right, 2 taken for 0; nothing is called 2
PROBABILITIES = np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0.3, 0.7, 0], [0.2, 0.8, 0], [0.5, 0.2, 0.3]])
LABELS = np.array([0, 0, 0, 1, 2])


def test_the_rows_are_what_is_predicted() -> None:
    matrix = confusion_matrix(PROBABILITIES, LABELS)
    assert matrix.tolist() == [[2, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert accuracy(matrix) == pytest.approx(3 / 5)


def test_precision_goes_along_rows_and_recall_along_columns() -> None:
    precision, recall = precision_recall(confusion_matrix(PROBABILITIES, LABELS))
    assert precision == pytest.approx([2 / 3, 1 / 2, math.nan], nan_ok=True)
    assert recall == pytest.approx([2 / 3, 1, 0])


def test_the_matrix_of_dbmid() -> None:
    """Its Table 2: 880 images, two in focus called defocused; 99.77 %."""
    matrix = np.diag([38, 200, 320, 320])
    matrix[1, 0] = 2
    precision, recall = precision_recall(matrix)
    assert round(100 * accuracy(matrix), 2) == 99.77
    assert precision == pytest.approx([1, 200 / 202, 1, 1])
    assert recall == pytest.approx([0.95, 1, 1, 1])


def test_without_any_image_there_is_no_accuracy() -> None:
    assert math.isnan(accuracy(np.zeros((4, 4), int)))


@pytest.mark.parametrize(
    "right, count, interval",
    [
        (8, 10, (0.4902, 0.9433)),
        (0, 10, (0.0, 0.2775)),  # z^2 / (n + z^2) with z^2 = 3.8415
        (10, 10, (0.7225, 1.0)),
        (1, 2, (0.0945, 0.9055)),
    ],
)
def test_wilson_interval_by_hand(right: int, count: int, interval: tuple[float, float]) -> None:
    assert wilson_interval(right, count) == pytest.approx(interval, abs=5e-5)


def test_wilson_interval_solves_its_equation() -> None:
    """Its ends are the shares q from which p lies z standard deviations of q away."""
    low, high = wilson_interval(878, 880)
    for q in (low, high):
        assert abs(878 / 880 - q) / math.sqrt(q * (1 - q) / 880) == pytest.approx(1.959964, abs=1e-5)


def test_calibration_error_by_hand() -> None:
    """Ten bins: .9 and .8 and .6 are right, .7 and .5 wrong, each alone in its bin."""
    by_hand = (0.1 + 0.4 + 0.7 + 0.2 + 0.5) / 5
    assert expected_calibration_error(PROBABILITIES, LABELS, bins=10) == pytest.approx(by_hand)
    mean_confidence = (0.9 + 0.6 + 0.7 + 0.8 + 0.5) / 5
    assert expected_calibration_error(PROBABILITIES, LABELS, bins=1) == pytest.approx(abs(3 / 5 - mean_confidence))


def test_a_bin_has_its_upper_end() -> None:
    """.5 lies with .4 in the lower of two bins: surplus .5 - .6 = -.1, not .5 and .6 apart."""
    probabilities = np.array([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]])
    assert expected_calibration_error(probabilities, np.array([0, 1]), bins=2) == pytest.approx(0.1 / 2)


def test_certain_and_right_is_calibrated() -> None:
    assert expected_calibration_error(np.eye(4), np.arange(4)) == 0


def test_negative_log_likelihood_by_hand() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    by_hand = (math.log(2) + math.log(10)) / 2
    assert negative_log_likelihood(logits, np.array([0, 2])) == pytest.approx(by_hand)


def test_temperature_by_hand() -> None:
    """Three of four right with logits 0 and 6: sigmoid(6 / T) = 3/4, so T = 6 / log 3."""
    logits = np.array([[6.0, 0.0]] * 4)
    assert fit_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(6 / math.log(3), rel=1e-4)


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(5)
    logits = 2 * rng.standard_normal((20_000, 4))
    labels = np.array([rng.choice(4, p=p) for p in softmax(logits, axis=1)])
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.03)
    cool = expected_calibration_error(softmax(3 * logits, axis=1), labels)
    warm = expected_calibration_error(softmax(logits, axis=1), labels)
    assert warm < 0.02 < 0.1 < cool


def test_always_right_is_as_cold_as_is_tried() -> None:
    assert fit_temperature(np.eye(4), np.arange(4)) < 0.03


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 1], [0, -1, 0, 1, 2]])
def test_a_label_that_is_no_class_is_refused(labels: list[int]) -> None:
    with pytest.raises(ConfigError, match="a label that is no class"):
        confusion_matrix(PROBABILITIES, np.array(labels))


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one row"):
        confusion_matrix(np.zeros((0, 4)), np.zeros(0, int))
    with pytest.raises(ConfigError, match="finite"):
        fit_temperature(np.array([[math.nan, 0.0]]), np.array([0]))
    with pytest.raises(ConfigError, match="of sum 1"):
        expected_calibration_error(np.array([[2.0, 1.0]]), np.array([0]))
    for right, count in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ConfigError, match="no share"):
            wilson_interval(right, count)
