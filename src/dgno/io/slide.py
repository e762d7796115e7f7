"""Slides: images too large for memory, read in windows.

A slide has planes (one, or as many as its axes T, Z and C make) at several levels, each half, a quarter, ... as large
as level 0 or about that. Windows are given in the pixels of their own level.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Plane
from dgno.errors import InputChanged
from dgno.io.opening import os_error
from dgno.stored import Stored
from dgno.value_ranges import ends_of

OnBadTile = Literal["fail", "mask"]
Window = tuple[int, int]  # [start, stop) of rows, or of columns


@dataclass(frozen=True, eq=False)
class SlideFacts:
    """What a slide is, whoever reads or writes it.

    shape : (h, w) of level 0 in px
    dtype : of the pixels, in the machine's byte order
    samples : of a pixel: 1 gray, 3 colours
    axes, sizes : the axes before Y, letters among T, Z and C, the first slowest; and their lengths
    value_range : the values of black and white
    pixel_size : (row, column) of level 0 in um; None where unknown
    magnification : of the objective; None where unknown
    channel_names : one name a channel, or none
    icc_profile : unchanged
    fill : the value of what was never scanned, in all samples
    properties : what the file says besides, as text by the reader's own names
    stored : what else writing back needs: above all the OME-XML
    limits : the values at which restored integers end, where these are not black and white: white may be guessed
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    samples: int = 1
    axes: str = ""
    sizes: tuple[int, ...] = ()
    value_range: tuple[float, float] = (0.0, 255.0)
    pixel_size: tuple[float, float] | None = None
    magnification: float | None = None
    channel_names: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    fill: float = 0.0
    properties: Mapping[str, str] = field(default_factory=dict)
    stored: Stored = field(default_factory=Stored)
    limits: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The values at which restored pixels end, see `ends_of`."""
        return ends_of(self.dtype, self.value_range, self.limits)

    @property
    def plane_count(self) -> int:
        return math.prod(self.sizes)

    @property
    def channels(self) -> int:
        """Length of the axis C, 1 without one."""
        return self.sizes[self.axes.index("C")] if "C" in self.axes else 1

    @property
    def pixels(self) -> int:
        """Of level 0, over all planes."""
        return self.plane_count * self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Of level 0, over all planes, as they are in memory."""
        return self.pixels * self.samples * self.dtype.itemsize

    def channel_of(self, plane: int) -> int:
        """Which channel the plane of that number belongs to; planes are numbered with the first axis slowest."""
        if "C" not in self.axes:
            return 0
        return int(np.unravel_index(plane, self.sizes)[self.axes.index("C")])


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    shape : (h, w) in px
    downsample : how many pixels of level 0 one of its pixels is wide
    block : (h, w) of the pieces in which the file stores it, px
    compression : of these, as the format names it
    """

    shape: tuple[int, int]
    downsample: float
    block: tuple[int, int]
    compression: str = "none"


@dataclass(frozen=True)
class BadTile:
    """A piece of a slide that could not be read: where, in px of its level, and why."""

    level: int
    plane: int
    rows: Window
    columns: Window
    why: str


def checked_magnification(said: object) -> float | None:
    """A magnification that a file states; None for what is none."""
    try:
        value = float(str(said))
    except ValueError:
        return None
    return value if 0 < value < 1000 else None


class Slide(ABC):
    """An open slide. Windows may be read from several threads. Closed by `with`.

    path : of the file, or of the folder of an OME-Zarr
    format : "svs", "ndpi", "tiff", "ome-tiff", "ome-zarr" or what OpenSlide calls it
    reader : the library that reads it
    facts, levels : what it is; level 0 is the full one
    associated : (h, w) of label, macro, thumbnail, ... by name
    bad_tiles : what has been found broken so far; only where `on_bad_tile` is "mask", else the first raises
    notes : what reading changed or guessed, in words for the user
    """

    path: Path
    format: str
    reader: str
    facts: SlideFacts
    levels: tuple[Level, ...]
    associated: Mapping[str, tuple[int, int]]
    bad_tiles: list[BadTile]
    notes: tuple[str, ...]

    @abstractmethod
    def read(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> Plane:
        """The pixels (h, w, samples) of a window inside the level. A piece that is broken raises UnreadableInput that
        names its place; with `on_bad_tile` "mask" it comes as `fill`, and stands in `bad_tiles`."""

    @abstractmethod
    def is_blank(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> bool:
        """Is it known without decoding that all pixels of the window are `fill`: pieces that were never stored?"""

    @abstractmethod
    def read_associated(self, name: str) -> Shaped[np.ndarray, "h w c"]:
        """The label, macro, thumbnail, ... of that name."""

    @abstractmethod
    def fingerprint(self) -> tuple[int, ...]:
        """What tells that the files were replaced or written to: their inodes, sizes and times of the last change."""

    @abstractmethod
    def close(self) -> None:
        """Give back the files. Reading is no longer possible."""

    def check_unchanged(self, before: tuple[int, ...]) -> None:
        """Raise InputChanged unless the files are as they were when `before` was their `fingerprint`."""
        try:
            same = self.fingerprint() == before
        except OSError as error:
            raise os_error(error, self.path) from error
        if not same:
            raise InputChanged("the input changed while it was read", path=self.path, hint="run again when it is done")

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
