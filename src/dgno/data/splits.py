"""Train, validation and test sets that divide no group: a well, slide, patient or stack lies in one of them.

A split is a list of records that name theirs. Where a data set comes with one, `official` checks and keeps it; a list
of groups in a CSV file (group,split) gives a published or an earlier one again.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dgno.data.records import SPLITS, Record
from dgno.errors import ConfigError, MissingInput, OutputError, UnreadableInput
from dgno.io.atomic import write_atomically

NAMES = ("train", "val", "test")
FOUR_TO_ONE = {"train": 0.8, "test": 0.2}  # of the DGNO paper, for BBBC006

GroupOf = Callable[[Record], str]


def by_group(record: Record) -> str:
    """What every reader says must stay together."""
    return record.group


def by_field(record: Record) -> str:
    """Every target with its inputs: for BBBC006 one site of a well, so that its two sites may be parted."""
    return "/".join(filter(None, (record.group, record.meta.get("site", ""))))


def split_records(
    records: Sequence[Record], fractions: Mapping[str, float] = FOUR_TO_ONE, *, seed: int = 0, by: GroupOf = by_group
) -> list[Record]:
    """The records in their order, each with a split; a function of the groups, their sizes and the seed alone.

    fractions : of the records, by split; they sum to 1. Validation and test get the whole number below, training the
        rest, so 768 fields at 4 : 1 are 615 and 153
    Groups are shuffled and, the largest first, given to the split that lacks most; so no split exceeds its share by
    more than one group, and none that is wanted stays empty. Raises ConfigError (fractions, fewer groups than splits).
    """
    _refuse_fractions(fractions)
    wanted_names = [name for name in NAMES if fractions.get(name, 0) > 0]
    sizes = Counter(by(record) for record in records)
    if len(sizes) < len(wanted_names):
        why = f"{len(sizes)} groups for {', '.join(wanted_names)}"
        raise ConfigError("there are fewer groups than splits", why=why, hint="ask for fewer splits, or add images")
    names = sorted(sizes)
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    shuffled.sort(key=lambda name: -sizes[name])
    lacking = _targets(len(records), fractions)
    chosen: dict[str, str] = {}
    for group in shuffled:
        best = max(wanted_names, key=lambda name: lacking[name])
        chosen[group] = best
        lacking[best] -= sizes[group]
    _fill_empty(chosen, shuffled, wanted_names)
    return [replace(record, split=chosen[by(record)]) for record in records]


def official(records: Sequence[Record]) -> list[Record]:
    """The records, after a check that each names its split. Raises ConfigError."""
    missing = [record for record in records if record.split not in NAMES]
    if missing:
        why = f"{len(missing)} of {len(records)} records name none"
        raise ConfigError("the data set has no split of its own", path=missing[0].target, why=why, hint="divide it")
    return list(records)


def assign(records: Sequence[Record], splits: Mapping[str, str], *, by: GroupOf = by_group) -> list[Record]:
    """The records with the splits that a list says. Raises ConfigError if it lacks a group, or names one too many."""
    groups = {by(record): record for record in records}
    if missing := sorted(groups.keys() - splits.keys()):
        why = f"it lacks {len(missing)} groups, the first is {missing[0]!r}"
        raise ConfigError("the list of splits does not fit", path=groups[missing[0]].target, why=why)
    if unknown := sorted(splits.keys() - groups.keys()):
        why = f"no image belongs to {len(unknown)} of its groups, the first is {unknown[0]!r}"
        raise ConfigError("the list of splits does not fit", why=why, hint="complete the data set")
    return [replace(record, split=splits[by(record)]) for record in records]


def read_splits(path: Path) -> dict[str, str]:
    """Splits by group, from a CSV file with the columns group and split. Raises MissingInput, UnreadableInput,
    ConfigError (columns, a group twice, an unknown split)."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns, lines = reader.fieldnames or [], list(reader)
    except FileNotFoundError as error:
        raise MissingInput("there is no such list of splits", path=path, hint="check the name") from error
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise UnreadableInput("the list of splits cannot be read", path=path, why=str(error)[:200]) from error
    if not {"group", "split"} <= set(columns) or not lines:
        raise ConfigError("no list of splits", path=path, why=f"it has {', '.join(columns)}; wanted group,split")
    found: dict[str, str] = {}
    for line in lines:
        group, split = line["group"], SPLITS.get((line["split"] or "").casefold())
        if split is None or group in found:
            why = f"group {group!r} is {line['split']!r}" + (f" and {found[group]!r}" if group in found else "")
            raise ConfigError("no list of splits", path=path, why=why, hint="say train, val or test once for each")
        found[group] = split
    return found


def write_splits(path: Path, records: Iterable[Record], *, overwrite: bool = False, by: GroupOf = by_group) -> None:
    """Write what `read_splits` reads. Raises ConfigError (a group in two splits), OutputError."""
    splits: dict[str, str] = {}
    for record in records:
        if splits.setdefault(by(record), record.split) != record.split:
            raise ConfigError(f"group {by(record)!r} is in two splits", path=record.target)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("group", "split"), *sorted(splits.items())])
    if path.exists() and not overwrite:
        raise OutputError("something has that name", path=path, hint="choose another, or replace it")

    def write(file: BinaryIO) -> None:
        file.write(text.getvalue().encode())

    def check(written: Path) -> None:
        if read_splits(written) != splits:
            raise OutputError("the list does not read back the same", path=path)

    write_atomically(path, write, check)


def _refuse_fractions(fractions: Mapping[str, float]) -> None:
    unknown = [name for name in fractions if name not in NAMES]
    good = not unknown and all(math.isfinite(f) and f >= 0 for f in fractions.values())
    if not good or not math.isclose(sum(fractions.values()), 1.0):
        why = f"they are {dict(fractions)}; wanted shares of train, val and test that sum to 1"
        raise ConfigError("the fractions make no split", why=why)


def _targets(count: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """How many records every split should have; 1e-9 keeps 0.2 x 5 from being 0."""
    wanted = {name: math.floor(count * fractions.get(name, 0) + 1e-9) for name in NAMES[1:]}
    return {"train": count - sum(wanted.values()), **wanted}


def _fill_empty(chosen: dict[str, str], largest_first: Sequence[str], wanted: Sequence[str]) -> None:
    """Give a split that got nothing the smallest group of the split that has most groups."""
    for name in wanted:
        if name not in chosen.values():
            richest = Counter(chosen.values()).most_common(1)[0][0]
            chosen[next(group for group in reversed(largest_first) if chosen[group] == richest)] = name
