"""The names that `dgno bench` knows, each with the experiments that make up the table."""

from __future__ import annotations

from dgno.evaluation.bench import controlled, dbmid, paper
from dgno.evaluation.bench.experiment import Experiment
from dgno.evaluation.bench.studies import STUDIES

TABLES: dict[str, tuple[Experiment, ...]] = {
    "table1": (paper.TABLE_1_W1, paper.TABLE_1_W2, paper.TABLE_1_HISTECH),
    "table2": (paper.TABLE_2,),
    "table2-s1": (controlled.TABLE_2_ON_S1,),
    "table3": (paper.TABLE_3,),
    "table4": (paper.TABLE_4,),
    "table5": (paper.TABLE_5,),
    "table6": (paper.TABLE_6,),
    "table7": (paper.TABLE_7,),
    "table8": (paper.TABLE_8,),
    "table9": (paper.TABLE_9,),
    "table10": (paper.TABLE_10,),
    "table12": (paper.TABLE_12,),
    "table13": (paper.TABLE_13,),
    "s1": (controlled.S1_STRONG, controlled.S1_WIDE),
    "s2": (controlled.S2,),
    "s3": (paper.TABLE_4,),
    "fig6": (paper.FIGURE_6,),
    "dbmid-second-microscope": (dbmid.SECOND,),
}
SPEED = "table11"  # measured, not trained: see `speed`


def listed() -> dict[str, str]:
    """Every name, and what it compares."""
    titles = {name: "; ".join(part.title for part in parts) for name, parts in TABLES.items()}
    titles |= {name: study.title for name, study in STUDIES.items()}
    return dict(sorted((titles | {SPEED: "Table 11: memory and throughput"}).items(), key=_order))


def _order(item: tuple[str, str]) -> tuple[bool, int, str]:
    """The paper's tables by their numbers, then the others."""
    number = item[0].removeprefix("table").partition("-")[0]
    return not number.isdigit(), int(number) if number.isdigit() else 0, item[0]
