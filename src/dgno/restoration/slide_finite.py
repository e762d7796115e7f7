"""Slides with pixels that are NaN or infinite: what stands in for these while a slide is looked at and restored."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Image, Plane
from dgno.errors import NonFiniteInput
from dgno.io.slide import Slide, Window
from dgno.restorable import check_float32
from dgno.restoration.nonfinite import MASK, fill


def finite_plane(seen: Plane, place: tuple[int, int], *, keep: bool) -> tuple[Plane, Shaped[np.ndarray, "h w c"]]:
    """The pixels with those that are NaN or infinite replaced by values around them, and which these are.

    place : row and column of the first pixel in the slide
    """
    bad = ~np.isfinite(seen) if seen.dtype.kind == "f" else np.zeros(seen.shape, bool)
    if seen.dtype.kind == "f":
        check_float32(Image(seen, "YXS"))
    if not bad.any():
        return seen, bad
    if not keep:
        first = np.unravel_index(int(bad.argmax()), bad.shape)
        where = f"row {int(first[0]) + place[0]}, column {int(first[1]) + place[1]}"
        what = f"{int(bad.sum())} values that are NaN or infinite, the first at {where}"
        raise NonFiniteInput(what, hint="replace them, or say --nonfinite inpaint or mask")
    return (np.zeros_like(seen) if bad.all() else fill(Image(seen, "YXS"), MASK)[0].pixels), bad


class FiniteSlide(Slide):
    """A slide, read with values around in place of those that are NaN or infinite. Closing it is left to its owner."""

    def __init__(self, slide: Slide) -> None:
        self.slide = slide
        self.path, self.format, self.reader = slide.path, slide.format, slide.reader
        self.facts, self.levels, self.associated = slide.facts, slide.levels, slide.associated
        self.bad_tiles, self.notes = slide.bad_tiles, slide.notes

    def read(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> Plane:
        pixels = self.slide.read(rows, columns, level=level, plane=plane)
        return finite_plane(pixels, (rows[0], columns[0]), keep=True)[0]

    def is_blank(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> bool:
        return self.slide.is_blank(rows, columns, level=level, plane=plane)

    def read_associated(self, name: str) -> Shaped[np.ndarray, "h w c"]:
        return self.slide.read_associated(name)

    def fingerprint(self) -> tuple[int, ...]:
        return self.slide.fingerprint()

    def close(self) -> None:
        pass
