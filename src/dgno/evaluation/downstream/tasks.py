"""What restored images are for, as measures of a plane: nuclei against labels, staining against the sharp image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from dgno.checks import refuse_choice
from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.downstream.average_precision import THRESHOLDS, match_instances
from dgno.evaluation.downstream.detectors import DETECTORS, Detector
from dgno.evaluation.downstream.labels import read_labels, with_labels
from dgno.evaluation.downstream.matching import Matches, match_points
from dgno.evaluation.downstream.staining import dice, read_staining
from dgno.evaluation.downstream.stains import Picture

RADIUS = 6.0  # um within which a nucleus is the same
STAINING = "ihc"
TASKS = (*DETECTORS, STAINING)


@dataclass(frozen=True)
class Found:
    """One image by one method.

    values : by name; None where one is not defined
    matches : of values that are pooled over images: what they are means of
    """

    values: Mapping[str, float | None]
    matches: Mapping[str, tuple[Matches, ...]] = field(default_factory=dict)


Task = Callable[[Picture, Picture, Record], Found]  # restored, sharp and the record that they are of


@dataclass(frozen=True)
class Detection:
    """Average precision of what a detector finds against the record's labels, at each threshold and their mean."""

    detect: Detector

    def __call__(self, restored: Picture, sharp: Picture, record: Record) -> Found:
        detected, truth = self.detect(restored), read_labels(record)
        matches: dict[str, tuple[Matches, ...]] = {
            f"ap-{t:g}": (match_instances(detected, truth, t),) for t in THRESHOLDS
        }
        matches["mean-ap"] = tuple(one for of in matches.values() for one in of)
        return Found({name: mean_precision(of) for name, of in matches.items()}, matches)


@dataclass(frozen=True)
class Immunostaining:
    """Nuclei, positive region and positive rate against those that are found in the sharp image in the same way.

    pixel_size : um
    """

    pixel_size: float

    def __call__(self, restored: Picture, sharp: Picture, record: Record) -> Found:
        found, truth = (read_staining(picture, self.pixel_size) for picture in (restored, sharp))
        matches = match_points(found.nuclei, truth.nuclei, RADIUS / self.pixel_size)
        rates = found.positive_rate, truth.positive_rate
        error = None if rates[0] is None or rates[1] is None else abs(rates[0] - rates[1])
        same = {"f1": matches.f1, "dice": dice(found.region, truth.region)}
        return Found({**same, "positive-rate": rates[0], "rate-error": error})


def mean_precision(matches: Sequence[Matches]) -> float:
    """The plain mean of average precisions at several thresholds."""
    return fmean(one.average_precision for one in matches)


def pooled_precision(images: Sequence[Sequence[Matches]]) -> float:
    """As `mean_precision`, of the counts of all images together: large images count more than small ones."""
    return mean_precision([sum(at_one, Matches(0, 0, 0)) for at_one in zip(*images, strict=True)])


def chosen_task(
    name: str, records: Sequence[Record], *, labels: Path | None = None, pixel_size: float | None = None
) -> tuple[Task, list[Record]]:
    """The task of this name, and the records with their labels where it needs them.

    labels : folder of labels, see `labels.with_labels`
    pixel_size : um, for "ihc"
    Raises ConfigError: unknown names, options of other tasks, labels or packages that are missing.
    """
    if wrong := refuse_choice("downstream", name, TASKS):
        raise ConfigError(wrong[0])
    if name != STAINING:
        if pixel_size is not None:
            raise ConfigError("a pixel size is for --downstream ihc", hint="leave --pixel-size out")
        return Detection(DETECTORS[name]()), with_labels(records, labels)
    if labels is not None:
        raise ConfigError("--downstream ihc is compared with the sharp image", hint="leave --labels out")
    if pixel_size is None or not 0 < pixel_size < math.inf:
        hint = "nuclei are matched within 6 um: give --pixel-size UM"
        raise ConfigError(f"--downstream ihc has the pixel size {pixel_size}", hint=hint)
    return Immunostaining(pixel_size), list(records)
