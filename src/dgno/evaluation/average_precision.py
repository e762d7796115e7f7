"""Average precision of detected instances against labelled ones (Table 8 of the DGNO paper).

Instances are matched one to one so that the sum of their intersections over unions is largest (Kuhn 1955,
doi:10.1002/nav.3800020109), among the pairs that reach the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from scipy.optimize import linear_sum_assignment

THRESHOLDS = (0.5, 0.7, 0.9)

Labels = Integer[np.ndarray, "h w"]  # 0 is background


@dataclass(frozen=True)
class Matches:
    """Detections that are right, that are wrong, and instances that were missed."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN); 1 where nothing was to be found and nothing was."""
        total = self.true_positives + self.false_positives + self.false_negatives
        return self.true_positives / total if total else 1.0

    def __add__(self, other: Matches) -> Matches:
        """Of both images together: what a pooled score is made of."""
        return Matches(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


def match_instances(detected: Labels, truth: Labels, threshold: float = 0.5) -> Matches:
    """Detections matched with instances whose intersection over union is at least `threshold`."""
    overlap = intersection_over_union(detected, truth)
    allowed = np.where(overlap >= threshold, overlap, 0.0)
    rows, columns = linear_sum_assignment(1.0 * (allowed > 0) + allowed / (1 + min(allowed.shape)), maximize=True)
    right = int((allowed[rows, columns] > 0).sum())  # the count first, and of equal counts the largest overlaps
    return Matches(right, overlap.shape[0] - right, overlap.shape[1] - right)


def intersection_over_union(detected: Labels, truth: Labels) -> Float[np.ndarray, "detections instances"]:
    """Of every detection with every instance."""
    (names, a), (others, b) = (np.unique(labels, return_inverse=True) for labels in (detected, truth))
    shared = np.zeros((len(names), len(others)))
    np.add.at(shared, (a.ravel(), b.ravel()), 1)
    areas, other_areas = shared.sum(1, keepdims=True), shared.sum(0, keepdims=True)
    ratio = shared / (areas + other_areas - shared)
    return ratio[names > 0][:, others > 0]


def average_precisions(detected: Labels, truth: Labels, thresholds: Sequence[float] = THRESHOLDS) -> dict[float, float]:
    """Average precision of one image at each threshold."""
    return {t: match_instances(detected, truth, t).average_precision for t in thresholds}
