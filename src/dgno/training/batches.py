"""What a run trains on and validates with: simulated or recorded pairs, as its configuration says."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dgno.data.recorded import PairSource, RecordedPairs
from dgno.data.recorded_types import RecordedTypes
from dgno.data.records import Record
from dgno.data.scenes import SimulatedPairs, data_files
from dgno.data.typed_crops import TypedCrops
from dgno.data.unusable import Unusable
from dgno.optics.blur_types import TypedRange
from dgno.training.config import TrainConfig

Batches = SimulatedPairs | RecordedPairs | TypedCrops | RecordedTypes  # a batch is a function of its arguments alone
Listed = list[list[tuple[str, int]]]  # names below the data folder and bytes, of every part of the data


class Data(NamedTuple):
    """The data of a run.

    listed : its files
    open : gives the pairs to train on (False), or those to validate with (True). Raises InputError: files that cannot
        be used, all at once; of recorded pairs, which are read when they are needed, only with `config.skip_bad`
    unusable : files that were left out, as far as pairs were opened
    """

    listed: Listed
    open: Callable[[bool], Batches]
    unusable: Unusable


def find_data(config: TrainConfig) -> Data:
    """The data of a run. Raises ConfigError, InputError: nothing there, or not what the configuration says."""
    if config.pairs is not None:
        return _recorded(config, config.pairs)
    found, unusable = data_files(config.data, config.sources), Unusable(may_skip=config.skip_bad)
    blur, count = config.exposures, len({file for files in found for file in files})

    def read(validation: bool) -> SimulatedPairs:
        return SimulatedPairs(
            config.data, config.sources, channels=config.network.channels, blur=blur,
            augmentation=config.augmentation, validation=validation, unusable=unusable,
        )  # fmt: skip

    def open_(validation: bool) -> Batches:
        pairs = read(validation)
        if unusable.is_too_much(count):
            read(not validation)  # what is wrong there is named at the same time
            unusable.refuse(config.data, count)
        return TypedCrops(pairs, blur) if isinstance(blur, TypedRange) and config.network.tells_types else pairs

    return Data([_listed(files, config.data) for files in found], open_, unusable)


def _recorded(config: TrainConfig, source: PairSource) -> Data:
    parts, unusable = source.divide(config.data), Unusable(may_skip=config.skip_bad)
    listed = [_files(records) for records in parts]
    how: dict[str, Any] = {"channels": config.network.channels, "scale": source.scale}

    @functools.cache
    def usable() -> list[list[Record]]:
        kept = [_usable(records, unusable, how) for records in parts]
        unusable.refuse(config.data, len({file for files in listed for file in files}))
        return kept

    def open_(validation: bool) -> RecordedPairs | RecordedTypes:
        kind = RecordedTypes if config.network.tells_types else RecordedPairs
        return kind((usable() if config.skip_bad else parts)[validation], **how)

    return Data([_listed(files, config.data) for files in listed], open_, unusable)


def _usable(records: Sequence[Record], unusable: Unusable, how: Mapping[str, Any]) -> list[Record]:
    """The records whose images can be used; each is read once."""
    pairs, kept = RecordedPairs(records, cache=0, **how), []
    for i, record in enumerate(records):
        with unusable.looking_at(record.input or record.target):
            pairs.crop(i, 8, np.random.default_rng(0))
            kept.append(record)
    return kept


def _files(records: Iterable[Record]) -> list[Path]:
    return list(dict.fromkeys(path for record in records for path in (record.input, record.target) if path))


def _listed(files: Iterable[Path], root: Path) -> list[tuple[str, int]]:
    return [(Path(os.path.relpath(file, root)).as_posix(), file.stat().st_size) for file in files]
