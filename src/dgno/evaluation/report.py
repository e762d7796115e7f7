"""The files that an evaluation leaves: scores, their distribution, examples and error maps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dgno.data.records import Record
from dgno.evaluation.compare import Method, Score
from dgno.evaluation.plots import box_plots, choose_examples, draw_examples, error_maps
from dgno.evaluation.protocols import DGNO, Protocol
from dgno.evaluation.summaries import write_csv
from dgno.io.atomic import make_folder
from dgno.io.output import check_place

NAMES = ("scores.csv", "scores.png", "examples.png", "errors.png")


def check_report(folder: Path, records: Sequence[Record], *, overwrite: bool) -> None:
    """Make the folder of a report, and refuse one that holds a report already: before anything is computed.

    overwrite : it may be replaced, but for files that are the data
    Raises OutputExists, WouldOverwriteInput and other OutputError.
    """
    make_folder(folder)
    there = [folder / name for name in NAMES if os.path.lexists(folder / name)]
    data = [path for record in records for path in record.files] if there else []
    for path in there:
        check_place(path, inputs=data, overwrite=overwrite)


def write_report(
    folder: Path,
    records: Sequence[Record],
    scores: Sequence[Score],
    methods: Mapping[str, Method],
    protocol: Protocol = DGNO,
) -> tuple[str, ...]:
    """Write scores.csv, scores.png, examples.png and, of several methods, errors.png; gives their names.

    The folder is made if it is missing; files of these names are replaced, and none of an older report stays beside
    the new one. Raises OutputError.
    """
    make_folder(folder)
    write_csv(folder / "scores.csv", scores, protocol)
    box_plots(folder / "scores.png", scores)
    chosen = choose_examples(records, scores, methods, protocol)
    draw_examples(folder / "examples.png", chosen, protocol)
    if len(methods) < 2:
        (folder / "errors.png").unlink(missing_ok=True)
        return NAMES[:-1]
    error_maps(folder / "errors.png", chosen, protocol)
    return NAMES
