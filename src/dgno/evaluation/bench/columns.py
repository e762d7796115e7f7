"""The measures that the tables have as columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dgno.evaluation.backbone import load_lpips
from dgno.evaluation.bench.experiment import Column, Outcome, mean_or_nan
from dgno.evaluation.downstream.average_precision import THRESHOLDS, match_instances
from dgno.evaluation.downstream.labels import read_labels
from dgno.evaluation.downstream.nuclei import segment_nuclei
from dgno.evaluation.measures import MEASURES, Measure, of_rectangle


def psnr_of(outcome: Outcome) -> float:
    """PSNR in dB by the protocol."""
    return mean_or_nan([outcome.protocol.measured(plane)[0] for plane in outcome.planes])


def ssim_of(outcome: Outcome) -> float:
    """SSIM by the protocol."""
    return mean_or_nan([outcome.protocol.measured(plane)[1] for plane in outcome.planes])


def measure_of(outcome: Outcome, measure: Measure) -> float:
    """Another measure, mean over the planes that it is defined for; NaN without any."""
    values = [measure.of(plane) for plane in outcome.planes]
    return mean_or_nan([value for value in values if value is not None])


def not_measured(outcome: Outcome) -> float:
    """For columns that are quoted alone."""
    return math.nan


def lpips_of(weights: Path) -> Callable[[Outcome], float]:
    """LPIPS with weights from a file, see `evaluation.backbone`."""
    return partial(measure_of, measure=of_rectangle("lpips", load_lpips(weights)))


def average_precision_of(outcome: Outcome, thresholds: Sequence[float]) -> float:
    """Mean average precision of nuclei, segmented in the restored image, against the record's labels; NaN without."""
    if outcome.record.labels is None:
        return math.nan
    truth = read_labels(outcome.record)
    detected = segment_nuclei(next(outcome.restored.planes()).astype(np.float64).mean(-1))
    return float(np.mean([match_instances(detected, truth, t).average_precision for t in thresholds]))


PSNR, SSIM = Column("PSNR", psnr_of), Column("SSIM", ssim_of, digits=3)
LPIPS = Column("LPIPS", not_measured, digits=3, smallest_is_best=True)
EDGE = Column("edge PSNR", partial(measure_of, measure=MEASURES["edge-psnr"]))
ELSEWHERE = Column("other PSNR", partial(measure_of, measure=MEASURES["non-edge-psnr"]))
AVERAGE_PRECISION = (
    *(Column(f"AP {t}", partial(average_precision_of, thresholds=(t,)), digits=4) for t in THRESHOLDS),
    Column("mean AP", partial(average_precision_of, thresholds=THRESHOLDS), digits=4),
)


def on_plane(z: int) -> Column:
    """PSNR of the inputs of one plane."""
    return Column(f"z={z}", psnr_of, wanted=lambda record: record.z == z)
