"""From the name of a table to its files: table.md, and for each part its CSV file and pictures."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from dgno.checks import refuse_choice
from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.bench.catalogue import SPEED, TABLES, listed
from dgno.evaluation.bench.datasets import DATASETS
from dgno.evaluation.bench.experiment import Experiment
from dgno.evaluation.bench.options import refuse_options
from dgno.evaluation.bench.pictures import draw_table
from dgno.evaluation.bench.run import Bench, Progress, Remark, part_of
from dgno.evaluation.bench.speed import speed_table
from dgno.evaluation.bench.studies import STUDIES
from dgno.evaluation.bench.table import Table, make_table, write_csv, write_markdown
from dgno.evaluation.pairs import read_pair
from dgno.evaluation.plots import Example, error_maps
from dgno.io.atomic import make_folder
from dgno.io.output import check_place

PAGE = "table.md"  # written last


def run_table(
    name: str,
    bench: Bench,
    progress: Progress = lambda share: None,
    remark: Remark = lambda text: None,
    *,
    overwrite: bool = False,
) -> tuple[list[Table], list[str]]:
    """The tables of a name, and the files written to OUT/NAME.

    overwrite : replace a finished table, which is else refused; parts of one that is not finished are replaced anyway

    Raises ConfigError for an unknown name and for options that it does not take, MissingInput for a published data set
    that is not there, OutputError, and what reading, training and restoring do.
    """
    if wrong := refuse_choice("table", name, listed()):
        raise ConfigError(wrong[0])
    refuse_options(name, bench, STUDIES[name].takes if name in STUDIES else ())
    folder = bench.out / name
    make_folder(folder)
    check_place(folder / PAGE, overwrite=overwrite)
    tables, written = [], list[str]()
    if name == SPEED:
        tables = [speed_table(bench.profile, bench.device, progress)]
    elif name in STUDIES:
        tables, written = STUDIES[name].run(bench, folder, progress, remark)
    else:
        tables, written = _experiments(TABLES[name], bench, folder, progress, remark)
    write_markdown(folder / PAGE, tables)
    return tables, [PAGE, *written]


def _experiments(
    experiments: Sequence[Experiment], bench: Bench, folder: Path, progress: Progress, remark: Remark
) -> tuple[list[Table], list[str]]:
    tables: list[Table] = []
    written: list[str] = []
    for i, experiment in enumerate(experiments):
        part = f"-{i + 1}" if len(experiments) > 1 else ""
        share_of = functools.partial(part_of, progress, i, len(experiments))
        results = bench.run(experiment, share_of, remark)
        table = make_table(experiment, bench.profile, results, protocol=DATASETS[experiment.test].protocol.name)
        tables.append(table)
        write_csv(folder / f"table{part}.csv", results)
        draw_table(folder / f"table{part}.png", experiment, results, title=table.title)
        written += [f"table{part}.csv", f"table{part}.png"]
        if experiment.maps:
            draw_maps(folder / f"maps{part}.png", experiment, bench)
            written.append(f"maps{part}.png")
    return tables, written


def draw_maps(path: Path, experiment: Experiment, bench: Bench) -> None:
    """Where one row errs less than another, on three test images of different scenes, networks of the first seed."""
    assert experiment.maps is not None
    protocol, rows = DATASETS[experiment.test].protocol, {row.name: row for row in experiment.rows}
    methods = {name: bench.method(rows[name], experiment, 0, lambda share: None) for name in experiment.maps}
    scenes: dict[Path, Record] = {record.target: record for record in bench.library.test_records(experiment.test)}
    shown = []
    for record in list(scenes.values())[:3]:
        pair = read_pair(record, protocol)
        restored = {name: method(pair.blurred, record) for name, method in methods.items()}
        shown.append(Example("test", record.key, restored, pair.sharp))
    error_maps(path, shown, protocol)
