"""What a training run is told: one frozen record, read from TOML."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgno.checks import refuse_choice, refuse_count, refuse_number
from dgno.data.recorded import PairSource
from dgno.data.scenes import Augmentation, Source
from dgno.errors import ConfigError
from dgno.networks.config import DGNOConfig
from dgno.networks.presets import NetworkConfig
from dgno.optics.blur_types import BLUR_TYPES, DEFOCUS, MIXED, MOTION, TypedRange
from dgno.optics.exposure import ExposureRange
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange
from dgno.optics.varied import VariedRange, Variety
from dgno.training.lines import lines_of, with_lines
from dgno.training.records import read, with_preset
from dgno.weights.learnt import Learnt
from dgno.weights.store import NORMALIZATIONS, embedded_names

LARGEST = 2**20  # bytes of a configuration
FFT_NORMS = ("ortho", "backward")
PRECISIONS = ("fp32", "bf16")
TELLING = ("auto", "dbmid", "manifest")  # layouts by which a record may say what blurred its image


@dataclass(frozen=True)
class Stage:
    """A part of the run: until this step, crops of this side in px and batches of this size."""

    until: int
    crop: int
    batch: int

    def __post_init__(self) -> None:
        problems = [p for name in ("until", "crop", "batch") for p in refuse_count(name, getattr(self, name), 1)]
        if problems:
            raise ConfigError("the stage cannot be trained", why="; ".join(problems))


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    data : folder that the globs of `sources` start from, or the folder (or manifest) of the recorded pairs
    out : folder for checkpoints, log and weights
    network : the network to train
    init : start from these weights instead of fresh ones: a file, the name of weights that come with the package, or
        the folder of a checkpoint of another run. The network may have more blocks in its lifting: those begin as the
        identity
    sources, pairs : sharp images, blurred on the fly; or recorded pairs. One of the two
    image, normalization : what the weights are for, and how images come to [0, 1]; see `weights.store.Card`
    blur, motion, blur_types : defocus and camera; motion; and which of the types of `optics.blur_types` are drawn
    variety : of defocus and camera, see `optics.varied`; for `blur_types` of defocus alone
    stages : crop and batch, by step, crops in multiples of the network's; the last `until` is the number of steps
    learning_rate, final_learning_rate, warmup : cosine from the first to the second, after linear warm-up steps
    weight_decay, clip : AdamW's; largest norm of the gradient
    ema : decay of the averaged weights that are saved to use; 0 saves the last ones
    fft_norm : of the loss's Fourier term; "ortho", or "backward" for the paper's recipe
    precision : of the products, "fp32" or "bf16"; scans, operators, loss and parameters stay in float32
    skip_bad : leave out files that cannot be used, up to 1 % of them; which, is kept in `out`, not in the digest of the
        configuration
    """

    data: Path
    out: Path
    sources: tuple[Source, ...] = ()
    pairs: PairSource | None = None
    network: NetworkConfig = field(default_factory=DGNOConfig)
    init: Path | None = None
    image: str = ""
    normalization: str = "range"
    blur: BlurRange = field(default_factory=BlurRange)
    variety: Variety | None = None
    motion: MotionRange | None = None
    blur_types: tuple[str, ...] = (DEFOCUS,)
    augmentation: Augmentation = field(default_factory=Augmentation)
    stages: tuple[Stage, ...] = (Stage(300_000, 256, 8),)
    learning_rate: float = 3e-4
    final_learning_rate: float = 1e-6
    warmup: int = 0
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.0
    fft_norm: str = "backward"
    precision: str = "fp32"
    seed: int = 0
    checkpoint_every: int = 500
    validate_every: int = 500
    skip_bad: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        problems = refuse_choice("normalization", self.normalization, NORMALIZATIONS)
        problems += refuse_choice("fft_norm", self.fft_norm, FFT_NORMS)
        problems += refuse_choice("precision", self.precision, PRECISIONS)
        for name in ("learning_rate", "final_learning_rate", "weight_decay"):
            problems += refuse_number(name, getattr(self, name), 0)
        problems += refuse_number("clip", self.clip, 0, above_lowest=True)
        problems += refuse_number("ema", self.ema, 0, 1 - 1e-9)
        for name, lowest in {"warmup": 0, "seed": 0, "checkpoint_every": 1, "validate_every": 1}.items():
            problems += refuse_count(name, getattr(self, name), lowest)
        if not problems and self.seed >= 2**63:
            problems.append(f"seed is {self.seed}, wanted one below 2^63")
        problems += self._problems_of_data() + self._problems_of_stages()
        problems += self._problems_of_blur()
        if problems:
            raise ConfigError("the run cannot be trained", why="; ".join(problems))

    def _problems_of_data(self) -> list[str]:
        if self.pairs is None:
            good = any(source.weight for source in self.sources)
            return [] if good else ["sources has no source with a weight above 0, and there is no table [pairs]"]
        if self.sources:
            return ["there are both sources and pairs, wanted one of them"]
        if self.pairs.scale != self.normalization:
            came = f"pairs.scale is {self.pairs.scale!r} and normalization {self.normalization!r}"
            return [f"{came}, wanted one of both: weights are used as they were trained"]
        return []

    def _problems_of_blur(self) -> list[str]:
        problems = [
            p for i, name in enumerate(self.blur_types) for p in refuse_choice(f"blur_types[{i}]", name, BLUR_TYPES)
        ]
        if not self.blur_types:
            problems.append(f"blur_types is empty, known: {', '.join(BLUR_TYPES)}")
        if self.motion is not None and not {MOTION, MIXED} & set(self.blur_types):
            problems.append("there is a table [motion], and blur_types draws none")
        if self.variety is not None and (self.blur_types != (DEFOCUS,) or self.network.tells_types or self.pairs):
            problems.append("there is a table [variety], which is for sharp images blurred by defocus alone")
        if self.variety is not None:
            problems += [f"variety.{problem}" for problem in self.variety.refuse_beside(self.blur)]
        if self.network.tells_types and self.pairs is not None and self.pairs.layout not in TELLING:
            which = f"its layout {self.pairs.layout} tells no types; these may: {', '.join(TELLING)}"
            problems.append(f"a classifier of blur is trained on sharp images, and there is a table [pairs]: {which}")
        return problems

    def _problems_of_stages(self) -> list[str]:
        if not self.stages:
            return ["stages is empty, wanted at least one {until, crop, batch}"]
        multiple = self.network.multiple
        problems = [
            f"stages[{i}].crop is {stage.crop}, wanted a multiple of {multiple} px, as the network needs"
            for i, stage in enumerate(self.stages)
            if stage.crop % multiple
        ]
        ends = [stage.until for stage in self.stages]
        if ends != sorted(set(ends)):
            problems.append(f"stages end at {', '.join(map(str, ends))}, wanted rising steps")
        return problems

    @property
    def exposures(self) -> ExposureRange:
        """What scenes are exposed by."""
        if self.variety is not None:
            return VariedRange(self.blur, self.variety)
        if self.blur_types == (DEFOCUS,) and not self.network.tells_types:
            return self.blur
        return self._typed

    @property
    def _typed(self) -> TypedRange:
        moved = {} if self.motion is None else {"motion": self.motion}
        return TypedRange(self.blur, types=self.blur_types, **moved)

    @property
    def learnt(self) -> Learnt | None:
        """The strongest blur that is drawn again and again; that of recorded pairs is not known."""
        if self.pairs is not None:
            return None
        drawn = set(self.blur_types)
        sigma = self.blur.sigma[1] if drawn & {DEFOCUS, MIXED} else 0.0
        return Learnt(sigma, self._typed.motion.length[1] if drawn & {MOTION, MIXED} else 1.0)

    @property
    def steps(self) -> int:
        return self.stages[-1].until

    def stage(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        return next(stage for stage in self.stages if step < stage.until)


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file; every unknown key, missing key, wrong type and impossible value is named, all at once, with
    the line where it is easily found.

    Relative paths in it (`data`, `out`, `init`, `pairs.split_file`) start at its own folder. In [network], `preset`
    takes the fields of a network of `dgno models`, which the others change.
    """
    text, table = _table(path)
    problems: list[str] = []
    if isinstance(network := table.get("network"), dict):
        table["network"] = with_preset(network, problems)
    config = read(TrainConfig, table, "", problems)
    if problems:
        lines = lines_of(text)
        why = "; ".join(with_lines(problem, lines) for problem in problems)
        raise ConfigError("the configuration does not fit", path=path, why=why)
    assert isinstance(config, TrainConfig)
    init = config.init
    if init is not None and str(init) not in embedded_names():
        init = path.parent / init
    pairs = config.pairs
    if pairs is not None and pairs.split_file is not None:
        pairs = dataclasses.replace(pairs, split_file=path.parent / pairs.split_file)
    data, out = path.parent / config.data, path.parent / config.out
    return dataclasses.replace(config, data=data, out=out, init=init, pairs=pairs)


def _table(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file and its contents; its size and depth are bounded."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ConfigError("too long for a configuration", path=path, why=f"more than {LARGEST} bytes")
        text = data.decode("utf-8-sig")  # Windows writes a mark at the start
        return text, tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError("cannot read the configuration", path=path, why="it is nested too deeply") from error
    except FileNotFoundError as error:
        hint = "check the name; a folder of sharp images may be given in its place"
        raise ConfigError("there is no such configuration", path=path, hint=hint) from error
    except OSError as error:
        why, hint = error.strerror or str(error), "check the name, and who may read it"
        raise ConfigError("cannot read the configuration", path=path, why=why, hint=hint) from error
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        why, hint = f"byte {error.object[error.start]:#x} in line {line} is no UTF-8", "save it as UTF-8"
        raise ConfigError("cannot read the configuration", path=path, why=why, hint=hint) from error
    except ValueError as error:  # no TOML, a number of thousands of digits
        why = str(error)[-200:]  # the line and the column are at its end
        hint = "write / for \\ in paths" if "hex value" in why or "Unescaped" in why else ""
        raise ConfigError("cannot read the configuration", path=path, why=why, hint=hint) from error
