"""The files that an evaluation leaves: scores, their distribution, examples and error maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dgno.data.records import Record
from dgno.evaluation.compare import Method, Score
from dgno.evaluation.plots import box_plots, choose_examples, draw_examples, error_maps
from dgno.evaluation.protocols import DGNO, Protocol
from dgno.evaluation.saving import make_folder
from dgno.evaluation.summaries import write_csv


def write_report(
    folder: Path,
    records: Sequence[Record],
    scores: Sequence[Score],
    methods: Mapping[str, Method],
    protocol: Protocol = DGNO,
) -> tuple[str, ...]:
    """Write scores.csv, scores.png, examples.png and, of several methods, errors.png; gives their names.

    The folder is made if it is missing; files of these names are replaced. Raises OutputError.
    """
    make_folder(folder)
    write_csv(folder / "scores.csv", scores, protocol)
    box_plots(folder / "scores.png", scores)
    chosen = choose_examples(records, scores, methods, protocol)
    draw_examples(folder / "examples.png", chosen, protocol)
    if len(methods) < 2:
        return "scores.csv", "scores.png", "examples.png"
    error_maps(folder / "errors.png", chosen, protocol)
    return "scores.csv", "scores.png", "examples.png", "errors.png"
