"""What a slide's pixels are like, from windows spread evenly over it: for scales and for its ground, never per tile.

Half of the windows lie where tissue may be and half elsewhere, however much glass or dark ground was scanned around
the specimen. All pixels are taken where they are few. The same slide gives the same sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from dgno.arrays import SAMPLED, Image, Plane
from dgno.io.slide import Slide, Window
from dgno.optics.blur_types import CELL
from dgno.restoration.slide_candidates import Candidates

SIDE = 256  # px, of the windows
WINDOWS = 60  # of a channel
TRIES = 32  # windows looked at for one that is not blank
GOLDEN = (5**0.5 - 1) / 2  # steps of this share of a whole never meet, and spread evenly

Places = Int[np.ndarray, "windows 2"]


def sample_plane(slide: Slide, plane: int, near: Candidates, *, windows: int) -> list[Plane]:
    """Windows of a plane.

    near : where tissue may be
    windows : how many, about; 0 takes the whole plane as one
    """
    height, width = slide.facts.shape
    if not windows or min(height, width) < CELL:
        return [slide.read((0, height), (0, width), plane=plane)]
    down, along = (max(1, n // SIDE) for n in (height, width))
    places = np.argwhere(np.ones((down, along), bool))
    inside = near.at(*((np.arange(n) + 0.5) * SIDE for n in (down, along))).ravel()
    half = max(1, windows // 2)
    chosen = [w for part in (places[inside], places[~inside]) for w in _some(slide, plane, part, half)]
    chosen = chosen or [_window(slide, places[0])]
    return [slide.read(rows, columns, plane=plane) for rows, columns in chosen]


def windows_of(slide: Slide, planes: int) -> int:
    """How many windows are taken of each of so many planes of a channel; 0 means all pixels."""
    height, width = slide.facts.shape
    return 0 if planes * height * width <= SAMPLED else max(2, WINDOWS // planes)


def as_image(windows: Sequence[Plane], slide: Slide) -> Image:
    """Windows of one channel as an image, one below the other: what normalizers take."""
    pixels = np.concatenate(windows)
    values = slide.facts.value_range
    return Image(pixels, "YXS", values) if pixels.shape[2] > 1 else Image(pixels[..., 0], "YX", values)


def _some(slide: Slide, plane: int, places: Places, count: int) -> Iterator[tuple[Window, Window]]:
    """So many of the windows, or fewer, spread evenly; no blank ones."""
    seen: set[int] = set()
    for step in range(min(count * TRIES, 4 * len(places))):
        number = int(len(places) * (step * GOLDEN % 1))
        if number in seen:
            continue
        seen.add(number)
        rows, columns = _window(slide, places[number])
        if not slide.is_blank(rows, columns, plane=plane):
            yield rows, columns
            count -= 1
        if not count:
            return


def _window(slide: Slide, place: Int[np.ndarray, " axes"]) -> tuple[Window, Window]:
    """The window of that place; a slide narrower than SIDE has one across, in whole squares."""
    (top, left), (height, width) = (int(i) * SIDE for i in place), slide.facts.shape
    bottom, right = (min(start + SIDE, n // CELL * CELL) for start, n in ((top, height), (left, width)))
    return (top, bottom), (left, right)
