"""Scores of all images together: means, tables, CSV."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgno.evaluation.compare import Score
from dgno.evaluation.downstream.tasks import pooled_precision
from dgno.evaluation.measures import MEASURES
from dgno.evaluation.protocols import DGNO, Protocol
from dgno.evaluation.saving import save_csv
from dgno.metrics.pixel_errors import decibels


@dataclass(frozen=True)
class Spread:
    """One measure over images: mean and standard deviation over the n that it is defined for, and how many it is not.

    pooled : of all images together, which is not the mean over them: dB of all squared errors, or precision of all
        matches; None: not pooled
    """

    mean: float
    sd: float
    n: int
    skipped: int
    pooled: float | None = None


@dataclass(frozen=True)
class Summary:
    """One method over all images: mean and standard deviation, which is NaN where an image was restored perfectly.

    measures : others by name
    """

    method: str
    n: int
    psnr: float
    psnr_sd: float
    ssim: float
    ssim_sd: float
    seconds_per_megapixel: float
    measures: Mapping[str, Spread] = field(default_factory=dict)


def summarise(scores: Iterable[Score]) -> list[Summary]:
    """One line a method, in the order of their first appearance."""
    by_method: dict[str, list[Score]] = {}
    for score in scores:
        by_method.setdefault(score.method, []).append(score)
    return [
        Summary(
            method,
            len(group),
            *_mean_sd([s.psnr for s in group]),
            *_mean_sd([s.ssim for s in group]),
            statistics.fmean(s.seconds_per_megapixel for s in group),
            {name: _spread(name, group) for name in group[0].measures},
        )
        for method, group in by_method.items()
    ]


def _spread(name: str, group: Sequence[Score]) -> Spread:
    values = [value for score in group if (value := score.measures[name]) is not None]
    squares = [score.squares[name] for score in group if name in score.squares]
    pooled = decibels(sum(e for e, _ in squares) / sum(n for _, n in squares), 1.0) if squares else None
    if name in group[0].matches:
        pooled = pooled_precision([score.matches[name] for score in group])
    mean, sd = _mean_sd(values) if values else (math.nan, math.nan)
    return Spread(mean, sd, len(values), len(group) - len(values), pooled)


def _mean_sd(values: Sequence[float]) -> tuple[float, float]:
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, statistics.stdev(values) if math.isfinite(mean) else math.nan  # equal images: infinite PSNR


COLUMNS = ("method", "n", "PSNR dB", "sd", "SSIM", "sd", "s/Mpx")


def table(lines: Sequence[Summary]) -> tuple[list[str], list[list[str | None]]]:
    """Columns, and a row of text for every method; None where a measure is defined for no image."""
    columns = list(COLUMNS[:-1])
    for name in lines[0].measures if lines else ():
        columns += [name, "sd"]
    return [*columns, COLUMNS[-1]], [_row(line) for line in lines]


def _row(line: Summary) -> list[str | None]:
    row: list[str | None] = [line.method, str(line.n)]
    row += [f"{line.psnr:.2f}", f"{line.psnr_sd:.2f}", f"{line.ssim:.4f}", f"{line.ssim_sd:.4f}"]
    for name, spread in line.measures.items():
        row += [f"{value:.{_digits(name)}f}" if spread.n else None for value in (spread.mean, spread.sd)]
    return [*row, f"{line.seconds_per_megapixel:.2f}"]


def pooled_table(lines: Sequence[Summary]) -> tuple[list[str], list[list[str | None]]]:
    """The measures that are pooled over images, a row for every method; no rows where none is."""
    names = [name for name in lines[0].measures if any(line.measures[name].pooled is not None for line in lines)]
    rows = [[line.method, *(_pooled(line.measures[name], name) for name in names)] for line in lines if names]
    return ["method", *names], rows


def _pooled(spread: Spread, name: str) -> str | None:
    return None if spread.pooled is None else f"{spread.pooled:.{_digits(name)}f}"


def _digits(name: str) -> int:
    return MEASURES[name].digits if name in MEASURES else 4


def skipped(lines: Sequence[Summary]) -> list[str]:
    """What to say of measures that are not defined for all images."""
    return [
        f"{name}: not defined for {spread.skipped} of {line.n} images, which are left out of its mean"
        for line in lines[:1]
        for name, spread in line.measures.items()
        if spread.skipped
    ]


def write_csv(path: Path, scores: Sequence[Score], protocol: Protocol = DGNO) -> None:
    """All scores, one line each, empty where a measure is not defined; the last column names the protocol."""
    more = list(scores[0].measures) if scores else []
    lines: list[Sequence[object]] = [["image", "method", "psnr", "ssim", *more, "seconds_per_megapixel", "protocol"]]
    for s in scores:
        values = (s.measures[name] for name in more)
        lines.append([s.image, s.method, s.psnr, s.ssim, *values, s.seconds_per_megapixel, protocol.name])
    save_csv(path, lines)
