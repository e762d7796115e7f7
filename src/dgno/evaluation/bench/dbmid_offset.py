"""SSIM against the distance from focus, before and after restoring, and the depth of field: a figure of DBMID's.

Jiang et al. 2020, arXiv:2011.11879: 21 planes, and a depth of field that grows from 9.8 to at least 31.2 um, by a
threshold that is not given. Ours is the SSIM of the blurred images 4.9 um from focus.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from dgno.data.records import Record
from dgno.evaluation.bench.datasets import DATASETS
from dgno.evaluation.bench.dbmid import RESTORING, TABLE_3
from dgno.evaluation.bench.experiment import Row
from dgno.evaluation.bench.run import Bench, Progress, Remark, part_of
from dgno.evaluation.bench.table import NO_NUMBER, Table
from dgno.evaluation.compare import Method, Score, compare, unchanged
from dgno.evaluation.focal_curve import HALF_DEPTH, FocalPoint, at_half_depth, depth_of_field, focal_curves
from dgno.evaluation.plots import save_figure
from dgno.evaluation.saving import save_csv

TITLE = "DBMID: SSIM against the distance from focus"
BLURRED = "blurred"
PUBLISHED = {BLURRED: "9.8", "DL_defocus": "at least 31.2"}  # um, claimed as depth of field
Curves = Mapping[str, Sequence[FocalPoint]]


def run_offset(bench: Bench, folder: Path, progress: Progress, remark: Remark) -> tuple[list[Table], list[str]]:
    """The curves, and how deep the field is by them. The networks are those of Table 3 that know all stains."""
    records = with_focus(bench.library.test_records(TABLE_3.test))
    scores, depths = _measured(bench, records, progress, remark)
    curves = focal_curves(mean_over_seeds(scores), records)
    _write_csv(folder / "curves.csv", curves)
    draw_curves(folder / "curves.png", curves, title=f"{TITLE}; profile {bench.profile.name}")
    return [_depth_table(bench, depths, curves), _curve_table(bench, curves)], ["curves.csv", "curves.png"]


def with_focus(records: Sequence[Record]) -> list[Record]:
    """The planes of every field, and the one in focus as a plane of its own: its image is already sharp."""
    fields = {record.target: record for record in records}
    focus = [
        replace(record, key=f"{record.group}/in focus", input=record.target, input_plane=record.target_plane, z=0)
        for record in fields.values()
    ]
    return [*records, *(replace(record, defocus=0.0, shift=(0.0, 0.0)) for record in focus)]


def _measured(
    bench: Bench, records: Sequence[Record], progress: Progress, remark: Remark
) -> tuple[list[list[Score]], dict[str, list[float]]]:
    """Scores, one list a seed and the blurred images first, and by method the depth of field in um for every seed."""
    protocol = DATASETS[TABLE_3.test].protocol
    scores = [compare(records, {BLURRED: unchanged}, protocol=protocol)]
    threshold = at_half_depth(focal_curves(scores[0], records)[BLURRED])
    depths = {BLURRED: [_depth(scores[0], records, BLURRED, threshold)]}
    todo = len(RESTORING) * len(bench.seeds)
    for i, name in enumerate(RESTORING):
        for repeat in range(len(bench.seeds)):
            share_of = functools.partial(part_of, progress, i * len(bench.seeds) + repeat, todo)
            scores.append(compare(records, {name: _restorer(bench, name, repeat, share_of)}, protocol=protocol))
            depths.setdefault(name, []).append(_depth(scores[-1], records, name, threshold))
            remark(f"{name}, seed {bench.seeds[repeat]}: depth of field {depths[name][-1]:.1f} um")
    progress(1.0)
    return scores, depths


def _restorer(bench: Bench, name: str, repeat: int, progress: Progress) -> Method:
    return bench.method(Row(name, network=RESTORING[name]), TABLE_3, repeat, progress)


def _depth(scores: Sequence[Score], records: Sequence[Record], name: str, threshold: float) -> float:
    return depth_of_field(focal_curves(scores, records)[name], threshold)


def mean_over_seeds(scores: Sequence[Sequence[Score]]) -> list[Score]:
    """One score for every image and method, so that deviations are those of fields alone."""
    found: dict[tuple[str, str], list[Score]] = {}
    for score in (score for of_seed in scores for score in of_seed):
        found.setdefault((score.image, score.method), []).append(score)
    return [replace(same[0], ssim=statistics.fmean(score.ssim for score in same)) for same in found.values()]


def _depth_table(bench: Bench, depths: Mapping[str, Sequence[float]], curves: Curves) -> Table:
    planes = [point.defocus for point in curves[BLURRED]]
    reach, threshold = planes[-1] - planes[0], at_half_depth(curves[BLURRED])
    lines = []
    for name, values in depths.items():
        comparable = (bench.profile.note or "no").partition(":")[0] if name in PUBLISHED else NO_NUMBER
        lines.append((name, PUBLISHED.get(name, NO_NUMBER), told_depth(values, reach), comparable))
    return Table(
        f"{TITLE}: depth of field; profile {bench.profile.name}",
        ("", "um paper", "um ours", "comparable?"),
        tuple(lines),
        (
            f"Comparable? {bench.profile.note or 'no: the threshold of the paper is not given'}.",
            f"Ours: width around focus where mean SSIM is at least {threshold:.4f}, that of the blurred images "
            f"{HALF_DEPTH} um from focus; linear between planes, ± standard deviation over the seeds.",
            f"The planes span {reach:.1f} um: a curve that stays above has at least that.",
        ),
    )


def told_depth(values: Sequence[float], reach: float) -> str:
    """Depths of field in um, one a seed, as text; of planes that reach so far an infinite one is at least that."""
    if not all(map(math.isfinite, values)):
        return f"at least {min(min(values), reach):.1f}"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def _curve_table(bench: Bench, curves: Curves) -> Table:
    lines = [
        (f"{points[0].defocus:+.2f}", *(f"{p.mean:.4f} ± {p.sd:.4f}" for p in points), str(points[0].n))
        for points in zip(*curves.values(), strict=True)
    ]
    return Table(
        f"{TITLE}; profile {bench.profile.name}, protocol {DATASETS[TABLE_3.test].protocol.name}",
        ("um", *curves, "fields"),
        tuple(lines),
        ("± standard deviation over the fields; of each, the mean over the seeds. The paper's curve is a picture.",),
    )


def _write_csv(path: Path, curves: Curves) -> None:
    lines = [(name, p.defocus, p.mean, p.sd, p.n) for name, curve in curves.items() for p in curve]
    save_csv(path, [("method", "defocus_um", "ssim", "sd_over_fields", "fields"), *lines])


def draw_curves(path: Path, curves: Curves, *, title: str) -> None:
    """SSIM of every method over the distance from focus, its deviation over fields as a band, and the threshold."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for name, curve in curves.items():
        z, mean, sd = ([getattr(point, key) for point in curve] for key in ("defocus", "mean", "sd"))
        (line,) = axis.plot(z, mean, "o-", markersize=3, label=name)
        low, high = ([m + sign * s for m, s in zip(mean, sd, strict=True)] for sign in (-1, 1))
        axis.fill_between(z, low, high, color=line.get_color(), alpha=0.15)
    threshold = at_half_depth(curves[BLURRED])
    axis.axhline(threshold, color="0.4", linestyle=":", label=f"blurred, {HALF_DEPTH} um from focus")
    axis.set(xlabel="distance from focus, um", ylabel="SSIM", title=title)
    axis.title.set_fontsize(10)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save_figure(path, figure)
