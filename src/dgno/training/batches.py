"""What a run trains on and validates with: simulated or recorded pairs, as its configuration says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from dgno.data.recorded import PairSource, RecordedPairs
from dgno.data.recorded_types import RecordedTypes
from dgno.data.records import Record
from dgno.data.scenes import SimulatedPairs, data_files
from dgno.data.typed_crops import TypedCrops
from dgno.optics.blur_types import TypedRange
from dgno.training.config import TrainConfig

Batches = SimulatedPairs | RecordedPairs | TypedCrops | RecordedTypes  # a batch is a function of its arguments alone
Listed = list[list[tuple[str, int]]]  # names below the data folder and bytes, of every part of the data


def find_data(config: TrainConfig) -> tuple[Listed, Callable[[bool], Batches]]:
    """The files of the data, and what opens the pairs: those to train on (False), those to validate with (True).

    Raises ConfigError, InputError: nothing there, or not what the configuration says.
    """
    if config.pairs is not None:
        return _recorded(config, config.pairs)
    found = data_files(config.data, config.sources)

    def open_(validation: bool) -> Batches:
        blur = config.exposures
        pairs = SimulatedPairs(
            config.data, config.sources, channels=config.network.channels, blur=blur,
            augmentation=config.augmentation, validation=validation,
        )  # fmt: skip
        return TypedCrops(pairs, blur) if isinstance(blur, TypedRange) and config.network.tells_types else pairs

    return [_listed(files, config.data) for files in found], open_


def _recorded(config: TrainConfig, source: PairSource) -> tuple[Listed, Callable[[bool], Batches]]:
    parts = source.divide(config.data)

    def open_(validation: bool) -> RecordedPairs | RecordedTypes:
        kind = RecordedTypes if config.network.tells_types else RecordedPairs
        return kind(parts[validation], channels=config.network.channels, scale=source.scale)

    return [_listed(_files(records), config.data) for records in parts], open_


def _files(records: Iterable[Record]) -> list[Path]:
    return list(dict.fromkeys(path for record in records for path in (record.input, record.target) if path))


def _listed(files: Iterable[Path], root: Path) -> list[tuple[str, int]]:
    return [(Path(os.path.relpath(file, root)).as_posix(), file.stat().st_size) for file in files]
