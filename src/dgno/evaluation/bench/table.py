"""A table of the paper with our numbers beside its own: what a terminal, a Markdown page and a CSV file show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dgno.evaluation.bench.experiment import Column, Experiment, Row
from dgno.evaluation.bench.profiles import Profile
from dgno.evaluation.saving import save_csv, save_text

CLEAR = 2.0  # standard deviations that the best must lead by to be marked
FEWEST_SEEDS = 3  # for a standard deviation that a lead may be judged by
QUOTED, NO_NUMBER = "quoted only", "-"
MILLIONS, BILLIONS = "M", "GMAC"  # titles of what a network costs


@dataclass(frozen=True)
class Cost:
    """Of a network as the paper has it: parameters, multiply-accumulates for one image of 256 x 256 px."""

    parameters: int
    multiply_accumulates: int


@dataclass(frozen=True)
class Result:
    """One line: means over the images, one number a seed, by the titles of the columns; none if it is only quoted."""

    row: Row
    means: Mapping[str, tuple[float, ...]]
    images: Mapping[str, int]
    cost: Cost | None = None


@dataclass(frozen=True)
class Table:
    """Header, lines, and what must be said with them."""

    title: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def make_table(experiment: Experiment, profile: Profile, results: Sequence[Result], *, protocol: str) -> Table:
    """The columns paper, ours and comparable?, for every row; ours as mean and standard deviation over the seeds."""
    marked = {column.title: clearly_best(column, results) for column in experiment.columns}
    header = ["", *_cost_titles(results)]
    for column in experiment.columns:
        header += _titles(column.title, results)
    lines = []
    for result in results:
        line = [result.row.name, *_cost(result, results)]
        for column in experiment.columns:
            if len(_titles(column.title, results)) > 1:
                published = result.row.published.get(column.title)
                line.append(NO_NUMBER if published is None else f"{published:.{column.digits}f}")
            line.append(_ours(result, column, is_best=result is marked[column.title]))
        lines.append((*line, _comparable(result, experiment, profile)))
    return Table(
        f"{experiment.title}; profile {profile.name}, protocol {protocol}",
        (*header, "comparable?"),
        tuple(lines),
        _notes(experiment, profile, results),
    )


def clearly_best(column: Column, results: Sequence[Result]) -> Result | None:
    """The trained row with the best mean, if it leads the next by more than two standard deviations.

    The deviation is that of the difference of two runs, sqrt(sd1^2 + sd2^2), each over at least three seeds.
    """
    title, sign = column.title, 1 if column.smallest_is_best else -1
    there = [r for r in results if len(r.means.get(title, ())) >= FEWEST_SEEDS and _is_finite(r.means[title])]
    ranked = sorted(there, key=lambda r: sign * statistics.fmean(r.means[title]))
    if len(ranked) < 2:
        return None
    (first, second) = (r.means[title] for r in ranked[:2])
    lead = abs(statistics.fmean(first) - statistics.fmean(second))
    return ranked[0] if lead > CLEAR * math.hypot(statistics.stdev(first), statistics.stdev(second)) else None


def _is_finite(values: Sequence[float]) -> bool:
    return all(math.isfinite(value) for value in values)


def _ours(result: Result, column: Column, *, is_best: bool) -> str:
    values = result.means.get(column.title, ())
    if not values or math.isnan(values[0]):
        return NO_NUMBER
    text = f"{statistics.fmean(values):.{column.digits}f}"
    if len(values) > 1 and _is_finite(values):
        text += f" ± {statistics.stdev(values):.{column.digits}f}"
    return f"**{text}**" if is_best else text


def _cost_titles(results: Sequence[Result]) -> list[str]:
    """Parameters and multiply-accumulates."""
    return [title for name in (MILLIONS, BILLIONS) for title in _titles(name, results)]


def _titles(name: str, results: Sequence[Result]) -> list[str]:
    """A measure; with the paper's beside ours where it prints any."""
    printed = any(name in result.row.published for result in results)
    return [f"{name} paper", f"{name} ours"] if printed else [name]


def _cost(result: Result, results: Sequence[Result]) -> list[str]:
    cost = result.cost
    ours = {} if cost is None else {MILLIONS: cost.parameters / 1e6, BILLIONS: cost.multiply_accumulates / 1e9}
    cells = []
    for title in _cost_titles(results):
        name, _, whose = title.partition(" ")
        value = (result.row.published if whose == "paper" else ours).get(name)
        cells.append(NO_NUMBER if value is None else f"{value:.2f}")
    return cells


def _comparable(result: Result, experiment: Experiment, profile: Profile) -> str:
    if not result.means:
        return QUOTED
    if not result.row.published:
        return NO_NUMBER
    return (profile.note or experiment.comparable).partition(":")[0]


def _notes(experiment: Experiment, profile: Profile, results: Sequence[Result]) -> tuple[str, ...]:
    seeds = max((len(values) for r in results for values in r.means.values()), default=0)
    images = max((count for r in results for count in r.images.values()), default=0)
    notes = [
        f"Comparable? {profile.note}." if profile.note else "",
        f"Comparable in a full run? {experiment.comparable}.",
        f"Ours: mean over the images ({images}), ± standard deviation over the seeds ({seeds}). The best trained "
        f"row is marked if it leads by over {CLEAR:g} standard deviations of the difference.",
        "M and GMAC: parameters, and multiply-accumulates at 256 x 256 px, of the network at full size.",
    ]
    notes += [f"{r.row.name}: {r.row.why_not}." for r in results if r.row.why_not]
    return tuple(filter(None, notes))


def write_markdown(path: Path, tables: Sequence[Table]) -> None:
    """The tables as a page."""
    save_text(path, "\n".join(line for table in tables for line in _markdown(table)))


def _markdown(table: Table) -> list[str]:
    rule = ("---", *("---:" for _ in table.header[1:-1]), "---")
    lines = [f"## {table.title}", "", *(_piped(line) for line in (table.header, rule, *table.lines)), ""]
    return [*lines, *(f"* {note}" for note in table.notes), ""]


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """One line for every row, measure and seed, with the published number beside ours; empty if there is none."""
    lines: list[Sequence[object]] = [("row", "measure", "seed", "images", "ours", "paper")]
    for result in results:
        for title in dict.fromkeys((*result.means, *result.row.published)):
            images, paper = result.images.get(title, 0), result.row.published.get(title, "")
            for seed, value in enumerate(result.means.get(title, (math.nan,))):
                lines.append((result.row.name, title, seed, images, "" if math.isnan(value) else value, paper))
    save_csv(path, lines)
