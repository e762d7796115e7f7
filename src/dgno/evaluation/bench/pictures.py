"""A table as a picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgno.evaluation.bench.experiment import Column, Experiment
from dgno.evaluation.bench.table import Result
from dgno.evaluation.plots import save_figure


def draw_table(path: Path, experiment: Experiment, results: Sequence[Result], *, title: str) -> None:
    """Every column as a row of dots: ours with the standard deviation over the seeds, and the paper's."""
    figure = Figure(figsize=(3.2 + 2.6 * len(experiment.columns), 1.2 + 0.28 * len(results)), layout="constrained")
    axes = figure.subplots(1, len(experiment.columns), squeeze=False, sharey=True)[0]
    for axis, column in zip(axes, experiment.columns, strict=True):
        _dots(axis, column, results)
    axes[0].set_yticks(range(len(results)), [result.row.name for result in results])
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(title, fontsize=10)
    save_figure(path, figure)


def _dots(axis: Axes, column: Column, results: Sequence[Result]) -> None:
    measured = [(i, result.means.get(column.title, ())) for i, result in enumerate(results)]
    ours = [(i, values) for i, values in measured if values and np.isfinite(values).all()]
    paper = [(i, r.row.published[column.title]) for i, r in enumerate(results) if column.title in r.row.published]
    spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for _, values in ours]
    means, lines = [statistics.fmean(values) for _, values in ours], [i for i, _ in ours]
    axis.errorbar(means, lines, xerr=spread, fmt="o", capsize=3, label="here, ± sd over seeds")
    axis.plot([value for _, value in paper], [i for i, _ in paper], "x", color="0.4", label="the paper")
    axis.set_title(column.title, fontsize=9)
    axis.grid(axis="x", alpha=0.3)
