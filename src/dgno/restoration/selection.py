"""Which planes of a file are restored. The others stay as they are, bit for bit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dgno.arrays import Image
from dgno.errors import ConfigError

Numbers = tuple[range, ...]


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
            _refuse_beyond(self.channels, _channels(image), "channel", "an image")
            numbers = range(image.plane_count)
            wanted.append(frozenset(i for i in numbers if self._has(image.channel_of(i), first + i)))
            first += len(numbers)
        if not any(wanted):
            raise ConfigError("no plane is among both the channels and the pages to restore", hint="leave one out")
        return wanted

    def _has(self, channel: int, page: int) -> bool:
        pairs = ((self.channels, channel), (self.pages, page))
        return all(kept is None or any(number in part for part in kept) for kept, number in pairs)


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


def _refuse_beyond(numbers: Numbers | None, count: int, name: str, owner: str) -> None:
    """Refuse numbers that are `count` or more; also a range that only ends there."""
    last = max((part[-1] for part in numbers or ()), default=0)
    if numbers and last >= count:
        raise ConfigError(f"{name} {last} of {owner} with {count}", hint=f"{name}s count from 0 to {count - 1}")


def _channels(image: Image) -> int:
    return 1 + max(map(image.channel_of, range(image.plane_count)), default=0)
