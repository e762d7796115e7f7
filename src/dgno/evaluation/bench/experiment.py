"""What a table of the paper is made of: rows, columns, and the data that they are trained and measured on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.evaluation.compare import Method
from dgno.evaluation.protocols import Prepared, Protocol
from dgno.networks.presets import NetworkConfig

Key = str  # of a published number: the title of its column


@dataclass(frozen=True)
class Outcome:
    """One restored image, and the planes of it and of the sharp one as the protocol compares them."""

    record: Record
    restored: Image
    planes: tuple[Prepared, ...]
    protocol: Protocol


@dataclass(frozen=True)
class FineTuning:
    """Training on few images, going on from another training.

    start : data set of that other training; "": there is none, the network begins afresh
    fraction : share of the groups that is trained on; drawn by the data set's seed
    steps, learning_rate : shares of those of a training
    """

    start: str = ""
    fraction: float = 0.1
    steps: float = 1.0
    learning_rate: float = 1.0


@dataclass(frozen=True)
class Row:
    """One line: a network that is trained here, a method that needs no training, or neither: quoted alone.

    train : data set that it is trained on in place of the experiment's
    tuning : how, where it is not trained on all of that data set
    published : numbers of the paper by the titles of their columns, as printed there
    why_not : for a line that is only quoted, what keeps it from being run
    """

    name: str
    network: NetworkConfig | None = None
    method: Method | None = None
    train: str = ""
    tuning: FineTuning | None = None
    published: Mapping[Key, float] = field(default_factory=dict)
    why_not: str = ""


@dataclass(frozen=True)
class Column:
    """One measure of restored images.

    measure : of one restored image; NaN where it has none
    wanted : which records count
    digits : printed after the point
    smallest_is_best : as of distances
    """

    title: str
    measure: Callable[[Outcome], float]
    wanted: Callable[[Record], bool] = lambda record: True
    digits: int = 2
    smallest_is_best: bool = False


@dataclass(frozen=True)
class Experiment:
    """A table, or the part of one that lies on one data set.

    train, test : names of data sets, see `datasets`
    comparable : how a full run compares with the published numbers
    tiny_steps : of every training in the tiny profile, so that the whole table takes minutes
    maps : the two rows whose errors are drawn against each other, as in Fig. 6c
    """

    title: str
    train: str
    test: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    comparable: str
    tiny_steps: int
    maps: tuple[str, str] | None = None


def mean_or_nan(values: Sequence[float]) -> float:
    """Mean of the numbers that are there; infinite ones (equal images) make it infinite."""
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan
