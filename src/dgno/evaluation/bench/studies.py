"""Tables that are more than rows of networks and columns of measures: each makes its own lines and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dgno.evaluation.bench import (
    dbmid,
    dbmid_fwhm,
    dbmid_heatmap,
    dbmid_ihc,
    dbmid_offset,
    dbmid_recall,
    dbmid_types,
    dbmid_usaf,
)
from dgno.evaluation.bench.options import DETECTOR, WEIGHTS
from dgno.evaluation.bench.run import Bench, Progress, Remark
from dgno.evaluation.bench.table import Table


@dataclass(frozen=True)
class Study:
    """What it compares, and what runs it: into a folder; gives its tables and the names of the files written.

    takes : options of the bench that it heeds, beside those that all do
    """

    title: str
    run: Callable[[Bench, Path, Progress, Remark], tuple[list[Table], list[str]]]
    takes: tuple[str, ...] = ()


STUDIES: dict[str, Study] = {
    "dbmid-table2": Study(dbmid_types.TITLE, dbmid_types.run_table_2),
    "dbmid-table3": Study(dbmid.TABLE_3.title, dbmid.run_table_3),
    "dbmid-ssim-offset": Study(dbmid_offset.TITLE, dbmid_offset.run_offset),
    "dbmid-usaf": Study(dbmid_usaf.TITLE, dbmid_usaf.run_usaf, (WEIGHTS,)),
    "dbmid-fwhm": Study(dbmid_fwhm.TITLE, dbmid_fwhm.run_fwhm, (WEIGHTS,)),
    "dbmid-heatmap": Study(dbmid_heatmap.TITLE, dbmid_heatmap.run_heatmap, (WEIGHTS,)),
    "dbmid-recall": Study(dbmid_recall.TITLE, dbmid_recall.run_recall, (WEIGHTS, DETECTOR)),
    "dbmid-ihc": Study(dbmid_ihc.TITLE, dbmid_ihc.run_ihc, (WEIGHTS,)),
}
