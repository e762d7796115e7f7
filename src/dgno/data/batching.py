"""From samples to a batch. Sample `slot` of a step is drawn from (seed, step, slot) alone: resumed runs see it too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Sample = Callable[[int, np.random.Generator], tuple[Tensor, ...]]  # the side of a crop, what draws it -> its parts


def stacked(
    sample: Sample, crop: int, size: int, *, seed: int, step: int, slots: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """The parts of `size` samples, each stacked along a first axis; of `slots` alone, if given."""
    wanted = range(size) if slots is None else slots
    samples = [sample(crop, np.random.default_rng([seed, step, slot])) for slot in wanted]
    return tuple(torch.stack(parts) for parts in zip(*samples, strict=True))
