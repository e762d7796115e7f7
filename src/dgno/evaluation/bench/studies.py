"""Tables that are more than rows of networks and columns of measures: each makes its own lines and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dgno.evaluation.bench import dbmid, dbmid_offset, dbmid_types
from dgno.evaluation.bench.run import Bench, Progress, Remark
from dgno.evaluation.bench.table import Table


@dataclass(frozen=True)
class Study:
    """What it compares, and what runs it: into a folder; gives its tables and the names of the files written."""

    title: str
    run: Callable[[Bench, Path, Progress, Remark], tuple[list[Table], list[str]]]


STUDIES: dict[str, Study] = {
    "dbmid-table2": Study(dbmid_types.TITLE, dbmid_types.run_table_2),
    "dbmid-table3": Study(dbmid.TABLE_3.title, dbmid.run_table_3),
    "dbmid-ssim-offset": Study(dbmid_offset.TITLE, dbmid_offset.run_offset),
}
