"""SSIM against the distance from focus, before and after restoring, and the depth of field that it amounts to.

DBMID (Jiang et al. 2020, arXiv:2011.11879) claims a depth of field that grows from 9.8 to at least 31.2 um, and gives
no threshold; ours is the SSIM of the blurred images 4.9 um from focus.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.compare import Score

HALF_DEPTH = 4.9  # um, of the objective of DBMID


@dataclass(frozen=True)
class FocalPoint:
    """One plane: um from focus, mean and standard deviation of SSIM over n fields."""

    defocus: float
    mean: float
    sd: float
    n: int


def focal_curves(scores: Sequence[Score], records: Sequence[Record]) -> dict[str, list[FocalPoint]]:
    """By method, SSIM at every distance from focus that the records say, in order.

    Raises ConfigError for a record that does not say it.
    """
    defocus: dict[str, float] = {}
    for record in records:
        if record.defocus is None:
            hint = "read a z-stack with its step, or another layout that tells"
            raise ConfigError("the pair has no distance from focus", path=record.target, hint=hint)
        defocus[record.key] = record.defocus
    found: dict[str, dict[float, list[float]]] = {}
    for score in scores:
        found.setdefault(score.method, {}).setdefault(defocus[score.image], []).append(score.ssim)
    return {method: [_point(z, values) for z, values in sorted(by_z.items())] for method, by_z in found.items()}


def _point(defocus: float, values: Sequence[float]) -> FocalPoint:
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return FocalPoint(defocus, statistics.fmean(values), sd, len(values))


def depth_of_field(curve: Sequence[FocalPoint], threshold: float) -> float:
    """Width in um around the best plane where mean SSIM is at least the threshold, linear between planes.

    Infinite where a curve does not fall below it on both sides, 0 where it does not reach it.
    """
    best = max(range(len(curve)), key=lambda i: curve[i].mean)
    if curve[best].mean < threshold:
        return 0.0
    above = _reach(curve[best:], threshold)
    below = _reach(curve[best::-1], threshold)
    return abs(above - curve[best].defocus) + abs(below - curve[best].defocus)


def _reach(curve: Sequence[FocalPoint], threshold: float) -> float:
    """The distance at which a curve, from its best plane outwards, crosses the threshold."""
    for one, other in itertools.pairwise(curve):
        if other.mean < threshold:
            share = (one.mean - threshold) / (one.mean - other.mean)
            return one.defocus + share * (other.defocus - one.defocus)
    return math.inf


def at_half_depth(curve: Sequence[FocalPoint], half_depth: float = HALF_DEPTH) -> float:
    """Mean SSIM this far from focus, both sides averaged, linear between planes: the threshold for `depth_of_field`.

    Raises ConfigError for a curve that ends before.
    """
    if not curve[0].defocus <= -half_depth < half_depth <= curve[-1].defocus:
        why = f"it reaches from {curve[0].defocus:g} to {curve[-1].defocus:g} um"
        raise ConfigError(f"the curve has no planes {half_depth:g} um from focus", why=why)
    return statistics.fmean(_between(curve, z) for z in (-half_depth, half_depth))


def _between(curve: Sequence[FocalPoint], defocus: float) -> float:
    for one, other in itertools.pairwise(curve):
        if one.defocus <= defocus <= other.defocus:
            share = (defocus - one.defocus) / (other.defocus - one.defocus)
            return one.mean + share * (other.mean - one.mean)
    raise AssertionError("looked up outside of the curve")


def depths_of_field(curves: Mapping[str, Sequence[FocalPoint]], *, blurred: str = "blurred") -> dict[str, float]:
    """Of every method in um, at the SSIM of the blurred images `HALF_DEPTH` from focus."""
    threshold = at_half_depth(curves[blurred])
    return {method: depth_of_field(curve, threshold) for method, curve in curves.items()}
