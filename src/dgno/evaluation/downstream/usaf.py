"""The USAF-1951 resolution target (MIL-STD-150A), rendered exactly.

Element E of group G has three bars of width w = 500 / R um and length 5 w, with gaps of w, where
R = 2^(G + (E - 1) / 6) line pairs per mm; and the same turned by 90 degrees. Groups lie in rows, six elements side by
side, or nested in one another as on the standard chart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dgno.checks import refuse_number
from dgno.errors import ConfigError
from dgno.evaluation.downstream.coverage import Polygons, coverage

ELEMENTS = 6  # of a group
GAP = 2  # bar widths between neighbours
MARGIN = 5  # widths of the coarsest bar around all
CHART = (25.0, 27.7)  # of `nested`: height and width in bars of its coarsest element,
INNER, BELOW = (5.0, 12.7), 1.5  # where the next two groups begin, and the ground above that element
Point = tuple[float, float]


@dataclass(frozen=True, order=True)
class Element:
    """One element; elements are ordered from coarse to fine."""

    group: int
    number: int

    @property
    def resolution(self) -> float:
        """R, line pairs per mm."""
        return float(2 ** (self.group + (self.number - 1) / ELEMENTS))

    @property
    def bar_width(self) -> float:
        """w, um."""
        return 500 / self.resolution


@dataclass(frozen=True)
class Triplet:
    """Three bars in an image: where to read an element in one orientation.

    centre : of the middle bar, (row, column) in px from the corner of the first pixel
    bar_width : px
    angle : degrees by which the direction across the bars is turned from that of rows, towards columns
    """

    element: Element
    centre: Point
    bar_width: float
    angle: float

    def rectangle(self, place: float, width: float, length: float) -> Polygons:
        """A rectangle centred `place` bar widths across from the middle; its sides are in bar widths, too."""
        angle = math.radians(self.angle)
        across = np.array([math.sin(angle), math.cos(angle)])
        along = np.array([-across[1], across[0]])
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        steps = [(place + i * width / 2) * across + j * length / 2 * along for i, j in corners]
        return (np.array(self.centre) + self.bar_width * np.array(steps))[None]


@dataclass(frozen=True, eq=False)
class Target:
    """A rendered target: pixels in [0, 1], whether its bars are the bright part, and where its elements lie."""

    pixels: Float[np.ndarray, "h w"]
    pixel_size: float
    clear_on_dark: bool
    triplets: tuple[Triplet, ...]


Layout = Callable[[Sequence[int], float], tuple[list[Triplet], Point]]  # (groups, um a pixel) -> and (height, width)


def in_rows(groups: Sequence[int], pixel_size: float) -> tuple[list[Triplet], Point]:
    """Triplets of a target that is not turned, a row for each group, and (height, width), px."""
    margin = MARGIN * Element(groups[0], 1).bar_width / pixel_size
    triplets, top, right = list[Triplet](), margin, 0.0
    for group in groups:
        left = margin
        for number in range(1, ELEMENTS + 1):
            pair, extent = _both(Element(group, number), (top, left), pixel_size)
            triplets += pair
            left += extent[1]
        right = max(right, left)
        top += (5 + GAP) * Element(group, 1).bar_width / pixel_size
    return triplets, (top + margin, right + margin)


def nested(groups: Sequence[int], pixel_size: float) -> tuple[list[Triplet], Point]:
    """The arrangement of the standard chart, which winds inwards; and (height, width), px.

    Of two groups, elements 2 to 6 of the coarser one stand in a column to the left, the finer group in one to the
    right, element 1 of the coarser below that; the next two groups, a quarter of the size, stand between the columns.
    Raises ConfigError for groups that leave one out.
    """
    if list(groups) != list(range(groups[0], groups[0] + len(groups))):
        why = f"groups are {tuple(groups)}"
        raise ConfigError("nested groups follow one another", why=why, hint="give them all, or lay them in rows")
    coarsest = Element(groups[0], 1).bar_width / pixel_size
    triplets, corner = list[Triplet](), (MARGIN * coarsest, MARGIN * coarsest)
    for coarser in groups[::2]:
        unit = Element(coarser, 1).bar_width / pixel_size
        top, left = corner
        for number in range(2, ELEMENTS + 1):
            pair, extent = _both(Element(coarser, number), (top, left), pixel_size)
            triplets += pair
            top += extent[0]
        right, top = left + CHART[1] * unit, corner[0]
        for element in (*(Element(coarser + 1, number) for number in range(1, ELEMENTS + 1)), Element(coarser, 1)):
            pair, extent = _both(element, (0.0, 0.0), pixel_size)
            start = right - extent[1] + GAP * element.bar_width / pixel_size
            top += BELOW * unit if element.group == coarser else 0
            if element.group in groups:
                triplets += _both(element, (top, start), pixel_size)[0]
            top += extent[0]
        corner = (corner[0] + INNER[0] * unit, left + INNER[1] * unit)
    height, width = ((side + 2 * MARGIN) * coarsest for side in CHART)
    return sorted(triplets, key=lambda one: one.element), (height, width)


def _both(element: Element, corner: Point, pixel_size: float) -> tuple[list[Triplet], Point]:
    """The two triplets of an element whose upper left corner is given, and (height, width) with the gaps, px."""
    width = element.bar_width / pixel_size
    step = (5 + GAP) * width
    centres = [(corner[0] + 2.5 * width, corner[1] + 2.5 * width + i * step) for i in (0, 1)]
    pair = [Triplet(element, centre, width, angle) for centre, angle in zip(centres, (0.0, 90.0), strict=True)]
    return pair, (step, 2 * step)


def render_usaf(
    groups: Sequence[int] = (4, 5, 6, 7, 8, 9),
    *,
    pixel_size: float,
    clear_on_dark: bool = True,
    contrast: float = 1.0,
    angle: float = 0.0,
    offset: Point = (0.0, 0.0),
    layout: Layout = in_rows,
) -> Target:
    """Render a target; each pixel is the mean of what it covers.

    groups : from coarse to fine
    pixel_size : um in the plane of the target
    clear_on_dark : bars bright on a dark ground; False: dark on a bright one
    contrast : (bright - dark) / (bright + dark), where bright is 1
    angle : degrees that the target is turned by, from the direction of rows towards columns
    offset : (row, column) in px that it is moved by
    layout : `in_rows` or `nested`
    Raises ConfigError.
    """
    problems = refuse_number("pixel_size", pixel_size, 0, above_lowest=True) + refuse_number("angle", angle, -360, 360)
    problems += refuse_number("contrast", contrast, 0, 1, above_lowest=True)
    if not groups or sorted(set(groups)) != list(groups):
        problems.append(f"groups are {tuple(groups)}, wanted numbers that rise")
    if problems:
        raise ConfigError("no such target", why="; ".join(problems))
    flat, extent = layout(groups, pixel_size)
    shape, turned = _turned(flat, extent, angle, offset)
    bars = [triplet.rectangle(place, 1, 5) for triplet in turned for place in (-2, 0, 2)]
    covered = coverage(np.concatenate(bars), shape)
    dark = (1 - contrast) / (1 + contrast)
    pixels = dark + (1 - dark) * (covered if clear_on_dark else 1 - covered)
    return Target(pixels, pixel_size, clear_on_dark, tuple(turned))


def _turned(
    triplets: Sequence[Triplet], extent: Point, angle: float, offset: Point
) -> tuple[tuple[int, int], list[Triplet]]:
    """Shape of the image that holds the turned target, and its triplets there."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[cos, sin], [-sin, cos]])  # of (row, column): columns turn towards rows
    reach = np.abs(turn) @ np.array(extent)
    shape = (math.ceil(reach[0]), math.ceil(reach[1]))
    middle = np.array(shape) / 2 + np.array(offset)
    moved = []
    for one in triplets:
        row, column = turn @ (np.array(one.centre) - np.array(extent) / 2) + middle
        moved.append(Triplet(one.element, (float(row), float(column)), one.bar_width, one.angle + angle))
    return shape, moved
