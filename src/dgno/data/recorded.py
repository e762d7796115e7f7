"""Recorded pairs as a source of training pairs: aligned crops at random places, flipped at random.

As with simulated pairs, the content of a sample is a function of (seed, step, slot) and of nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice, refuse_number
from dgno.data.batching import stacked
from dgno.data.leaks import refuse_leaks
from dgno.data.reading import SPLIT_BY, Reading, only_split
from dgno.data.records import Record
from dgno.data.scaling import SCALES, Scaled, load_scaled
from dgno.data.scenes import held_out
from dgno.data.splits import NAMES
from dgno.errors import ConfigError, UnsupportedInput

CACHE = 2**28  # bytes of images that are kept

Pair = tuple[Scaled, Scaled]


@dataclass(frozen=True)
class PairSource(Reading):
    """Recorded pairs to train on; all of `Reading`, and

    split : trained on; "": everything
    validation : the split that validates; "": val if there is one, else every 20th group of `split` is held out
    fraction : share of the groups that is trained on, at least one; drawn by `seed`, so a larger one has the smaller
    scale : "range" (black to white), "percentile" (0.1 to 99.9 of the blurred image) or "minmax" (each image its own)
    """

    split: str = "train"
    validation: str = ""
    fraction: float = 1.0
    scale: str = "range"

    def _problems(self) -> list[str]:
        problems = super()._problems() + refuse_choice("scale", self.scale, SCALES)
        for name in ("split", "validation"):
            problems += refuse_choice(name, getattr(self, name), ("", *NAMES))
        if self.split and self.split == self.validation:
            problems.append(f"split and validation are both {self.split!r}")
        return problems + refuse_number("fraction", self.fraction, 0, 1, above_lowest=True)

    def divide(self, folder: Path) -> tuple[list[Record], list[Record]]:
        """Records to train on, and records to validate with that share no group with them.

        Raises what `Reading.records` does, and DataLeak where a group or a file stands in two splits; pixels are not
        compared, `dgno check-data` does that.
        """
        records = self.divided(folder) if self.split or self.validation else self.records(folder)
        by = SPLIT_BY[self.split_by]
        refuse_leaks([replace(record, group=by(record)) for record in records], pixels=False)
        wanted = only_split(records, self.split, folder)
        validation = self.validation or ("val" if any(record.split == "val" for record in records) else "")
        kept_back = only_split(records, validation, folder) if validation else []
        groups = sorted({by(record) for record in wanted} - {by(record) for record in kept_back})
        if not validation:
            apart = set(held_out(groups))
            kept_back = [record for record in wanted if by(record) in apart]
            groups = [group for group in groups if group not in apart]
        drawn = np.random.default_rng(self.seed).permutation(len(groups))[: max(round(self.fraction * len(groups)), 1)]
        chosen = {groups[i] for i in drawn}
        return [record for record in wanted if by(record) in chosen], kept_back


class RecordedPairs:
    """Blurred and sharp crops of recorded pairs; images are read when they are needed, and some of them kept.

    channels : of the crops; gray is repeated for colour, colours are averaged for gray
    scale : a name of `scaling.SCALES`
    cache : bytes of images that are kept
    Masks are not used.
    """

    def __init__(self, records: Sequence[Record], *, channels: int, scale: str = "range", cache: int = CACHE) -> None:
        if problems := refuse_choice("scale", scale, SCALES):
            raise ConfigError(problems[0])
        self.records, self.channels, self.scale, self.cache = list(records), channels, scale, cache
        self._kept: OrderedDict[int, Pair] = OrderedDict()

    @property
    def is_empty(self) -> bool:
        """Is there nothing to draw from?"""
        return not self.records

    def batch(
        self, crop: int, size: int, *, seed: int, step: int, slots: Sequence[int] | None = None
    ) -> tuple[Float[Tensor, "b {self.channels} {crop} {crop}"], Float[Tensor, "b {self.channels} {crop} {crop}"]]:
        """Blurred and sharp, (size, channels, crop, crop) each; of `slots` alone, if given."""
        blurred, sharp = stacked(self.sample, crop, size, seed=seed, step=step, slots=slots)
        return blurred, sharp

    def sample(self, crop: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Blurred and sharp, (channels, crop, crop) each: a pair, a place in it, and two flips drawn from `rng`."""
        return self.crop(int(rng.integers(len(self.records))), crop, rng)

    def crop(self, index: int, crop: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """As `sample`, of the pair of this number."""
        pair = self._pair(index)
        corner = [int(rng.integers(max(n - crop, 0) + 1)) for n in pair[0].plane.shape[:2]]
        flips = [-1 if rng.random() < 0.5 else 1 for _ in corner]
        rows, columns = (slice(start, start + crop) for start in corner)
        crops = [_filled(image.crop(rows, columns, channels=self.channels), crop) for image in pair]
        flipped = [np.ascontiguousarray(part[:: flips[0], :: flips[1]].transpose(2, 0, 1)) for part in crops]
        return torch.from_numpy(flipped[0]), torch.from_numpy(flipped[1])

    def _pair(self, index: int) -> Pair:
        """A pair, the last ones from memory."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        pair = load_scaled(self.records[index], self.scale)
        samples = pair[0].plane.shape[-1]
        if self.channels not in (1, samples) and samples != 1:
            why = f"it has {samples} samples a pixel, the network {self.channels} channels"
            raise UnsupportedInput("an image does not fit the network", path=self.records[index].target, why=why)
        self._kept[index] = pair
        while len(self._kept) > 1 and sum(_bytes(kept) for kept in self._kept.values()) > self.cache:
            self._kept.popitem(last=False)
        return pair


def _filled(part: Float[np.ndarray, "rows columns c"], crop: int) -> Float[np.ndarray, "{crop} {crop} c"]:
    """An image that is smaller than the crop, mirrored below and to the right."""
    short = [max(crop - n, 0) for n in part.shape[:2]]
    return np.pad(part, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric") if any(short) else part


def _bytes(pair: Pair) -> int:
    return sum(image.plane.nbytes for image in pair)
