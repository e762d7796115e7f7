"""How much a table costs: the published recipe in full, or minutes on a laptop that only prove the machinery."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from dgno.networks.config import DGNOConfig


@dataclass(frozen=True)
class Profile:
    """A size of the experiments.

    fit : from the network of a row to the one that is trained
    crop, batch : px and images of a training step
    steps : of a training; None: the experiment's `tiny_steps`
    learning_rate : the cosine's first one
    generated : whether the data sets are generated stand-ins
    note : what its numbers are worth, for the `comparable?` column; empty: what the experiment says
    """

    name: str
    fit: Callable[[DGNOConfig], DGNOConfig]
    crop: int
    batch: int
    steps: int | None
    learning_rate: float
    generated: bool
    note: str = ""

    def crop_for(self, networks: Iterable[DGNOConfig]) -> int:
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


def quarter(network: DGNOConfig) -> DGNOConfig:
    """A quarter of the width and of the heads, one encoder module a scale."""
    return replace(network, width=network.width // 4, heads=network.heads // 4, blocks=(1, 1, 1, 1))


def as_it_is(network: DGNOConfig) -> DGNOConfig:
    """The network itself."""
    return network


TINY = Profile(
    "tiny",
    quarter,
    crop=64,
    batch=4,
    steps=None,
    learning_rate=2e-3,
    generated=True,
    note="no: tiny profile, generated data, a quarter of the width",
)
FULL = Profile("full", as_it_is, crop=256, batch=8, steps=300_000, learning_rate=3e-4, generated=False)
PROFILES = {profile.name: profile for profile in (TINY, FULL)}
