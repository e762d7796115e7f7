"""Run a table: train every row that is trained here with every seed, restore the test images, measure.

OUT/data/PROFILE/NAME     a generated data set
OUT/runs/DATA-DIGEST-S    one training, shared by all tables that need it; a killed one goes on where it stopped
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from dgno.checks import refuse_choice
from dgno.data.recorded import PairSource
from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.bench.columns import LPIPS, lpips_of
from dgno.evaluation.bench.datasets import DATASETS, Library
from dgno.evaluation.bench.experiment import Column, Experiment, FineTuning, Outcome, Row, mean_or_nan
from dgno.evaluation.bench.profiles import PROFILES, Profile
from dgno.evaluation.bench.table import Cost, Result
from dgno.evaluation.compare import Method, prepared_planes
from dgno.evaluation.inventory import layer_products, multiply_accumulates
from dgno.evaluation.methods import by_restorer
from dgno.evaluation.pairs import read_pair
from dgno.networks.config import DGNOConfig
from dgno.networks.presets import NetworkConfig, build
from dgno.restoration.from_weights import make_restorer
from dgno.training.config import Stage, TrainConfig
from dgno.training.loop import WEIGHTS, train
from dgno.training.state import CPU
from dgno.weights.store import parameters

Progress = Callable[[float], None]
Remark = Callable[[str], None]
Scores = dict[str, list[float]]


@dataclass(frozen=True)
class Task:
    """What is to be trained: a network on a data set, with crops of this side in px."""

    network: NetworkConfig
    data: str
    crop: int
    tiny_steps: int
    seed: int
    tuning: FineTuning | None = None


@dataclass(frozen=True)
class Bench:
    """Where a table is run, and how large.

    out : folder for data, trainings and tables
    published : folder of the published data sets, for a profile that does not generate its own
    seeds : of the trainings; also how many of them a row has
    lpips : weights of LPIPS, without which that column is quoted alone
    weights : for studies that do not train, or only what has no weights: by the role that they have there
    detector : for studies of detection: a name, or module:function; empty: the study's own
    """

    profile: Profile
    out: Path
    published: Path | None = None
    seeds: Sequence[int] = (0, 1, 2)
    device: torch.device = CPU
    lpips: Path | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    detector: str = ""

    @classmethod
    def of(
        cls,
        profile: str,
        out: Path,
        published: Path | None,
        *,
        steps: int | None = None,
        **others: Any,  # the other fields
    ) -> Bench:
        """A bench by the name of its profile, whose trainings may take other steps.

        Raises ConfigError (unknown, or data given in vain).
        """
        if wrong := refuse_choice("profile", profile, PROFILES):
            raise ConfigError(wrong[0])
        if PROFILES[profile].generated and published is not None:
            raise ConfigError(f"profile {profile} takes no data", hint="it generates its own; leave --data out")
        chosen = PROFILES[profile]
        return cls(chosen if steps is None else chosen.with_steps(steps), out, published, **others)

    @property
    def library(self) -> Library:
        return Library(self.out / "data" / self.profile.name, self.profile.generated, self.published)

    def run(
        self,
        experiment: Experiment,
        progress: Progress = lambda share: None,
        remark: Remark = lambda text: None,
    ) -> list[Result]:
        """The results of all rows in order, each remarked when it is there.

        Raises what reading, training and restoring do.
        """
        if self.lpips is not None:
            experiment = with_lpips(experiment, self.lpips)
        records = self.library.test_records(experiment.test)
        todo = sum(self._repeats(row) for row in experiment.rows)
        done, results = 0, []
        for row in experiment.rows:
            scores = []
            for i in range(self._repeats(row)):
                method = self.method(row, experiment, i, functools.partial(part_of, progress, done, todo))
                scores.append(measure(method, records, experiment))
                remark(f"{row.name}{f', seed {self.seeds[i]}' if row.network else ''}: {_told(scores[-1])}")
                done += 1
                progress(done / todo)
            results.append(_result(row, scores, experiment.columns))
        return results

    def _repeats(self, row: Row) -> int:
        """How often a row is run: for every seed if it is trained, once if not, never if it is quoted."""
        return len(self.seeds) if row.network else int(row.method is not None)

    def method(self, row: Row, experiment: Experiment, repeat: int, progress: Progress) -> Method:
        """What makes the images of a row: the network, trained with the seed of this repeat, or the row's method."""
        if row.method is not None:
            return row.method
        tasks = self.trainings(row, experiment, self.seeds[repeat])
        for i, config in enumerate(tasks):
            share_of = functools.partial(part_of, progress, i, len(tasks))
            weights = self.trained(config, share_of)
        return by_restorer(*make_restorer(weights, device=str(self.device)))

    def trained(self, config: TrainConfig, progress: Progress = lambda share: None) -> Path:
        """The weights of a training, which goes on where it was stopped."""
        last = functools.partial(_report, progress=progress, steps=config.steps)
        begun = any((config.out / "checkpoints").glob("step-*"))  # a kill inside the first one leaves none
        return train(config, resume=begun, device=self.device, report=last)[0]

    def trainings(self, row: Row, experiment: Experiment, seed: int) -> list[TrainConfig]:
        """What a row is trained by, in this order: where it goes on from another training, that one first."""
        assert row.network is not None
        crop = self.profile.crop_for([self.profile.fit(other.network) for other in experiment.rows if other.network])
        task = Task(row.network, row.train or experiment.train, crop, experiment.tiny_steps, seed)
        if row.tuning is None:
            return [self.configured(task)]
        first = [self.configured(replace(task, data=row.tuning.start))] if row.tuning.start else []
        return [*first, self.configured(replace(task, tuning=row.tuning), *first)]

    def configured(self, task: Task, start: TrainConfig | None = None) -> TrainConfig:
        """A training: the recipe of the paper, but for what the profile changes.

        start : the training whose weights it goes on from
        """
        dataset, network = DATASETS[task.data], self.profile.fit(task.network)
        recipe, tuning = self.profile.recipe_of(network), task.tuning or FineTuning(fraction=1.0)
        steps = task.tiny_steps if self.profile.steps is None else round(self.profile.steps * recipe.steps)
        steps = max(round(steps * tuning.steps), 1)
        batch = recipe.batch or self.profile.batch_for(task.crop)
        reading = PairSource(**vars(dataset.reading), split="train", scale=dataset.scale, fraction=tuning.fraction)
        config = TrainConfig(
            data=self.library.place(task.data),
            out=self.out / "runs",
            pairs=reading,
            network=network,
            init=start.out / WEIGHTS if start else None,
            normalization=dataset.normalization,
            stages=(Stage(steps, task.crop, batch),),
            learning_rate=recipe.learning_rate * tuning.learning_rate,
            final_learning_rate=recipe.final_learning_rate * tuning.learning_rate,
            weight_decay=recipe.weight_decay,
            seed=task.seed,
            checkpoint_every=max(steps // 20, 500),
            validate_every=max(steps // 100, 500),
        )
        return in_own_folder(config, task.data)


def in_own_folder(config: TrainConfig, name: str) -> TrainConfig:
    """The training in a folder of `out` that tells it from others by its settings, its beginning and its seed."""
    begun = config.init and Path(config.init.parent.name)
    settings = replace(config, data=Path(), out=Path(), seed=0, init=begun)
    digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
    return replace(config, out=config.out / f"{name}-{digest}-{config.seed}")


def with_lpips(experiment: Experiment, backbone: Path) -> Experiment:
    """The experiment with LPIPS measured where it is a column."""
    measured = replace(LPIPS, measure=lpips_of(backbone))
    return replace(experiment, columns=tuple(measured if c is LPIPS else c for c in experiment.columns))


def part_of(progress: Progress, done: int, todo: int, share: float) -> None:
    """Report the share of one part, of which `done` of `todo` lie before it, as a share of all."""
    progress((done + share) / todo)


def _report(entry: Mapping[str, float], *, progress: Progress, steps: int) -> None:
    progress(entry["step"] / steps)


def measure(method: Method, records: Sequence[Record], experiment: Experiment) -> Scores:
    """Every column of every record that it wants, by the protocol of the data set; NaN where an image has none."""
    protocol = DATASETS[experiment.test].protocol
    scores: Scores = {column.title: [] for column in experiment.columns}
    for record in records:
        wanted = [column for column in experiment.columns if column.wanted(record)]
        if not wanted:
            continue
        pair = read_pair(record, protocol)
        restored = method(pair.blurred, record)
        planes = tuple(prepared_planes(restored, pair.sharp, protocol, pair.counted))
        outcome = Outcome(record, restored, planes, protocol)
        for column in wanted:
            scores[column.title].append(column.measure(outcome))
    return scores


def _told(scores: Scores) -> str:
    means = {title: mean_or_nan(values) for title, values in scores.items()}
    return ", ".join(f"{title} {mean:.3f}" for title, mean in means.items() if not math.isnan(mean))


def _result(row: Row, scores: Sequence[Scores], columns: Sequence[Column]) -> Result:
    titles = [column.title for column in columns] if scores else []
    means = {title: tuple(mean_or_nan(of_seed[title]) for of_seed in scores) for title in titles}
    images = {title: sum(not math.isnan(value) for value in scores[0][title]) for title in titles}
    return Result(row, means, images, cost_of(row.network) if row.network else None)


@functools.cache
def cost_of(network: NetworkConfig) -> Cost:
    """Parameters and multiply-accumulates of a network, in layers and in products of operators and scans."""
    if not isinstance(network, DGNOConfig):
        with torch.device("meta"):
            others = build(network)
            return Cost(parameters(others), layer_products(others, torch.zeros(1, network.channels, 256, 256)))
    with torch.random.fork_rng(devices=[]):
        built = build(network)
    return Cost(parameters(built), sum(multiply_accumulates(built)))
