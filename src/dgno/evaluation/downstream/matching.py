"""Which detections are right: one-to-one matching of what was found with what is there.

Pairs are chosen so that as many as possible match and, of equally many, the best ones (Kuhn 1955,
doi:10.1002/nav.3800020109).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dgno.errors import ConfigError

Points = Float[np.ndarray, "_ 2"]  # row, column
Boxes = Float[np.ndarray, "_ 4"]  # top, left, bottom, right


@dataclass(frozen=True)
class Matches:
    """Detections that are right, that are wrong, and instances that were missed."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN); 1 where nothing was to be found and nothing was."""
        return _share(self.true_positives, self.false_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 where nothing was to be found and nothing was."""
        return _share(2 * self.true_positives, self.false_positives + self.false_negatives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); 1 where nothing was to be found."""
        return _share(self.true_positives, self.false_negatives)

    def __add__(self, other: Matches) -> Matches:
        """Of both images together: what a pooled score is made of."""
        return Matches(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


def _share(right: int, wrong: int) -> float:
    return right / (right + wrong) if right + wrong else 1.0


def match(quality: Float[np.ndarray, "found truth"]) -> Matches:
    """Detections matched with instances; quality in [0, 1], 0 for pairs that are none."""
    rows, columns = linear_sum_assignment(1.0 * (quality > 0) + quality / (1 + min(quality.shape)), maximize=True)
    right = int((quality[rows, columns] > 0).sum())
    return Matches(right, quality.shape[0] - right, quality.shape[1] - right)


def match_points(found: Points, truth: Points, radius: float) -> Matches:
    """Points matched with points at most `radius` away, in their unit; the nearest of equally many."""
    if not radius > 0:
        raise ConfigError(f"points cannot be matched within {radius}", hint="give a radius above 0")
    distance = cdist(found, truth)
    return match(np.where(distance <= radius, 1 - distance / (2 * radius), 0.0))


def match_boxes(found: Boxes, truth: Boxes, overlap: float = 0.5) -> Matches:
    """Boxes matched with boxes whose intersection over union is at least `overlap`, above 0."""
    if not 0 < overlap <= 1:
        raise ConfigError(f"boxes cannot be matched from an overlap of {overlap} on", hint="give one in (0, 1]")
    first, last = np.maximum(found[:, None, :2], truth[:, :2]), np.minimum(found[:, None, 2:], truth[:, 2:])
    shared = (last - first).clip(0).prod(-1)
    areas, others = ((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1) for boxes in (found, truth))
    union = areas[:, None] + others - shared
    ratio = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return match(np.where(ratio >= overlap, ratio, 0.0))
