"""What was done to a file: by which weights, on which scale, to how strong a blur. For machines, and in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dgno.arrays import Affine, Image
from dgno.optics.blur_types import BLUR_TYPES, DEFOCUS, MIXED
from dgno.restoration.assessment import BLURRED, Assessment
from dgno.restoration.from_weights import NETWORK_METHODS, NORMALIZERS, Names
from dgno.restoration.image import Normalizer
from dgno.restoration.options import IMAGE, OFF, RestoreOptions
from dgno.restoration.placed import choose_device
from dgno.weights.learnt import learnt_by

if TYPE_CHECKING:
    from dgno.restoration.route import Remedy

BIN, BINS = 0.01, 10_000  # px, of the strengths that a median is taken of; the last bin has all that is stronger


class Blur:
    """How places are blurred, summed up: shares of the types, and the strength of each in its middle."""

    def __init__(self) -> None:
        self.squares = 0
        self.strengths = np.zeros((len(BLUR_TYPES), BINS + 1), np.int64)

    def add(self, assessment: Assessment) -> None:
        """Count the squares of a plane, or of a window of it."""
        self.squares += assessment.types.size
        strength = (assessment.strength / BIN).clip(0, BINS).astype(np.int64)
        for i in range(len(BLUR_TYPES)):
            self.strengths[i] += np.bincount(strength[assessment.types == i], minlength=BINS + 1)

    @property
    def tissue(self) -> float:
        """The share of all squares that is tissue."""
        return float(self.strengths.sum() / max(self.squares, 1))

    @property
    def shares(self) -> dict[str, float]:
        """Of the tissue, the part of each type of blur."""
        total = max(int(self.strengths.sum()), 1)
        return {name: float(self.strengths[BLUR_TYPES.index(name)].sum() / total) for name in BLURRED}

    def strength(self, types: Collection[str] = BLURRED) -> float | None:
        """px: the median over the squares of these types, to 0.01; None without any."""
        counts = self.strengths[[BLUR_TYPES.index(name) for name in types]].sum(0)
        if not counts.any():
            return None
        return float(round((int(np.searchsorted(counts.cumsum(), counts.sum() / 2)) + 0.5) * BIN, 3))

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {"tissue": self.tissue, "blurred": self.shares, "strength": self.strength()}


class Account:
    """What was done to the images of a file, put down as it is done. route : by which it is restored"""

    def __init__(self, options: RestoreOptions, route: str) -> None:
        self.options, self.route, self.blur = options, route, Blur()
        self.names: dict[str, list[Names]] = {}  # images of other kinds in one file may have taken other weights
        self.normalizations: dict[str, None] = {}
        self.scales: list[tuple[float, float]] = []

    def put_down(
        self,
        image: Image,
        planes: Collection[int],
        remedies: Mapping[str, tuple[Names, Remedy]],
        found: Mapping[int, Assessment],
    ) -> None:
        """An image whose planes were restored by what there is for each type of blur; those not found to be blurred
        took nothing.

        remedies : weights, and what they make, by type of blur
        found : by the number of the plane; empty if everything was restored as `DEFOCUS`
        """
        for assessment in found.values():
            self.blur.add(assessment)
        used = _types(found.values(), as_one=self.route == IMAGE) if self.route != OFF else [DEFOCUS]
        normalizers = {remedies[name][1].normalize for name in used}
        channels = sorted({image.channel_of(i) for i in planes})
        affines = [normalize(image, channel) for channel in channels for normalize in normalizers]
        self.treated({name: remedies[name][0] for name in used}, normalizers, affines)

    def treated(
        self, names: Mapping[str, Names], normalizers: Collection[Normalizer], affines: Collection[Affine]
    ) -> None:
        """Types of blur were restored by these weights, of values brought to [0, 1] so."""
        for kind, one in names.items():
            if one not in (known := self.names.setdefault(kind, [])):
                known.append(one)
        titles = {one: name for name, one in NORMALIZERS.items()}
        self.normalizations |= {titles[one]: None for one in normalizers}
        self.scales += [(one.offset, one.offset + one.scale) for one in affines]

    @property
    def weights(self) -> list[str]:
        """Names of the weights that restored anything."""
        return list(dict.fromkeys(title for kind in self.names for title in self._titles(kind)))

    def _titles(self, kind: str) -> list[str]:
        return list(dict.fromkeys(title for names in self.names[kind] for title in _titles(names)))

    @property
    def facts(self) -> dict[str, Any]:
        """For the report."""
        options = self.options
        by_network = options.method in NETWORK_METHODS
        return {
            "method": options.method,
            "weights": self.weights,
            "normalization": list(self.normalizations),
            "scale": [list(one) for one in self.scales],
            "device": str(choose_device(options.device)) if by_network else "cpu",
            "precision": options.precision,
            "tta": options.tta,
            "route": self.route,
            **(self.blur.as_json() | {"learnt": self.learnt} if self.route != OFF else {}),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user wants to read of it."""
        by = ", ".join(self.weights) or ("" if self.options.method in NETWORK_METHODS else self.options.method)
        return (*([by] if by else []), *self.beyond)

    @property
    def learnt(self) -> dict[str, float | None]:
        """px: the strongest blur that weights learnt, by the type of blur that they restored; None if unknown.

        Where images of a file took other weights, the least of theirs.
        """
        found = {kind: [learnt_by(names) for names in each] for kind, each in self.names.items()}
        known = {kind: [round(one.strength, 3) for one in each if one is not None] for kind, each in found.items()}
        return {kind: min(each, default=None) for kind, each in known.items()}

    @property
    def beyond(self) -> list[str]:
        """Where the blur is stronger than what the weights learnt, in words."""
        said = []
        for kind, limit in self.learnt.items() if self.route != OFF else ():
            strength = self.blur.strength([kind] if self.route != IMAGE else BLURRED)
            if limit is not None and strength is not None and strength > limit:
                by, blur = " and ".join(self._titles(kind)), f"{kind} blur" if kind == MIXED else kind
                learnt = f"{limit:.3g} px that {by} learnt"
                said.append(f"{blur} of {strength:.3g} px (median) is beyond the {learnt}: reduced, not removed")
        return said


def _titles(names: Names) -> list[str]:
    """Names of weights without folders, which are nobody else's business."""
    return [Path(name).name.removesuffix(".safetensors") for name in names]


def _types(found: Collection[Assessment], *, as_one: bool) -> Sequence[str]:
    """The types of blur that something was done about."""
    if as_one:
        return [name for name in BLURRED if any(one.type == name for one in found)]
    return [name for name in BLURRED if any((one.types == BLUR_TYPES.index(name)).any() for one in found)]
