"""Curves, and heat maps on one scale: the pictures of DBMID's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgno.evaluation.plots import save_figure

MARKERS = "osD^vPX*"
Curve = Sequence[tuple[float, float, float]]  # x, y, and the standard deviation of y; NaN where nothing was measured


@dataclass(frozen=True)
class Panel:
    """One set of axes.

    curves : by the name of the method
    levels : horizontal lines, by what they are
    base : of a logarithmic y axis; None for a linear one
    """

    title: str
    x: str
    y: str
    curves: Mapping[str, Curve]
    levels: Mapping[str, float] = field(default_factory=dict)
    base: int | None = None


def draw_curves(path: Path, panels: Sequence[Panel], *, title: str) -> None:
    """Panels side by side, two or three in a row, with one legend."""
    columns = 2 if len(panels) in (2, 4) else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.4 * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(grid, panels, strict=False):
        _panel(axis, panel)
    for axis in grid[len(panels) :]:
        axis.axis("off")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), fontsize=8)
    figure.suptitle(title, fontsize=10)
    save_figure(path, figure)


def _panel(axis: Axes, panel: Panel) -> None:
    for i, (name, curve) in enumerate(panel.curves.items()):
        x, y, sd = np.array(curve, dtype=np.float64).reshape(-1, 3).T
        line = axis.plot(x, y, marker=MARKERS[i % len(MARKERS)], markersize=4, label=name)[0]
        axis.fill_between(x, y - sd, y + sd, color=line.get_color(), alpha=0.12, linewidth=0)
    for name, level in panel.levels.items():
        axis.axhline(level, color="0.4", linestyle="--", linewidth=1, label=name)
    if panel.base is not None:
        axis.set_yscale("log", base=panel.base)
        axis.yaxis.set_major_formatter("{x:g}")
    axis.set_title(panel.title, fontsize=9)
    axis.set_xlabel(panel.x)
    axis.set_ylabel(panel.y)
    axis.grid(alpha=0.3)


def draw_heat_maps(
    path: Path,
    maps: Mapping[tuple[str, str], Float[np.ndarray, "rows columns"]],
    *,
    x: tuple[str, Sequence[float]],
    y: tuple[str, Sequence[float]],
    title: str,
) -> None:
    """A grid of maps, by the names of its rows and columns, on one scale of colours, every value written in its square.

    x, y : what the columns and the rows of a map are, and their values
    """
    rows, columns = (list(dict.fromkeys(key[i] for key in maps)) for i in (0, 1))
    low, high = (float(extreme([m for m in maps.values()])) for extreme in (np.nanmin, np.nanmax))
    size = (1.2 + (0.5 + 0.45 * len(x[1])) * len(columns), 1.0 + (0.8 + 0.36 * len(y[1])) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    for (row, column), values in maps.items():
        axis = grid[rows.index(row)][columns.index(column)]
        drawn = axis.imshow(values, vmin=low, vmax=high, cmap="viridis", origin="lower", aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            dark = value < (low + high) / 2
            text = f"{value:.2f}".removeprefix("0")
            axis.text(j, i, text, ha="center", va="center", fontsize=7, color="w" if dark else "k")
        axis.set_title(f"{row}: {column}" if row else column, fontsize=8)
        axis.set_xticks(range(len(x[1])), [f"{value:g}" for value in x[1]], fontsize=7, rotation=60)
        axis.set_yticks(range(len(y[1])), [f"{value:g}" for value in y[1]], fontsize=7)
    figure.supxlabel(x[0], fontsize=9)
    figure.supylabel(y[0], fontsize=9)
    figure.colorbar(drawn, ax=list(grid.ravel()), shrink=0.7)
    figure.suptitle(title, fontsize=10)
    save_figure(path, figure)


def draw_pictures(path: Path, rows: Mapping[str, Mapping[str, Float[np.ndarray, "h w *c"]]], *, title: str) -> None:
    """Images in [0, 1], side by side by method, a row for every condition."""
    count = max(len(pictures) for pictures in rows.values())
    height, width = next(iter(next(iter(rows.values())).values())).shape[:2]
    side = 2.6 if width < 2 * height else 4.5  # inches
    size = (side * count, (side * height / width + 0.45) * len(rows) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), count, squeeze=False)
    for axis in grid.ravel():
        axis.axis("off")
    for axes, (condition, pictures) in zip(grid, rows.items(), strict=True):
        for axis, (name, pixels) in zip(axes, pictures.items(), strict=False):
            axis.imshow(pixels.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(f"{condition}: {name}", fontsize=7)
    figure.suptitle(title, fontsize=10)
    save_figure(path, figure)
