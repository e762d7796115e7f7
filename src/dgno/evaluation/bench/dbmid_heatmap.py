"""DBMID: SSIM over focal offset and length of motion, restored from one blur, from both, and in the wrong order.

The specimen is out of focus and moves, so motion is undone first; the order defocus, then motion is the control.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.data.layouts.dbmid import STEP
from dgno.evaluation.bench.dbmid_plots import draw_heat_maps
from dgno.evaluation.bench.dbmid_restorers import (
    DGNO_DEFOCUS,
    DGNO_MOTION,
    DL_DEFOCUS,
    DL_MOTION,
    Restore,
    find_restorers,
)
from dgno.evaluation.bench.dbmid_views import ANGLES, LENGTHS, seed_of, smear, views_of
from dgno.evaluation.bench.run import Bench, Progress, Remark, part_of
from dgno.evaluation.bench.table import Table
from dgno.evaluation.compare import fidelity
from dgno.evaluation.saving import save_csv

TITLE = "DBMID: SSIM over focal offset and motion, and in the wrong order"
VIEWS = (2, 10)
PLANES = {True: (0, 2, 4, 6, 10), False: tuple(range(11))}  # by whether the profile is tiny; numbers, STEP um apart
MOTIONS = {True: (0, 10, 20, 40), False: (0, *LENGTHS)}  # px
FAMILIES = {"DBMID": (DL_DEFOCUS, DL_MOTION), "DGNO": (DGNO_DEFOCUS, DGNO_MOTION)}
INPUT, DEFOCUS, MOTION = "input", "defocus only", "motion only"
RIGHT, WRONG = "motion, then defocus", "defocus, then motion (control)"
WAYS = (INPUT, DEFOCUS, MOTION, RIGHT, WRONG)

Key = tuple[str, str, int, int]  # family, way, plane, length


def run_heatmap(bench: Bench, folder: Path, progress: Progress, remark: Remark) -> tuple[list[Table], list[str]]:
    """Mean SSIM as a table, as CSV with its spread, and as maps on one scale of colours."""
    tiny = bench.profile.generated
    roles = [role for pair in FAMILIES.values() for role in pair]
    found = find_restorers(bench, roles, functools.partial(part_of, progress, 0, 2))
    planes, lengths = PLANES[tiny], MOTIONS[tiny]
    views = views_of(bench, smear, "TCT", VIEWS)
    scores: dict[Key, list[float]] = {}
    done, todo = 0, len(views) * len(planes)
    for i, view in enumerate(views):
        sharp, motions = view.sharp(), [(n, angle) for n in lengths for angle in _angles(tiny, i, n)]
        for plane in planes:
            for length, angle in motions:
                image = view.blurred(seed_of(i, plane, length, int(angle)), z=plane * STEP, length=length, angle=angle)
                for family, (defocus, motion) in FAMILIES.items():
                    for way, restored in all_ways(image, found[defocus], found[motion]).items():
                        scores.setdefault((family, way, plane, length), []).append(fidelity(restored, sharp)[1])
            done += 1
            part_of(progress, 1, 2, done / todo)
        remark(f"{view.name}: {len(planes)} planes, {len(lengths)} motions")
    title = f"{TITLE}; profile {bench.profile.name}, protocol dgno"
    maps = {
        (family, way): np.array([[_mean(scores, family, way, z, length) for z in planes] for length in lengths])
        for family in FAMILIES
        for way in WAYS
    }
    _write(folder / "ssim.csv", scores)
    x, y = ("um from focus", [z * STEP for z in planes]), ("motion, px", [float(length) for length in lengths])
    draw_heat_maps(folder / "ssim.png", maps, x=x, y=y, title=title)
    return [_table(title, maps, planes, lengths, len(views), found.notes), _gains(maps, lengths)], [
        "ssim.csv",
        "ssim.png",
    ]


def all_ways(image: Image, defocus: Restore, motion: Restore) -> dict[str, Image]:
    """The image restored in each of `WAYS`."""
    focused, stilled = defocus(image), motion(image)
    return dict(zip(WAYS, (image, focused, stilled, defocus(stilled), motion(focused)), strict=True))


def _angles(tiny: bool, field: int, length: int) -> tuple[float, ...]:
    """Directions: both in full; in the tiny profile one for every other field."""
    both = tuple(ANGLES.values())
    return both if length and not tiny else (both[field % 2],)


def _mean(scores: Mapping[Key, Sequence[float]], family: str, way: str, plane: int, length: int) -> float:
    return statistics.fmean(scores[family, way, plane, length])


def _table(
    title: str,
    maps: Mapping[tuple[str, str], np.ndarray],
    planes: Sequence[int],
    lengths: Sequence[int],
    views: int,
    used: Sequence[str],
) -> Table:
    lines = []
    for (family, way), values in maps.items():
        if way == INPUT and family != next(iter(FAMILIES)):
            continue  # the same for both
        name = way if way == INPUT else f"{family}, {way}"
        lines += [
            (name, str(length), *(f"{value:.3f}" for value in row)) for length, row in zip(lengths, values, strict=True)
        ]
    return Table(
        title,
        ("restored by", "motion, px", *(f"{z * STEP:.2f} um" for z in planes)),
        tuple(lines),
        (
            f"Mean over {views} fields, against the field in focus without noise; the input has some. "
            "The specimen is out of focus, and moves so.",
            "Of the paper: pictures; no numbers were at hand.",
            *used,
        ),
    )


def _gains(maps: Mapping[tuple[str, str], np.ndarray], lengths: Sequence[int]) -> Table:
    """Mean gain over the squares, apart for motion, defocus and both; and what the order does."""
    moved = np.array(lengths) > 0
    lines = []
    for family in FAMILIES:
        for way in WAYS[1:]:
            gain = maps[family, way] - maps[family, INPUT]
            parts = (gain[~moved, 1:], gain[moved, :1], gain[moved, 1:])
            better = (maps[family, way] > maps[family, INPUT]).sum()
            means = (f"{part.mean():+.3f}" for part in parts)
            lines.append((f"{family}, {way}", *means, f"{better} of {gain.size}"))
    return Table(
        "DBMID: gain in SSIM over the input",
        ("", "defocus alone", "motion alone", "both", "squares that gain"),
        tuple(lines),
        ("Means over the squares of the maps above.",),
    )


def _write(path: Path, scores: Mapping[Key, Sequence[float]]) -> None:
    lines: list[Sequence[object]] = [("family", "restored by", "um from focus", "motion px", "ssim", "sd", "images")]
    for (family, way, plane, length), values in scores.items():
        spread = round(statistics.stdev(values), 5) if len(values) > 1 else ""
        place = (family, way, round(plane * STEP, 2), length)
        lines.append((*place, round(statistics.fmean(values), 5), spread, len(values)))
    save_csv(path, lines)
