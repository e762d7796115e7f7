"""Regions of one type of blur, as polygons in pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import find_objects, label

from dgno.optics.blur_types import BLUR_TYPES, CELL
from dgno.restoration.assessment import BLURRED, Assessment

Point = tuple[int, int]  # x, y
Ring = list[Point]  # closed: the last point is the first
LEFT = {(1, 0): (0, -1), (0, 1): (1, 0), (-1, 0): (0, 1), (0, -1): (-1, 0)}  # of a direction x, y, where y goes down


@dataclass(frozen=True)
class Region:
    """Squares of one type that hang together by their sides.

    rings : the border, and those of holes; x, y in px from the upper left corner of the image
    area : px^2
    strength : px, median over its squares, and so is `defocus`, um, where optics are known
    confidence : mean probability of the type
    """

    type: str
    rings: list[Ring]
    area: int
    strength: float
    confidence: float
    defocus: float | None = None

    def enlarged(self, times: int, limits: tuple[int, int]) -> Region:
        """The same in an image that is so many times larger, of (h, w) px at most."""
        height, width = limits
        rings = [[(min(x * times, width), min(y * times, height)) for x, y in ring] for ring in self.rings]
        return replace(self, rings=rings, area=sum(map(signed_area, rings)))


def regions_of(assessment: Assessment, defocus: np.ndarray | None = None) -> list[Region]:
    """The blurred regions, type by type.

    defocus : (rows, columns), um from focus
    """
    return [region for name in BLURRED for region in _of_type(assessment, name, defocus)]


def _of_type(assessment: Assessment, name: str, defocus: np.ndarray | None) -> Iterator[Region]:
    number = BLUR_TYPES.index(name)
    labels, _ = label(assessment.types == number)
    strength, likelihood = assessment.strength, assessment.likelihoods[number]
    for i, place in enumerate(find_objects(labels), 1):
        mask = labels[place] == i
        rings = [_in_pixels(ring, (place[0].start, place[1].start), assessment.shape) for ring in outlines(mask)]
        yield Region(
            type=name,
            rings=rings,
            area=sum(map(signed_area, rings)),
            strength=float(np.median(strength[place][mask])),
            confidence=float(likelihood[place][mask].mean()),
            defocus=None if defocus is None else float(np.median(defocus[place][mask])),
        )


def outlines(mask: Bool[np.ndarray, "rows columns"]) -> list[Ring]:
    """The rings around squares that hang together by their sides: the outer one first, then those of holes.

    Corners in squares, x and y. Where two squares touch at a corner only, the ring turns left: what they enclose is a
    hole that touches the border, and no ring touches itself. Outer rings and holes go round in opposite ways.
    """
    ahead = _borders(mask)
    rings = []
    while ahead:
        start = next(iter(ahead))
        direction = ahead[start][0]
        ring, place = [start], start
        while True:
            choices = ahead[place]
            turn = LEFT[direction]
            direction = turn if turn in choices and len(choices) > 1 else choices[0]
            choices.remove(direction)
            if not choices:
                del ahead[place]
            place = (place[0] + direction[0], place[1] + direction[1])
            ring.append(place)
            if place == start:
                break
        rings.append(_corners(ring))
    return sorted(rings, key=signed_area, reverse=True)


def _borders(mask: Bool[np.ndarray, "rows columns"]) -> dict[Point, list[Point]]:
    """From every corner of squares on the border, the directions in which it goes on, the inside to the right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    )
    ahead: dict[Point, list[Point]] = {}
    for beyond, (right, down), direction in sides:
        for row, column in zip(*(values.tolist() for values in np.nonzero(inside & ~beyond)), strict=True):
            ahead.setdefault((column + right, row + down), []).append(direction)
    return ahead


def _corners(ring: Ring) -> Ring:
    """The ring without points on straight lines, closed."""
    points = ring[:-1]
    before, after = points[-1:] + points[:-1], points[1:] + points[:1]
    kept = [b for a, b, c in zip(before, points, after, strict=True) if (a[0] != c[0]) and (a[1] != c[1])]
    return [*kept, kept[0]]


def _in_pixels(ring: Ring, origin: Point, shape: tuple[int, int]) -> Ring:
    row, column = origin
    height, width = shape
    return [(min((x + column) * CELL, width), min((y + row) * CELL, height)) for x, y in ring]


def signed_area(ring: Sequence[Point]) -> int:
    """Of a closed ring: positive if it is an outer one of ours."""
    return sum(x * v - u * y for (x, y), (u, v) in itertools.pairwise(ring)) // 2
