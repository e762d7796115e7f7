"""What a training run is told: one frozen record, read from TOML."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgno.data.scenes import Augmentation, Source
from dgno.errors import ConfigError
from dgno.networks.config import DGNOConfig
from dgno.optics.simulate import BlurRange


@dataclass(frozen=True)
class Stage:
    """A part of the run: until this step, crops of this side and batches of this size."""

    until: int
    crop: int
    batch: int


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    data : folder that the globs of `sources` start from
    out : folder for checkpoints, log and weights
    network : the network to train; `init` starts from these weights instead of fresh ones
    image, normalization : what the weights are for, and how images come to [0, 1]; see `weights.store.Card`
    stages : crop and batch, by step; the last `until` is the number of steps
    learning_rate, final_learning_rate, warmup : cosine from the first to the second, after linear warm-up steps
    weight_decay, clip : AdamW's; largest norm of the gradient
    ema : decay of the averaged weights that are saved to use; 0 saves the last ones
    fft_norm : of the loss's Fourier term; "ortho", or "backward" for the paper's recipe
    """

    data: Path
    out: Path
    sources: tuple[Source, ...]
    network: DGNOConfig = field(default_factory=DGNOConfig)
    init: Path | None = None
    image: str = ""
    normalization: str = "range"
    blur: BlurRange = field(default_factory=BlurRange)
    augmentation: Augmentation = field(default_factory=Augmentation)
    stages: tuple[Stage, ...] = (Stage(300_000, 256, 8),)
    learning_rate: float = 3e-4
    final_learning_rate: float = 1e-6
    warmup: int = 0
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.0
    fft_norm: str = "backward"
    seed: int = 0
    checkpoint_every: int = 500
    validate_every: int = 500

    @property
    def steps(self) -> int:
        return self.stages[-1].until

    def stage(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        return next(stage for stage in self.stages if step < stage.until)


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file; every unknown key, missing key and wrong type is named, all at once."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("cannot read the configuration", path=path, why=str(error)) from error
    problems: list[str] = []
    config = _read(TrainConfig, table, "", problems)
    if problems:
        raise ConfigError("the configuration does not fit", path=path, why="; ".join(problems))
    assert isinstance(config, TrainConfig)
    return dataclasses.replace(config, data=(path.parent / config.data), out=(path.parent / config.out))


def _read(kind: Any, value: Any, where: str, problems: list[str]) -> Any:
    """Convert a TOML value to the type that a field asks for; note what does not fit."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_record(kind, value, where, problems)
    if origin in (types.UnionType, typing.Union):
        return _read(next(a for a in arguments if a is not type(None)), value, where, problems)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is ... or len(value) == len(arguments):
            kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
            return tuple(
                _read(k, v, f"{where}[{i}]", problems) for i, (k, v) in enumerate(zip(kinds, value, strict=True))
            )
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif (
        isinstance(kind, type)
        and origin is None
        and isinstance(value, kind)
        and (kind is bool or not isinstance(value, bool))
    ):
        return value
    problems.append(f"{where} is {value!r}, wanted {getattr(kind, '__name__', kind)}")
    return None


def _read_record(kind: Any, value: Any, where: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{where} is {value!r}, wanted a table")
        return None
    known, types_ = {f.name: f for f in dataclasses.fields(kind)}, typing.get_type_hints(kind)
    prefix = f"{where}." if where else ""
    for key in value.keys() - known.keys():
        nearest = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
        problems.append(f"unknown key {prefix + key!r}, {hint}")
    required = [
        n for n, f in known.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    problems += [f"{prefix}{name} is missing" for name in required if name not in value]
    before = len(problems)
    read = {key: _read(types_[key], value[key], prefix + key, problems) for key in value.keys() & known.keys()}
    if len(problems) > before or any(name not in value for name in required):
        return None
    try:
        return kind(**read)
    except ConfigError as error:
        problems.append(f"{where or 'configuration'}: {error}")
        return None
