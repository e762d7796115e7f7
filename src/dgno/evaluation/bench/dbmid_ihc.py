"""DBMID: what is counted in immunohistochemistry within 15.6 um of focus, blurred and restored.

Nuclei and positive region as colour deconvolution, a Laplacian of a Gaussian and a threshold of DAB find them, against
what they find in the sharp image in the same way; see `downstream.staining`.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.data.layouts.dbmid import PIXEL_SIZE, STEP
from dgno.evaluation.bench.dbmid_plots import Panel, draw_curves, draw_pictures
from dgno.evaluation.bench.dbmid_restorers import DGNO_DEFOCUS, DL_DEFOCUS, Restore, find_restorers, unchanged
from dgno.evaluation.bench.dbmid_views import immunostained, seed_of, views_of
from dgno.evaluation.bench.run import Bench, Progress, Remark, part_of
from dgno.evaluation.bench.table import NO_NUMBER, Table
from dgno.evaluation.downstream.matching import match_points
from dgno.evaluation.downstream.staining import Staining, dice, read_staining
from dgno.evaluation.downstream.tasks import RADIUS
from dgno.evaluation.saving import save_csv

TITLE = "DBMID: nuclei, region and positive rate in immunohistochemistry"
VIEWS = (3, 10)
PLANES = tuple(range(-5, 6))  # STEP um apart: 15.6 um to either side
BLURRED, SHARP = "blurred", "sharp"
F1, DICE, RATE, ERROR = "F1 of nuclei", "Dice of the region", "positive rate", "error of the rate"
MEASURES = (F1, DICE, RATE, ERROR)
OUTSIDE, WITHIN = (-14.0, 11.0), 12.5  # um; where the paper says that F1 falls, and that the rate holds


@dataclass(frozen=True)
class Claim:
    """What the paper prints: for blurred and for restored images, and the same of ours.

    planes : which count, by um from focus
    worst : of the means over the fields, by plane
    """

    title: str
    blurred: str
    restored: str
    measure: str
    planes: Callable[[float], bool]
    worst: Callable[[Sequence[float]], float]


CLAIMS = (
    Claim("lowest F1 beyond +11 and -14 um", "< 0.80", "> 0.92", F1, lambda z: z > OUTSIDE[1] or z < OUTSIDE[0], min),
    Claim("largest error of the rate within 12.5 um", "<= 0.035", "< 0.01", ERROR, lambda z: abs(z) <= WITHIN, max),
)
Key = tuple[str, str, int]  # measure, method, plane


def run_ihc(bench: Bench, folder: Path, progress: Progress, remark: Remark) -> tuple[list[Table], list[str]]:
    """Means over the fields by plane and method, the paper's claims beside ours, CSV, curves, and a field."""
    found = find_restorers(bench, (DL_DEFOCUS, DGNO_DEFOCUS), functools.partial(part_of, progress, 0, 2))
    roles = (DL_DEFOCUS, DGNO_DEFOCUS)
    methods: dict[str, Restore] = {BLURRED: unchanged, **{role.title: found[role] for role in roles}}
    views = views_of(bench, immunostained, "IHC", VIEWS)
    values: dict[Key, list[float]] = {}
    shown: dict[str, dict[str, np.ndarray]] = {}
    for i, view in enumerate(views):
        sharp = view.sharp()
        truth = _read(sharp)
        for j, plane in enumerate(PLANES):
            image = view.blurred(seed_of(i, plane - PLANES[0]), z=plane * STEP)
            for name, restore in methods.items():
                restored = restore(image)
                for measure, value in compared(_read(restored), truth).items():
                    values.setdefault((measure, name, plane), []).append(value)
                if i == 0 and plane in (PLANES[2], PLANES[-1]):
                    shown.setdefault(f"{plane * STEP:.2f} um", {})[name] = restored.pixels
            if i == 0 and f"{plane * STEP:.2f} um" in shown:
                shown[f"{plane * STEP:.2f} um"][SHARP] = sharp.pixels
            part_of(progress, 1, 2, (i * len(PLANES) + j + 1) / (len(views) * len(PLANES)))
        rate = truth.positive_rate
        remark(f"{view.name}: {len(truth.nuclei)} nuclei, {'none' if rate is None else f'{rate:.0%}'} positive")
    title = f"{TITLE}; profile {bench.profile.name}"
    _write(folder / "ihc.csv", values)
    draw_curves(folder / "ihc.png", _panels(values, list(methods)), title=title)
    draw_pictures(folder / "fields.png", shown, title="The first field")
    tables = [_table(title, values, list(methods), len(views), found.notes), _claims(values, list(methods), bench)]
    return tables, ["ihc.csv", "ihc.png", "fields.png"]


def _read(image: Image) -> Staining:
    return read_staining(image.pixels.astype(np.float64).clip(0, 1), PIXEL_SIZE)


def compared(found: Staining, truth: Staining) -> dict[str, float]:
    """The measures of one image that are defined for it."""
    values = {
        F1: match_points(found.nuclei, truth.nuclei, RADIUS / PIXEL_SIZE).f1,
        DICE: dice(found.region, truth.region),
    }
    if found.positive_rate is not None:
        values[RATE] = found.positive_rate
        if truth.positive_rate is not None:
            values[ERROR] = abs(found.positive_rate - truth.positive_rate)
    return values


def _mean(values: Mapping[Key, Sequence[float]], measure: str, name: str, plane: int) -> float:
    there = values.get((measure, name, plane))
    return statistics.fmean(there) if there else float("nan")


def _table(
    title: str, values: Mapping[Key, Sequence[float]], names: Sequence[str], views: int, used: Sequence[str]
) -> Table:
    lines = [
        (measure, name, *(_told(_mean(values, measure, name, plane)) for plane in PLANES))
        for measure in MEASURES
        for name in names
    ]
    return Table(
        title,
        ("", "", *(f"{plane * STEP:+.2f} um" for plane in PLANES)),
        tuple(lines),
        (
            f"Means over {views} fields, against what the same method finds in the sharp field; nuclei within 6 um.",
            "Simulated defocus is the same on both sides of focus; what differs is noise.",
            *used,
        ),
    )


def _told(value: float) -> str:
    return NO_NUMBER if np.isnan(value) else f"{value:.3f}"


def _claims(values: Mapping[Key, Sequence[float]], names: Sequence[str], bench: Bench) -> Table:
    """The paper's numbers beside ours."""
    lines = []
    for claim in CLAIMS:
        planes = [plane for plane in PLANES if claim.planes(plane * STEP)]
        for name in names:
            means = [_mean(values, claim.measure, name, plane) for plane in planes]
            printed = {BLURRED: claim.blurred, DL_DEFOCUS.title: claim.restored}.get(name, NO_NUMBER)
            lines.append((claim.title, name, printed, _told(claim.worst(means)), "no" if printed != NO_NUMBER else "-"))
    data = "drawn fields" if bench.profile.generated else "defocus simulated from its fields in focus"
    return Table(
        "DBMID: the paper's claims for immunohistochemistry",
        ("", "", "paper", "ours", "comparable?"),
        tuple(lines),
        (f"Comparable? no: {data}, and a classical detector; the paper's is not described where we could read it.",),
    )


def _panels(values: Mapping[Key, Sequence[float]], names: Sequence[str]) -> list[Panel]:
    panels = []
    for measure in MEASURES:
        curves = {name: [_point(values, measure, name, plane) for plane in PLANES] for name in names}
        panels.append(Panel(measure, "um from focus", measure, curves))
    return panels


def _point(values: Mapping[Key, Sequence[float]], measure: str, name: str, plane: int) -> tuple[float, float, float]:
    there = values.get((measure, name, plane), ())
    spread = statistics.stdev(there) if len(there) > 1 else 0.0
    return plane * STEP, _mean(values, measure, name, plane), spread


def _write(path: Path, values: Mapping[Key, Sequence[float]]) -> None:
    lines: list[Sequence[object]] = [("measure", "method", "um from focus", "mean", "sd", "fields")]
    for (measure, name, plane), there in values.items():
        spread = round(statistics.stdev(there), 5) if len(there) > 1 else ""
        lines.append((measure, name, round(plane * STEP, 2), round(statistics.fmean(there), 5), spread, len(there)))
    save_csv(path, lines)
