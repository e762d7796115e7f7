"""Any image that dgno reads, as a slide: one level in memory, so that it can be written with all levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Image, Plane
from dgno.errors import ConfigError, UnsupportedInput
from dgno.io.image import read_images, storable
from dgno.io.limits import DEFAULT_LIMITS, Limits
from dgno.io.opening import os_error
from dgno.io.slide import Level, Slide, SlideFacts, Window
from dgno.io.tiff_levels import NO_ALPHA, plane_axes


class ImageSlide(Slide):
    """A slide over the only image of a file. Nothing of it is blank, and nothing can break once it is read."""

    reader = "dgno"

    def __init__(self, path: Path, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.path = path
        self._before = self._state()
        images = [storable(image) for image in read_images(path, limits=limits)]
        if len(images) > 1:
            what = f"{len(images)} images in one file, and a pyramid is of one"
            raise UnsupportedInput(what, path=path, hint="write .ome.tif, or a file for each of them")
        image = images[0]
        if image.alpha is not None:
            raise UnsupportedInput("an image with transparency, which slides do not have", path=path, hint=NO_ALPHA)
        self._planes: tuple[Plane, ...] = tuple(image.planes())
        self.format = image.stored.format
        self.facts, self.notes = _facts_of(image)
        shape = self.facts.shape
        self.levels = (Level(shape, 1.0, shape),)
        self.associated, self.bad_tiles = {}, []

    def read(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> Plane:
        height, width = self.facts.shape
        if level or not (0 <= rows[0] < rows[1] <= height and 0 <= columns[0] < columns[1] <= width):
            what = f"rows {rows[0]} to {rows[1]}, columns {columns[0]} to {columns[1]} of level {level}"
            raise ConfigError(f"{what} were asked for; there is level 0 of {height} x {width} px")
        return self._planes[plane][slice(*rows), slice(*columns)].copy()

    def is_blank(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> bool:
        return False

    def read_associated(self, name: str) -> Shaped[np.ndarray, "h w c"]:
        raise ConfigError(f"the image has no picture {name!r}", hint="only slides have some")

    def fingerprint(self) -> tuple[int, ...]:
        """Of the file as it stands now, and as it was when it was read."""
        return (*self._before, *self._state())

    def close(self) -> None:
        self._planes = ()

    def _state(self) -> tuple[int, ...]:
        try:
            now = self.path.stat()
        except OSError as error:
            raise os_error(error, self.path) from error
        return now.st_ino, now.st_size, now.st_mtime_ns


def _facts_of(image: Image) -> tuple[SlideFacts, tuple[str, ...]]:
    """The facts, and notes."""
    lengths = dict(zip(image.axes, image.pixels.shape, strict=True))
    own = [axis for axis in image.axes if axis not in "YXS" and lengths[axis] > 1]
    named = plane_axes(own)
    notes = image.notes
    if named != own:
        notes = (*notes, f"the axes {''.join(own)} are written as {''.join(named)}")
    height, width = image.shape_without_samples[-2:]
    facts = SlideFacts(
        (height, width),
        image.pixels.dtype.newbyteorder("="),
        image.samples,
        "".join(named),
        tuple(lengths[axis] for axis in own),
        image.value_range,
        image.pixel_size,
        channel_names=image.channel_names if "C" in named or len(image.channel_names) == 1 else (),
        icc_profile=image.icc_profile,
        stored=image.stored,
        limits=image.limits,
    )
    return facts, notes
