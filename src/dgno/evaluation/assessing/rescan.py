"""Which slides should be scanned again: much of their tissue is blurred, or nothing can be said of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dgno.errors import ConfigError
from dgno.evaluation.assessing.findings import Finding, plain
from dgno.optics.blur_types import BLUR_TYPES
from dgno.restoration.inputs import FOLDER_SLIDE, SLIDES

RESCAN = ("input", "reason", "blurred", "scene", "tissue", "strength", "strength_um", *BLUR_TYPES[1:], "error")


@dataclass(frozen=True)
class Strength:
    """Of blur, in px or in um."""

    value: float
    unit: str = "px"

    @classmethod
    def parse(cls, text: str) -> Strength:
        """Of "2", "2px" or "0.5um". Raises ConfigError."""
        found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(px|um)?\s*", text, re.ASCII)
        if not found:
            raise ConfigError(f"a strength of blur of {text!r}", hint="say a number of px or um, like 2px or 0.5um")
        return cls(float(found[1]), found[2] or "px")

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"

    def in_pixels(self, pixel_size: float | None) -> float:
        """px, of pixels of that size in um. Raises ConfigError where that is not known."""
        if self.unit == "px" or not self.value:
            return self.value
        if pixel_size is None:
            hint = "say --pixel-size, or the strength in px"
            raise ConfigError(f"{self} of blur on a slide that does not tell its pixel size", hint=hint)
        return self.value / pixel_size


@dataclass(frozen=True)
class Checked:
    """A scene of a slide that was assessed.

    place : where, by axis: "z" and "t"
    blurred : share of its tissue that is blurred as strongly as counts
    """

    finding: Finding
    place: Mapping[str, int]
    blurred: float


def rescan_lines(
    checked: Sequence[Checked], failed: Mapping[str, Mapping[str, object]], *, above: float, strength: Strength
) -> list[list[object]]:
    """The lines of rescan.csv, the header first: slides blurred in more than the share `above`, worst first; those
    without tissue; those that failed. Of planes in Z, the sharpest counts, and of all else the worst.

    failed : errors by input, with their code and message
    """
    worst = sorted(_of_slides(checked), key=lambda one: (-one.blurred, one.finding.input))
    blurred = [_line(one, _reason(one, strength)) for one in worst if one.finding.tissue and one.blurred > above]
    empty = [_line(one, "no tissue was found") for one in worst if not one.finding.tissue]
    rest = len(RESCAN) - 3
    broken = [
        [name, f"could not be assessed: {error['message']}", *[""] * rest, error["code"]]
        for name, error in sorted(failed.items())
    ]
    return [list(RESCAN), *blurred, *empty, *broken]


def is_wanted(checked: Sequence[Checked], failed: Mapping[str, Mapping[str, object]]) -> bool:
    """Was there any slide?"""
    return bool(checked) or any(name.lower().endswith((*SLIDES, FOLDER_SLIDE)) for name in failed)


def _of_slides(checked: Sequence[Checked]) -> list[Checked]:
    """One scene for each slide."""
    stacks: dict[tuple[str, tuple[tuple[str, int], ...]], list[Checked]] = {}
    for one in checked:
        beside = tuple((axis, number) for axis, number in one.place.items() if axis != "z")
        stacks.setdefault((one.finding.input, beside), []).append(one)
    chosen: dict[str, Checked] = {}
    for (name, _), stack in stacks.items():
        sharpest = min(stack, key=lambda one: (not one.finding.tissue, one.blurred))
        if name not in chosen or sharpest.blurred > chosen[name].blurred:
            chosen[name] = sharpest
    return list(chosen.values())


def _reason(one: Checked, strength: Strength) -> str:
    shares = dict(zip(BLUR_TYPES[1:], _shares(one.finding), strict=True))
    most = max(shares, key=shares.__getitem__)
    least = f" by {strength} or more" if strength.value else ""
    return f"{100 * one.blurred:.0f}% of the tissue is blurred{least}, most of it {most}"


def _shares(finding: Finding) -> tuple[float, float, float]:
    return finding.defocus_share, finding.motion_share, finding.mixed_share


def _line(one: Checked, reason: str) -> list[object]:
    found = one.finding
    numbers = [found.tissue, found.strength, found.strength_um, *_shares(found)]
    return [found.input, reason, plain(one.blurred), found.scene, *map(plain, numbers), ""]
