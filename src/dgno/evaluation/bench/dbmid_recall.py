"""DBMID: what a detector finds in blurred, restored and sharp images.

The paper's detector of cancerous cells is private. Any other can be plugged in (--detector, see `downstream.plugin`);
by default nuclei are found by classical segmentation.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.data.layouts.dbmid import PIXEL_SIZE, STEP
from dgno.evaluation.bench.dbmid_plots import Panel, draw_curves, draw_pictures
from dgno.evaluation.bench.dbmid_restorers import (
    DGNO_DEFOCUS,
    DGNO_MOTION,
    DL_DEFOCUS,
    DL_MOTION,
    Restorers,
    Role,
    find_restorers,
)
from dgno.evaluation.bench.dbmid_views import ANGLES, LENGTHS, View, seed_of, smear, views_of
from dgno.evaluation.bench.run import Bench, Progress, Remark, part_of
from dgno.evaluation.bench.table import Table
from dgno.evaluation.downstream.matching import Matches
from dgno.evaluation.downstream.plugin import Detections, Plugin, judge, load_plugin
from dgno.evaluation.saving import save_csv

TITLE = "DBMID: recall of a detector, blurred, restored and sharp"
VIEWS = (3, 10)
RADIUS = 6.0  # um within which a cell is the same
DEFAULT = "stained-nuclei"
FAMILIES = {"DBMID": (DL_DEFOCUS, DL_MOTION), "DGNO": (DGNO_DEFOCUS, DGNO_MOTION)}
SHARP, BLURRED = "sharp", "blurred"


@dataclass(frozen=True)
class Condition:
    """A blur: so many planes out of focus, and motion of so many px."""

    plane: int = 0
    length: int = 0

    def __str__(self) -> str:
        parts = [f"{self.plane * STEP:.2f} um"] if self.plane else []
        return " and ".join([*parts, *([f"{self.length} px"] if self.length else [])])

    def restored(self, image: Image, found: Restorers, family: tuple[Role, Role]) -> Image:
        """From what it is blurred by, motion first."""
        defocus, motion = family
        image = found[motion](image) if self.length else image
        return found[defocus](image) if self.plane else image


TINY = (*(Condition(plane=k) for k in (2, 4, 6)), *(Condition(length=n) for n in (10, 20, 40)), Condition(3, 20))
FULL = (
    *(Condition(plane=k) for k in range(1, 11)),
    *(Condition(length=n) for n in LENGTHS),
    *(Condition(k, n) for k in (2, 4, 6) for n in (10, 20, 40)),
)
Key = tuple[Condition, str]


def run_recall(bench: Bench, folder: Path, progress: Progress, remark: Remark) -> tuple[list[Table], list[str]]:
    """Recall and F1 of all fields together, by blur and method; CSV, curves, and what was found in one field."""
    detect = load_plugin(bench.detector or DEFAULT)
    roles = [role for pair in FAMILIES.values() for role in pair]
    found = find_restorers(bench, roles, functools.partial(part_of, progress, 0, 2))
    conditions = TINY if bench.profile.generated else FULL
    counts: dict[Key, Matches] = {}
    views = views_of(bench, smear, "TCT", VIEWS)
    for i, view in enumerate(views):
        for j, condition in enumerate(conditions):
            for name, image in _images(view, i, condition, found).items():
                judged = judge(detect(_picture(image)), _truth(view, detect), radius=RADIUS / PIXEL_SIZE)
                counts[condition, name] = counts.get((condition, name), Matches(0, 0, 0)) + judged
            part_of(progress, 1, 2, (i * len(conditions) + j + 1) / (len(views) * len(conditions)))
        remark(f"{view.name}: {len(_truth(view, detect))} cells")
    title = f"{TITLE}; profile {bench.profile.name}, detector {bench.detector or DEFAULT}"
    _write(folder / "recall.csv", counts)
    _draw(folder / "recall.png", counts, title=title)
    shown = {
        str(c): {name: _marked(image, detect) for name, image in _images(views[0], 0, c, found).items()}
        for c in (conditions[1], conditions[-1])
    }
    draw_pictures(folder / "found.png", shown, title="What is found")
    table = _table(title, counts, views, found.notes)
    return [table], ["recall.csv", "recall.png", "found.png"]


def _images(view: View, number: int, condition: Condition, found: Restorers) -> dict[str, Image]:
    angle = tuple(ANGLES.values())[number % len(ANGLES)]
    seed = seed_of(number, condition.plane, condition.length)
    blurred = view.blurred(seed, z=condition.plane * STEP, length=condition.length, angle=angle)
    restored = {name: condition.restored(blurred, found, family) for name, family in FAMILIES.items()}
    return {BLURRED: blurred, **restored, SHARP: view.sharp()}


def _truth(view: View, detect: Plugin) -> Detections:
    """Where the cells are: as they were drawn, or as the detector finds them in the sharp field."""
    return view.cells if view.cells is not None else detect(_picture(view.sharp()))


def _picture(image: Image) -> np.ndarray:
    return image.pixels.astype(np.float64).clip(0, 1)


def _marked(image: Image, detect: Plugin) -> np.ndarray:
    """The image with red frames around boxes, and around the 7 x 7 px of points."""
    shown = _picture(image)
    found, frames = detect(shown), np.zeros(shown.shape[:2], bool)
    for one in found if found.shape[1] == 4 else np.hstack([found - 3, found + 4]):
        top, left, bottom, right = (max(round(float(side)), 0) for side in one)
        frame = np.zeros_like(frames)
        frame[top:bottom, left:right] = True
        frame[top + 1 : bottom - 1, left + 1 : right - 1] = False
        frames |= frame
    shown[frames] = (1.0, 0.0, 0.0)
    return shown


def _names(counts: Mapping[Key, Matches]) -> list[str]:
    return list(dict.fromkeys(name for _, name in counts))


def _conditions(counts: Mapping[Key, Matches]) -> list[Condition]:
    return list(dict.fromkeys(condition for condition, _ in counts))


def _table(title: str, counts: Mapping[Key, Matches], views: Sequence[View], used: Sequence[str]) -> Table:
    names = _names(counts)
    lines = [
        (
            str(condition),
            *(f"{counts[condition, name].recall:.3f}" for name in names),
            *(f"{counts[condition, name].f1:.3f}" for name in names),
        )
        for condition in _conditions(counts)
    ]
    drawn = all(view.cells is not None for view in views)
    truth = "as they were drawn" if drawn else "as the detector finds them in the sharp fields"
    first = next(iter(counts.values()))
    return Table(
        title,
        ("blur", *(f"recall, {name}" for name in names), *(f"F1, {name}" for name in names)),
        tuple(lines),
        (
            f"{first.true_positives + first.false_negatives} cells in {len(views)} fields, {truth}; counts of all "
            "fields together. Found: within 6 um, or for two boxes from an overlap of a half on.",
            "Recall alone rewards finding too much, F1 does not.",
            "Of the paper: recall of cancerous cells by a private detector; no numbers were at hand.",
            *used,
        ),
    )


def _write(path: Path, counts: Mapping[Key, Matches]) -> None:
    lines: list[Sequence[object]] = [
        ("um from focus", "motion px", "method", "found", "wrong", "missed", "recall", "f1"),
    ]
    for (condition, name), of in counts.items():
        numbers = (of.true_positives, of.false_positives, of.false_negatives, round(of.recall, 5), round(of.f1, 5))
        lines.append((round(condition.plane * STEP, 2), condition.length, name, *numbers))
    save_csv(path, lines)


def _draw(path: Path, counts: Mapping[Key, Matches], *, title: str) -> None:
    parts = {
        ("defocus", "um from focus"): [(c, c.plane * STEP) for c in _conditions(counts) if not c.length],
        ("motion", "length of the motion, px"): [(c, float(c.length)) for c in _conditions(counts) if not c.plane],
    }
    panels = [
        Panel(what, x, "recall", {n: [(at, counts[c, n].recall, 0.0) for c, at in of] for n in _names(counts)})
        for (what, x), of in parts.items()
    ]
    draw_curves(path, panels, title=title)
