"""How well a classifier tells its classes, and whether its probabilities mean what they say.

Confusion matrices have the predicted class in their rows and the actual one in their columns, as DBMID prints them
(Jiang et al. 2020, arXiv:2011.11879).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import norm

from dgno.errors import ConfigError

BINS = 15  # of confidence, as Guo et al. have them
COLDEST, HOTTEST = 0.02, 50.0  # temperatures that are tried

Probabilities = Float[np.ndarray, "n k"]
Labels = Int[np.ndarray, " n"]
Matrix = Int[np.ndarray, "k k"]


def confusion_matrix(probabilities: Probabilities, labels: Labels) -> Matrix:
    """How many of each actual class (column) are taken for each class (row): that of the largest probability.

    probabilities : or logits; of equal ones the first counts
    labels : actual classes, 0 to k - 1
    """
    _refuse_unusable(probabilities, labels)
    classes = probabilities.shape[1]
    counted: np.ndarray = np.bincount(probabilities.argmax(1) * classes + labels, minlength=classes**2)
    return counted.reshape(classes, classes)


def accuracy(matrix: Matrix) -> float:
    """Share of all whose class is told right; NaN for none."""
    return float(np.trace(matrix)) / int(matrix.sum()) if matrix.any() else math.nan


def precision_recall(matrix: Matrix) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """For every class: share of what is called so that is so, and share of what is so that is called so.

    NaN where nothing is called so, or nothing is so.
    """
    right, nothing = np.diag(matrix).astype(float), np.full(len(matrix), np.nan)
    precision, recall = (np.divide(right, matrix.sum(axis), nothing.copy(), where=matrix.any(axis)) for axis in (1, 0))
    return precision, recall


def wilson_interval(right: int, count: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share that was seen as `right` of `count`. Unlike p ± z sd it is never empty, nor leaves [0, 1].

        (p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    if not 0 <= right <= count or count == 0 or not 0 < confidence < 1:
        why = f"{right} of {count} at confidence {confidence}"
        raise ConfigError("no share to give an interval of", why=why, hint="count at least one, confidence in (0, 1)")
    z, p = float(norm.ppf((1 + confidence) / 2)), right / count
    middle, half = p + z**2 / (2 * count), z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    low, high = (value / (1 + z**2 / count) for value in (middle - half, middle + half))
    return (low if right else 0.0), (high if right < count else 1.0)


def expected_calibration_error(probabilities: Probabilities, labels: Labels, *, bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy: sum over bins of (n_b / n) |accuracy_b - mean confidence_b|.

    probabilities : rows sum to 1
    bins : of the largest probability, equally wide over (0, 1], each with its upper end
    Guo et al. 2017, arXiv:1706.04599, Eq. 3.
    """
    _refuse_unusable(probabilities, labels)
    sums = probabilities.sum(1)
    if bins < 1 or not np.allclose(sums, 1, atol=1e-4):
        why, hint = f"{bins} bins, sums from {sums.min():g} to {sums.max():g}", "give probabilities, of sum 1, and bins"
        raise ConfigError("no calibration error", why=why, hint=hint)
    confidence = probabilities.max(1).astype(float)
    surplus = (probabilities.argmax(1) == labels) - confidence
    place = np.ceil(confidence * bins).astype(int).clip(1, bins) - 1
    return float(np.abs(np.bincount(place, surplus, bins)).sum() / len(labels))


def fit_temperature(logits: Probabilities, labels: Labels) -> float:
    """The T for which softmax(logits / T) makes the labels likeliest; between 0.02 and 50.

    The negative log likelihood is convex in 1 / T, so there is one minimum. T changes no decision, only confidence.
    Fit it on images that neither training nor the test has. Guo et al. 2017, arXiv:1706.04599, section 4.2.
    """
    _refuse_unusable(logits, labels)
    exact = logits.astype(float)

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(exact / math.exp(log_temperature), labels)

    found = minimize_scalar(loss, bounds=(math.log(COLDEST), math.log(HOTTEST)), method="bounded")
    return math.exp(float(found.x))


def negative_log_likelihood(logits: Probabilities, labels: Labels) -> float:
    """Mean over the rows of -log softmax(logits)[label]."""
    _refuse_unusable(logits, labels)
    exact = logits.astype(float)
    return float((logsumexp(exact, axis=1) - exact[np.arange(len(labels)), labels]).mean())


def _refuse_unusable(values: Probabilities, labels: Labels) -> None:
    if not len(labels) or not np.isfinite(values).all():
        raise ConfigError("nothing to measure a classifier by", hint="give at least one row, of finite numbers")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= values.shape[1]:
        why = f"labels from {low} to {high}, {values.shape[1]} classes"
        raise ConfigError("a label that is no class", why=why, hint="number the classes from 0")
