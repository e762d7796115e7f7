"""Crops of recorded images whose type of blur their data set tells: what DBMID's classifier was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgno.data.batching import stacked
from dgno.data.recorded import CACHE, RecordedPairs
from dgno.data.records import Record
from dgno.data.typed_crops import FLAT, IGNORED, structure
from dgno.errors import ConfigError
from dgno.optics.blur_types import BLUR_TYPES, CELL, IN_FOCUS


class RecordedTypes:
    """Crops at the scale of the image, each type as often as the others; flipped at random.

    Content is a function of (seed, step, slot), as of `RecordedPairs`, which reads the images. The sharp image of a
    pair is one in focus. Of a blur only its type is known: its widths and directions are left out.
    """

    def __init__(self, records: Sequence[Record], *, channels: int, scale: str = "range", cache: int = CACHE) -> None:
        self.pairs = RecordedPairs(records, channels=channels, scale=scale, cache=cache)
        self.by_type: dict[str, list[int]] = {}
        for i, record in enumerate(records):
            self.by_type.setdefault(type_of(record), []).append(i)
        sharp = {record.target: i for i, record in enumerate(records)}
        if sharp:
            self.by_type[IN_FOCUS] = list(sharp.values())

    @property
    def is_empty(self) -> bool:
        """Is there nothing to draw from?"""
        return self.pairs.is_empty

    def batch(
        self, crop: int, size: int, *, seed: int, step: int, slots: Sequence[int] | None = None
    ) -> tuple[Tensor, ...]:
        """Crops (size, channels, crop, crop), and what `sample` gives beside each."""
        return stacked(self.sample, crop, size, seed=seed, step=step, slots=slots)

    def sample(self, crop: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """As `TypedCrops.sample`: a crop, its type, and in squares of CELL px their types where there is anything to
        see; the widths, which nobody told, are 0.
        """
        names = [name for name in BLUR_TYPES if name in self.by_type]
        name = names[rng.integers(len(names))]
        of_type = self.by_type[name]
        blurred, sharp = self.pairs.crop(of_type[rng.integers(len(of_type))], crop, rng)
        number = BLUR_TYPES.index(name)
        seen = structure(sharp) > FLAT
        squares = torch.full(seen.shape, IGNORED).masked_fill(seen, number)
        nothing = torch.zeros(crop // CELL, crop // CELL)
        image = sharp if name == IN_FOCUS else blurred
        return image, torch.tensor(number), squares, nothing, nothing, torch.stack([nothing, nothing])


def type_of(record: Record) -> str:
    """The type of the blurred image of a pair. Raises ConfigError where the data set does not tell it."""
    name = record.meta.get("blur", "")
    if name not in BLUR_TYPES:
        hint = "take a data set with folders by type, as DBMID has, or train on sharp images with [[sources]]"
        raise ConfigError("the type of blur is not told", path=record.input or record.target, hint=hint)
    return name
