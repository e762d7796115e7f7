"""Depth of field of curves whose shape is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.compare import Score
from dgno.evaluation.focal_curve import FocalPoint, at_half_depth, depth_of_field, depths_of_field, focal_curves

PLANES = np.arange(-10, 11) * 1.56  # um, 21 planes as in DBMID


def tent(half: float, planes: np.ndarray = PLANES, centre: float = 0.0) -> list[FocalPoint]:
    """SSIM that falls evenly from 1 at the centre to 0 at `half` um."""
    return [FocalPoint(float(z), float(max(0.0, 1 - abs(z - centre) / half)), 0.0, 1) for z in planes]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.77])
@pytest.mark.parametrize("half", [7.8, 15.6])
def test_the_width_of_a_tent(half: float, threshold: float) -> None:
    assert depth_of_field(tent(half), threshold) == pytest.approx(2 * half * (1 - threshold))
    assert depth_of_field(tent(half)[::-1], threshold) == pytest.approx(2 * half * (1 - threshold))
    assert depth_of_field(tent(half, centre=3.12), threshold) >= 0


def test_a_curve_that_stays_above_has_no_end() -> None:
    assert depth_of_field(tent(100.0), 0.5) == math.inf
    assert depth_of_field(tent(7.0, PLANES[5:11]), 0.5) == math.inf, "one side is not there"
    assert depth_of_field(tent(7.0), 1.01) == 0.0


def test_what_comes_back_behind_a_fall_does_not_count() -> None:
    curve = [FocalPoint(z, v, 0.0, 1) for z, v in [(-2, 0.2), (-1, 0.8), (0, 1.0), (1, 0.4), (2, 0.9), (3, 0.1)]]
    assert depth_of_field(curve, 0.7) == pytest.approx((1 + 0.1 / 0.6) + 0.5)


def test_the_threshold_is_that_of_the_blurred_images() -> None:
    """At 4.9 um from focus on both sides, so their own depth is 9.8 um."""
    assert at_half_depth(tent(15.6)) == pytest.approx(1 - 4.9 / 15.6)
    found = depths_of_field({"blurred": tent(15.6), "restored": tent(31.2)})
    assert found == pytest.approx({"blurred": 9.8, "restored": 19.6})
    with pytest.raises(ConfigError, match=r"no planes 4\.9 um from focus"):
        at_half_depth(tent(15.6, PLANES[9:12]))


def test_curves_are_means_over_fields() -> None:
    records, scores = [], []
    for field in range(3):
        for z in (3.0, -1.5, 0.0):
            key = f"{field} {z}"
            records.append(Record(key, Path("a"), Path("b"), str(field), defocus=z))
            scores += [
                Score(key, m, 30.0, 0.9 - 0.1 * abs(z) + 0.01 * field + s, 1.0) for m, s in (("a", 0), ("b", 0.05))
            ]
    curves = focal_curves(scores, records)
    assert list(curves) == ["a", "b"]
    assert [point.defocus for point in curves["a"]] == [-1.5, 0.0, 3.0]
    for point, other in zip(curves["a"], curves["b"], strict=True):
        values = [0.9 - 0.1 * abs(point.defocus) + 0.01 * field for field in range(3)]
        assert point.n == 3
        assert (point.mean, point.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        assert other.mean == pytest.approx(point.mean + 0.05)
    with pytest.raises(ConfigError, match="no distance from focus"):
        focal_curves([], [Record("a", Path("a"), Path("b"), "a")])
