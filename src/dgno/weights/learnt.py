"""How strong the blur was that weights learnt to remove: beyond it, less of it goes.

Headers of weights say it. Those of the first weights do not, but name the configuration that they were trained by, of
which there is a table here; of weights that were trained on recorded pairs nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from dgno.errors import UnknownWeights
from dgno.weights.store import find_weights

SIGMA, LENGTH = "largest sigma, px", "longest motion, px"


@dataclass(frozen=True)
class Learnt:
    """The strongest blur of a training, px.

    sigma : standard deviation of the defocus along an axis
    length : of the straight motion; 1 is none
    """

    sigma: float = 0.0
    length: float = 1.0

    @property
    def strength(self) -> float:
        """Standard deviation of both together along the axis where they are widest, as in `Assessment.strength`."""
        return float((self.sigma**2 + (self.length**2 - 1) / 12) ** 0.5)

    @property
    def facts(self) -> dict[str, float]:
        """What a header says of it."""
        return {SIGMA: self.sigma, LENGTH: self.length}


LEARNT = {  # by the "configuration" of a header that does not say it: the file, or the hash of what it says
    "docs/training/fluorescence-nano.toml": Learnt(sigma=4.5),
    "7cc92b1972e5ee7e": Learnt(sigma=4.5),  # dl-defocus
    "024bed596517261a": Learnt(length=40),  # dl-motion
}


def learnt_by(names: Sequence[str | Path]) -> Learnt | None:
    """What weights learnt that restore one after the other, by name or path; None if that of one is unknown."""
    found = [_learnt(_training(name)) for name in names]
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    return Learnt(max(one.sigma for one in known), max(one.length for one in known))


def _learnt(training: Mapping[str, object]) -> Learnt | None:
    sigma, length = training.get(SIGMA), training.get(LENGTH)
    if isinstance(sigma, int | float) and isinstance(length, int | float):
        return Learnt(float(sigma), float(length))
    return LEARNT.get(str(training.get("configuration")))


def _training(name: str | Path) -> dict[str, object]:
    """What the header of weights says of their training; nothing if it cannot be told."""
    try:
        with safe_open(find_weights(name), framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
        return dict(card["training"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, UnknownWeights):
        return {}
