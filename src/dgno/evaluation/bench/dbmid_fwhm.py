"""DBMID: the width of immune cells after motion of 5 to 40 px in both directions, blurred and restored.

Full width at half maximum along the motion, in the same square of all images; 60 cells, 10 fields x 6, in full.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.data.layouts.dbmid import PIXEL_SIZE
from dgno.errors import ConfigError, UnsupportedInput
from dgno.evaluation.bench.dbmid_plots import Panel, draw_curves, draw_pictures
from dgno.evaluation.bench.dbmid_restorers import DGNO_MOTION, DL_MOTION, Restore, find_restorers, unchanged
from dgno.evaluation.bench.dbmid_views import ANGLES, CELL_ROOM, LENGTHS, View, lone_cells, seed_of, views_of
from dgno.evaluation.bench.run import Bench, Progress, Remark, part_of
from dgno.evaluation.bench.table import NO_NUMBER, Table
from dgno.evaluation.downstream.detectors import stained_nuclei
from dgno.evaluation.downstream.fwhm import fwhm
from dgno.evaluation.downstream.matching import Points
from dgno.evaluation.saving import save_csv

TITLE = "DBMID: width of cells after motion of 5 to 40 px"
VIEWS, CELLS = (2, 10), 6  # fields in the tiny and the full profile, and cells of each
NUCLEUS = (8.0, 30.0)  # px, the widths of what is taken for a cell's nucleus in a field that nobody has marked
SHOWN = 20  # px of motion of the pictures
SHARP, BLURRED = "sharp", "blurred"


@dataclass(frozen=True)
class Widths:
    """Of all cells that have one, um; and how many have none, as it has two lobes or is lost."""

    um: list[float] = field(default_factory=list)
    without: list[str] = field(default_factory=list)

    def add(self, crop: np.ndarray, angle: float, name: str) -> None:
        """The width of the dark object in the middle of a gray square."""
        try:
            self.um.append(fwhm(crop, angle=angle, bright=False).px * PIXEL_SIZE)
        except UnsupportedInput:
            self.without.append(name)

    def told(self) -> str:
        """Mean ± standard deviation, and how many cells have no width."""
        spread = f" ± {statistics.stdev(self.um):.2f}" if len(self.um) > 1 else ""
        lost = f" ({len(self.without)} none)" if self.without else ""
        return (f"{statistics.fmean(self.um):.2f}{spread}" if self.um else NO_NUMBER) + lost


Key = tuple[str, int, str]  # direction, length, method


def run_fwhm(bench: Bench, folder: Path, progress: Progress, remark: Remark) -> tuple[list[Table], list[str]]:
    """Widths by direction, length and method as a table, as CSV and as curves; and a cell in pictures."""
    found = find_restorers(bench, (DL_MOTION, DGNO_MOTION), functools.partial(part_of, progress, 0, 2))
    methods: dict[str, Restore] = {BLURRED: unchanged, **{role.title: found[role] for role in (DL_MOTION, DGNO_MOTION)}}
    views = views_of(bench, lone_cells, "TCT", VIEWS)
    cells = [chosen_cells(view) for view in views]
    widths: dict[Key, Widths] = {}
    shown: dict[str, dict[str, np.ndarray]] = {}
    done, todo = 0, len(views) * len(ANGLES) * len(LENGTHS)
    for i, view in enumerate(views):
        for direction, angle in ANGLES.items():
            for length in LENGTHS:
                image = view.blurred(seed_of(i, int(angle), length), length=length, angle=angle)
                images = {SHARP: view.sharp(), **{name: restore(image) for name, restore in methods.items()}}
                for name, of in images.items():
                    crops = [_square(of, cell) for cell in cells[i]]
                    measured = widths.setdefault((direction, length, name), Widths())
                    for j, crop in enumerate(crops):
                        measured.add(crop.mean(-1).astype(np.float64), angle, f"{view.name}, cell {j + 1}")
                    if i == 0 and length == SHOWN:
                        shown.setdefault(f"{length} px, {direction}", {})[name] = crops[0]
                done += 1
                part_of(progress, 1, 2, done / todo)
        remark(f"{view.name}: {len(cells[i])} cells")
    title = f"{TITLE}, um; profile {bench.profile.name}"
    count = sum(map(len, cells))
    table = _table(title, widths, [SHARP, *methods], count, found.notes)
    _write(folder / "widths.csv", widths)
    draw_curves(folder / "widths.png", _panels(widths, list(methods)), title=f"{title}, {count} cells")
    draw_pictures(folder / "cells.png", shown, title="The first cell")
    return [table], ["widths.csv", "widths.png", "cells.png"]


def chosen_cells(view: View) -> Points:
    """The cells that are drawn; of a recorded field the first six lone nuclei that have a width in both directions.

    Raises ConfigError for a field without any.
    """
    if view.cells is not None:
        return view.cells
    pixels = view.sharp().pixels.astype(np.float64)
    labels, half = stained_nuclei(pixels), CELL_ROOM // 2
    chosen: list[np.ndarray] = []
    for label in range(1, int(labels.max()) + 1):
        centre = np.argwhere(labels == label).mean(0)
        inside = (centre >= half).all() and (centre < np.array(labels.shape) - half).all()
        if inside and len(chosen) < CELLS and _stands_alone(labels, label, centre, pixels):
            chosen.append(centre)
    if not chosen:
        raise ConfigError(f"the field {view.name} has no nucleus alone in {CELL_ROOM} x {CELL_ROOM} px")
    return np.array(chosen)


def _stands_alone(labels: np.ndarray, label: int, centre: np.ndarray, pixels: np.ndarray) -> bool:
    rows, columns = _around(centre)
    if set(np.unique(labels[rows, columns])) - {0, label}:
        return False
    crop = pixels[rows, columns].mean(-1)
    try:
        found = [fwhm(crop, angle=angle, bright=False).px for angle in ANGLES.values()]
    except UnsupportedInput:
        return False
    return all(NUCLEUS[0] <= width <= NUCLEUS[1] for width in found)


def _around(centre: np.ndarray) -> tuple[slice, slice]:
    top, left = (round(float(x)) - CELL_ROOM // 2 for x in centre)
    return slice(max(top, 0), top + CELL_ROOM), slice(max(left, 0), left + CELL_ROOM)


def _square(image: Image, centre: np.ndarray) -> np.ndarray:
    return image.pixels[_around(centre)]


def _table(title: str, widths: Mapping[Key, Widths], names: Sequence[str], cells: int, used: Sequence[str]) -> Table:
    lines = [
        (direction, str(length), *(widths[direction, length, name].told() for name in names))
        for direction in ANGLES
        for length in LENGTHS
    ]
    return Table(
        title,
        ("motion", "px", *names),
        tuple(lines),
        (
            f"Full width at half maximum along the motion, mean ± standard deviation over the cells ({cells}); in "
            "brackets how many have none, as their profile has two lobes or is lost in its ground.",
            "Of the paper no numbers were at hand: it measures 60 immune cells, 10 fields x 6.",
            *used,
        ),
    )


def _write(path: Path, widths: Mapping[Key, Widths]) -> None:
    lines: list[Sequence[object]] = [("motion", "px", "method", "mean um", "sd um", "cells", "without a width")]
    for (direction, length, name), found in widths.items():
        mean = round(statistics.fmean(found.um), 4) if found.um else ""
        spread = round(statistics.stdev(found.um), 4) if len(found.um) > 1 else ""
        lines.append((direction, length, name, mean, spread, len(found.um), len(found.without)))
    save_csv(path, lines)


def _panels(widths: Mapping[Key, Widths], names: Sequence[str]) -> list[Panel]:
    panels = []
    for direction in ANGLES:
        curves = {name: [_point(length, widths[direction, length, name].um) for length in LENGTHS] for name in names}
        sharp = widths[direction, LENGTHS[0], SHARP].um
        level = {"sharp, mean": statistics.fmean(sharp)} if sharp else {}
        panels.append(Panel(f"{direction} motion", "length of the motion, px", "width, um", curves, level))
    return panels


def _point(length: int, um: Sequence[float]) -> tuple[float, float, float]:
    if not um:
        return float(length), float("nan"), float("nan")
    return float(length), statistics.fmean(um), statistics.stdev(um) if len(um) > 1 else 0.0
