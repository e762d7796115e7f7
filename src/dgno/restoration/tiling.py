"""Cut a plane into tiles that a restorer can work on, and put the results together.

A tile has three rectangles:

    read    what goes to the restorer: the kept part and its context
    keep    the part of the answer that is trusted, in the coordinates of `read`
    write   where that part lands in the plane

Reads begin at multiples of the restorer's `multiple` (elements and scan blocks then lie as in the whole plane) and end
there too, or at the border of the plane. Kept parts may overlap and are then faded into each other; the weights of all
tiles at a pixel sum to 1. Everything here is integer arithmetic on rectangles, but for the fading itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_count
from dgno.errors import ConfigError, OutOfMemory


class Span(NamedTuple):
    """Pixels [start, stop) of one axis."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def seen_from(self, origin: int) -> Span:
        """The same pixels counted from `origin`."""
        return Span(self.start - origin, self.stop - origin)


@dataclass(frozen=True)
class Cut:
    """One tile along one axis. The kept part fades in over `fade_in` pixels and out over `fade_out`."""

    read: Span
    write: Span
    fade_in: int
    fade_out: int

    @property
    def keep(self) -> Span:
        return self.write.seen_from(self.read.start)

    def weights(self) -> Float[Tensor, " length"]:
        """1 inside, a straight ramp at each faded end."""
        weights = torch.ones(self.write.length)
        if self.fade_in:
            weights[: self.fade_in] = _ramp(self.fade_in)
        if self.fade_out:
            weights[-self.fade_out :] = 1 - _ramp(self.fade_out)
        return weights


def _ramp(length: int) -> Float[Tensor, " length"]:
    return (torch.arange(length) + 0.5) / length


@dataclass(frozen=True)
class Tile:
    """One tile of a plane: a cut along the rows and one along the columns."""

    rows: Cut
    columns: Cut

    def read(self, plane: Float[Tensor, "*b h w"]) -> Float[Tensor, "*b h2 w2"]:
        """What goes to the restorer."""
        return plane[..., slice(*self.rows.read), slice(*self.columns.read)]

    def keep(self, answer: Float[Tensor, "*b h2 w2"]) -> Float[Tensor, "*b h3 w3"]:
        """The trusted part of the restorer's answer."""
        return answer[..., slice(*self.rows.keep), slice(*self.columns.keep)]

    def add_to(self, plane: Float[Tensor, "*b h w"], kept: Float[Tensor, "*b h3 w3"]) -> None:
        """Add the kept part, faded at its ends, where it lands in the plane."""
        weights = self.rows.weights()[:, None] * self.columns.weights()
        plane[..., slice(*self.rows.write), slice(*self.columns.write)] += weights.to(kept) * kept


def refuse_tiling(tile_size: object, overlap: object = None) -> None:
    """Refuse what is no size of tiles, or no context around them; None is the restorer's own. Raises ConfigError."""
    problems = refuse_count("tile_size", tile_size, 0)
    problems += [] if overlap is None else refuse_count("overlap", overlap, 0)
    if problems:
        hint = "give px; tile_size=0 takes whole images, overlap=None the context that the weights need"
        raise ConfigError("no such tiles", why="; ".join(problems), hint=hint)


def plan_tiles(
    shape: tuple[int, int], *, tile_size: int, overlap: int, blend: int = 0, multiple: int = 1
) -> list[Tile]:
    """The tiles of a plane, row by row.

    shape : (height, width) of the plane in px
    tile_size : side of `read` in px, context included; a multiple of `multiple`. 0 takes the whole plane at once
    overlap : context on each side of the part that is kept, px
    blend : kept parts reach so far beyond their borders, at most, and are faded there; up to `overlap`
    multiple : tile origins are multiples of this many px
    """
    rows, columns = (plan_cuts(n, tile_size, overlap, blend=blend, multiple=multiple) for n in shape)
    return [Tile(row, column) for row in rows for column in columns]


def plan_cuts(length: int, tile_size: int, overlap: int, *, blend: int = 0, multiple: int = 1) -> list[Cut]:
    """The tiles along one axis of `length` px; see `plan_tiles`."""
    if tile_size == 0 or tile_size >= length:
        return [Cut(Span(0, length), Span(0, length), 0, 0)]
    step = (tile_size - 2 * overlap) // multiple * multiple
    if tile_size % multiple or step <= 0 or not 0 <= blend <= overlap:
        raise ConfigError(
            f"tiles of {tile_size} px with {overlap} px of context on each side do not work",
            why=f"tiles are multiples of {multiple} px, and something must be left to keep",
            hint=f"give a tile of at least {smallest_tile(overlap, multiple)} px, or 0 for no tiles",
        )
    blend = min(blend, step // 2)  # no more than two tiles may meet at a pixel
    origins = list(range(0, length - tile_size + step, step))
    reads = [Span(origin, min(origin + tile_size, length)) for origin in origins]
    borders = [0, *(read.start + overlap for read in reads[1:]), length]
    return [
        Cut(
            read=read,
            write=Span(start - (blend if start else 0), stop + (blend if stop < length else 0)),
            fade_in=2 * blend if start else 0,
            fade_out=2 * blend if stop < length else 0,
        )
        for read, start, stop in zip(reads, borders[:-1], borders[1:], strict=True)
    ]


def largest_tile(tile_size: int, *, max_bytes: float, bytes_per_pixel: int, overlap: int, multiple: int) -> int:
    """The side of the largest tile, up to `tile_size`, that a restorer of this hunger can take.

    Raises OutOfMemory when the tile would be all context.
    """
    side = int((max_bytes / bytes_per_pixel) ** 0.5) // multiple * multiple
    least = smallest_tile(overlap, multiple)
    if side < least:
        needed = least**2 * bytes_per_pixel / 2**30
        what = f"{max_bytes / 2**30:.2f} GB do not suffice for a tile of {least} px"
        raise OutOfMemory(what, hint=f"give --max-memory at least {math.ceil(needed * 10) / 10:.1f}")
    return side if tile_size == 0 else min(tile_size, side)


def smallest_tile(overlap: int, multiple: int) -> int:
    """The side of the smallest tile that keeps something between `overlap` px of context on each side."""
    return -(-(2 * overlap + multiple) // multiple) * multiple
