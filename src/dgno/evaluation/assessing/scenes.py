"""The scenes of a file: what one exposure, or one for each channel, shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dgno.arrays import Image
from dgno.errors import ConfigError
from dgno.evaluation.assessing.options import AssessOptions
from dgno.restorable import check_restorable
from dgno.restoration.assessment import Assessment, assess_image, worst_of
from dgno.restoration.blur_maps import Reader
from dgno.restoration.image import Progress
from dgno.restoration.nonfinite import fill


@dataclass(frozen=True, eq=False)
class Scene:
    """One place of a stack, all channels of it.

    place : where, by axis: "z" and "t" count from 0, and so do others that a file may have
    planes : their numbers in the image
    assessment : of the planes together
    defocus : um from focus, (rows, columns), where optics are known
    """

    image: Image
    place: Mapping[str, int]
    planes: tuple[int, ...]
    assessment: Assessment
    defocus: np.ndarray | None

    @property
    def label(self) -> str:
        """The place in words."""
        return " ".join(f"{axis} {number}" for axis, number in self.place.items())


def scenes_of(image: Image, planes: frozenset[int]) -> dict[tuple[tuple[str, int], ...], list[int]]:
    """The wanted planes by the place that they share, whatever their channel; axes of length 1 say nothing."""
    shape = image.shape_without_samples[:-2]
    axes = image.axes[: len(shape)].lower()
    found: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for number in sorted(planes):
        index = np.unravel_index(number, shape) if shape else ()
        place = tuple((a, int(i)) for a, i, n in zip(axes, index, shape, strict=True) if a != "c" and n > 1)
        found.setdefault(place, []).append(number)
    return found


class Viewer:
    """Assesses the scenes of images, all by one reader and in one way."""

    def __init__(self, reader: Reader, options: AssessOptions) -> None:
        self.reader, self.options = reader, options

    def scenes(self, image: Image, planes: frozenset[int], *, progress: Progress) -> list[Scene]:
        """The scenes that these planes show."""
        if not planes:
            return []
        options = self.options
        check_restorable(
            image, planes, allow_labels=options.allow_labels, allow_nonfinite=options.nonfinite != "refuse"
        )
        if options.pixel_size is not None:
            image = replace(image, pixel_size=(options.pixel_size,) * 2)
        filled, _ = fill(image, options.nonfinite)
        found = assess_image(
            filled,
            self.reader,
            planes=planes,
            min_confidence=options.min_confidence,
            tile_size=options.tile_size,
            progress=progress,
        )
        scenes = []
        for place, numbers in scenes_of(image, planes).items():
            together = worst_of([found[number] for number in numbers])
            scenes.append(Scene(filled, dict(place), tuple(numbers), together, self._defocus(image, together)))
        return scenes

    def _defocus(self, image: Image, assessment: Assessment) -> np.ndarray | None:
        cone = self.options.cone
        if cone is None:
            return None
        if image.pixel_size is None:
            hint = "say --pixel-size, or leave --numerical-aperture out"
            raise ConfigError("defocus in um needs the pixel size, which the file does not tell", hint=hint)
        return assessment.defocus(cone, float(np.mean(image.pixel_size)))
