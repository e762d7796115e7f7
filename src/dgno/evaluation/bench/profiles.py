"""How much a table costs: the published recipe in full, or minutes on a laptop that only prove the machinery."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import overload

from dgno.networks.blur_reader import ReaderConfig
from dgno.networks.config import DGNOConfig
from dgno.networks.dbmid import DBMID_NETWORKS, DBMIDConfig
from dgno.networks.presets import NetworkConfig
from dgno.networks.vgg import CROP, VGGConfig


@dataclass(frozen=True)
class Recipe:
    """What a family of networks is trained by, where that is not what the profile says.

    learning_rate, final_learning_rate : of the cosine; equal ones are a constant rate
    weight_decay : 0 makes AdamW Adam
    batch : images of a step
    steps : share of the profile's
    """

    learning_rate: float
    final_learning_rate: float = 1e-6
    weight_decay: float = 1e-4
    batch: int | None = None
    steps: float = 1.0


@dataclass(frozen=True)
class Profile:
    """A size of the experiments.

    fit : from the network of a row to the one that is trained
    crop, batch : px and images of a training step
    whole_crop : px, of crops whose type of blur is told
    steps : of a training; None: the experiment's `tiny_steps`
    learning_rate : the cosine's first one
    generated : whether the data sets are generated stand-ins
    note : what its numbers are worth, for the `comparable?` column; empty: what the experiment says
    recipes : of families that are trained by one of their own
    """

    name: str
    fit: Callable[[NetworkConfig], NetworkConfig]
    crop: int
    batch: int
    whole_crop: int
    steps: int | None
    learning_rate: float
    generated: bool
    note: str = ""
    recipes: Mapping[str, Recipe] = field(default_factory=dict)

    def recipe_of(self, network: NetworkConfig) -> Recipe:
        """Of a network's family, by default the DGNO paper's: AdamW, a cosine to 1e-6, weight decay 1e-4."""
        return self.recipes.get(network.family, Recipe(self.learning_rate))

    def crop_for(self, networks: Iterable[NetworkConfig]) -> int:
        """px: one side for all networks of a table, so that they see the same data; at least `crop`."""
        multiple = math.lcm(*(network.multiple for network in networks))
        return -(-self.crop // multiple) * multiple

    def with_steps(self, steps: int) -> Profile:
        """The profile with trainings of so many steps; shorter ones compare with nothing published."""
        short = f"no: {steps:,} steps instead of {self.steps:,}" if self.steps and steps < self.steps else ""
        return replace(self, steps=steps, note=self.note or short)

    def batch_for(self, crop: int) -> int:
        """Images of a step: as many pixels as at `crop`, at least one image."""
        return max(1, round(self.batch * (self.crop / crop) ** 2))


@overload
def quarter(network: DGNOConfig) -> DGNOConfig: ...
@overload
def quarter(network: NetworkConfig) -> NetworkConfig: ...
def quarter(network: NetworkConfig) -> NetworkConfig:
    """A quarter of the width and of the heads, one encoder module a scale; of other families about as small."""
    if isinstance(network, DGNOConfig):
        return replace(network, width=network.width // 4, heads=network.heads // 4, blocks=(1, 1, 1, 1))
    if isinstance(network, DBMIDConfig):
        return replace(network, widths=DBMID_NETWORKS["dbmid-nano"].widths, kernel=3)
    return replace(network, width=8) if isinstance(network, ReaderConfig) else replace(network, width=8, hidden=64)


def as_it_is(network: NetworkConfig) -> NetworkConfig:
    """The network itself."""
    return network


TINY = Profile(
    "tiny",
    quarter,
    crop=64,
    batch=4,
    whole_crop=64,
    steps=None,
    learning_rate=2e-3,
    generated=True,
    note="no: tiny profile, generated data, a quarter of the width",
    recipes={VGGConfig.family: Recipe(1e-3, batch=8), ReaderConfig.family: Recipe(3e-3, batch=8)},
)
# DBMID's is Adam, 1e-4, batch 64; how many steps it does not say, nor anything of its classifier's training
FULL = Profile(
    "full",
    as_it_is,
    crop=256,
    batch=8,
    whole_crop=CROP,
    steps=300_000,
    learning_rate=3e-4,
    generated=False,
    recipes={
        DBMIDConfig.family: Recipe(1e-4, 1e-4, weight_decay=0.0, batch=64, steps=1 / 3),
        VGGConfig.family: Recipe(1e-4, batch=64, steps=1 / 15),
        ReaderConfig.family: Recipe(3e-4, batch=64, steps=1 / 15),
    },
)
PROFILES = {profile.name: profile for profile in (TINY, FULL)}
