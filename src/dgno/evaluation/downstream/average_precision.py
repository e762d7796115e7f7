"""Average precision of detected instances against labelled ones (Table 8 of the DGNO paper).

Instances are matched one to one so that most of them match and, of equally many, the sum of their intersections over
unions is largest, among the pairs that reach the threshold; see `matching`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer

from dgno.evaluation.downstream.matching import Matches, match

THRESHOLDS = (0.5, 0.7, 0.9)

Labels = Integer[np.ndarray, "h w"]  # 0 is background


def match_instances(detected: Labels, truth: Labels, threshold: float = 0.5) -> Matches:
    """Detections matched with instances whose intersection over union is at least `threshold`."""
    overlap = intersection_over_union(detected, truth)
    return match(np.where(overlap >= threshold, overlap, 0.0))


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
