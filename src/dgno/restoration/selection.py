"""Which planes of a file are restored. The others stay as they are, bit for bit."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from dgno.arrays import Image
from dgno.errors import ConfigError
from dgno.io.slide import SlideFacts

Numbers = tuple[range, ...]
ONE_CHANNEL = "the colours of a pixel are one channel"


@dataclass(frozen=True)
class Selection:
    """Planes by their channel and by their place in the file.

    channels : numbers of channels, or None for all; the colours of a pixel are one channel
    pages : numbers of planes over all images of the file, in the order of `Image.planes`, or None for all
    """

    channels: Numbers | None = None
    pages: Numbers | None = None

    def of(self, images: Sequence[Image]) -> list[frozenset[int]]:
        """For each image of a file, the numbers of its planes that are restored.

        Raises ConfigError (a channel or page that is not there, or no plane left).
        """
        _refuse_beyond(self.pages, sum(image.plane_count for image in images), "page", "a file")
        wanted, first = [], 0
        for image in images:
            why = ONE_CHANNEL if image.samples > 1 else ""
            _refuse_beyond(self.channels, _channels(image), "channel", "an image", why)
            numbers = range(image.plane_count)
            wanted.append(frozenset(i for i in numbers if self._has(image.channel_of(i), first + i)))
            first += len(numbers)
        if not any(wanted):
            raise ConfigError("no plane is among both the channels and the pages to restore", hint="leave one out")
        return wanted

    def notes(self, images: Sequence[Image], wanted: Sequence[Collection[int]]) -> tuple[str, ...]:
        """What a user may not expect of the planes that `of` gave for these images, in words."""
        count, total = sum(map(len, wanted)), sum(image.plane_count for image in images)
        said = []
        if count < total:
            which = _which(images, wanted)
            said.append(f"{count} of {total} planes restored ({which}), the others are copies")
        if self.channels is not None and any(image.samples > 1 for image in images):
            said.append(f"{ONE_CHANNEL}: all of them were restored")
        return tuple(said)

    def _has(self, channel: int, page: int) -> bool:
        pairs = ((self.channels, channel), (self.pages, page))
        return all(kept is None or any(number in part for part in kept) for kept, number in pairs)


def pages_of(images: Sequence[Image], wanted: Sequence[Collection[int]]) -> list[int]:
    """The numbers of planes over all images of a file, as `Selection.pages` has them."""
    starts = itertools.accumulate((image.plane_count for image in images), initial=0)
    return [start + i for start, numbers in zip(starts, wanted, strict=False) for i in sorted(numbers)]


def _which(images: Sequence[Image], wanted: Sequence[Collection[int]]) -> str:
    """Planes in words: by axis, "Z 5, C 0", if they are all combinations of some places on each; else by page."""
    if len(images) == 1:
        (image,), (numbers,) = images, wanted
        sizes, axes = image.shape_without_samples[:-2], image.axes.removesuffix("S")[:-2]
        places = [sorted(set(one.tolist())) for one in np.unravel_index(sorted(numbers), sizes)] if sizes else []
        if set(axes) <= set("TZC") and math.prod(map(len, places)) == len(numbers):
            chosen = zip(axes, places, sizes, strict=True)
            return ", ".join(f"{axis} {_listed(some)}" for axis, some, size in chosen if len(some) < size)
    pages = pages_of(images, wanted)
    return f"page{'s' if len(pages) > 1 else ''} {_listed(pages)}"


def _listed(numbers: Sequence[int]) -> str:
    """0, 1, 2, 5 -> "0-2,5", as options take them."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}" + (f"-{run[-1]}" if len(run) > 1 else "") for run in runs)


def stand_in(facts: SlideFacts) -> Image:
    """An image of one pixel with the planes of a slide."""
    samples, axes = facts.samples, facts.axes
    shape = (*facts.sizes, 1, 1, *([samples] if samples > 1 else []))
    return Image(np.empty(shape, np.uint8), axes + ("YXS" if samples > 1 else "YX"))


def restored_only(restored: Image, original: Image, wanted: frozenset[int]) -> Image:
    """The restored image with the planes that are not wanted as they were."""
    planes = enumerate(zip(restored.planes(), original.planes(), strict=True))
    return restored.with_planes(after if i in wanted else before for i, (after, before) in planes)


def parse_numbers(text: str, name: str, *, words: Sequence[str]) -> Numbers:
    """Numbers from 0 on, like "0,2" or "1,4-7"; anything else is a ConfigError about the option `name`.

    words : what else the option understands, for the hint
    """
    parts = [re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part, re.ASCII) for part in text.split(",")]
    ranges = tuple(range(int(part[1]), int(part[2] or part[1]) + 1) for part in parts if part)
    if len(ranges) < len(parts) or not all(ranges):
        hint = f"say {', '.join(words)}, or numbers like 0,2 or 4-7; they count from 0"
        raise ConfigError(f"{name} {text!r}", hint=hint)
    return ranges


def _refuse_beyond(numbers: Numbers | None, count: int, name: str, owner: str, why: str = "") -> None:
    """Refuse numbers that are `count` or more; also a range that only ends there."""
    last = max((part[-1] for part in numbers or ()), default=0)
    if numbers and last >= count:
        hint = f"{name}s count from 0 to {count - 1}" if count > 1 else f"there is {name} 0 alone"
        raise ConfigError(f"{name} {last} of {owner} with {count}", why=why, hint=hint)


def _channels(image: Image) -> int:
    return 1 + max(map(image.channel_of, range(image.plane_count)), default=0)
