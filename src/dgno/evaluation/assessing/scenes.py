"""The scenes of a file: what one exposure, or one for each channel, shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dgno.arrays import Image
from dgno.errors import ConfigError
from dgno.evaluation.assessing.findings import Finding, find
from dgno.evaluation.assessing.options import AssessOptions
from dgno.evaluation.assessing.regions import Region, regions_of
from dgno.restorable import check_restorable
from dgno.restoration.assessment import Assessment, assess_image, worst_of
from dgno.restoration.blur_maps import Reader
from dgno.restoration.image import Progress
from dgno.restoration.nonfinite import fill

Place = tuple[tuple[str, int], ...]  # axes and numbers


@dataclass(frozen=True, eq=False)
class Scene:
    """One place of a stack, all channels of it.

    place : where, by axis: "z" and "t" count from 0, and so do others that a file may have
    planes : their numbers in the image
    assessment : of the planes together
    defocus : um from focus, (rows, columns), where optics are known
    times : how many px of the file one px of the assessment is wide
    limits : (h, w) of the plane of the file, px
    """

    image: Image
    place: Mapping[str, int]
    planes: tuple[int, ...]
    assessment: Assessment
    defocus: np.ndarray | None
    times: int
    limits: tuple[int, int]

    @property
    def label(self) -> str:
        """The place in words."""
        return " ".join(f"{axis} {number}" for axis, number in self.place.items())

    @property
    def shares(self) -> Mapping[str, float]:
        """Of the tissue, the part of each type."""
        return self.assessment.shares

    @property
    def regions(self) -> list[Region]:
        """The blurred regions, in px of the file."""
        found = regions_of(self.assessment, self.defocus)
        return found if self.times == 1 else [region.enlarged(self.times, self.limits) for region in found]

    def finding(self, name: str, label: str) -> Finding:
        """The line of the scene."""
        size = self.image.pixel_size
        um = None if size is None else float(np.mean(size))
        return find(name, label, self.assessment, defocus=self.defocus, pixel_size=um)


def scenes_of(image: Image, planes: Collection[int]) -> dict[Place, list[int]]:
    """The wanted planes of an image by the place that they share."""
    shape = image.shape_without_samples[:-2]
    return places_of(image.axes[: len(shape)], shape, planes)


def places_of(axes: str, shape: Sequence[int], planes: Collection[int]) -> dict[Place, list[int]]:
    """The wanted planes by the place that they share, whatever their channel; axes of length 1 say nothing."""
    axes = axes.lower()
    found: dict[Place, list[int]] = {}
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
        if options.cone is not None and image.pixel_size is None:
            raise unknown_pixel_size()
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
            defocus = self._defocus(image, together)
            scenes.append(Scene(filled, dict(place), tuple(numbers), together, defocus, 1, together.shape))
        return scenes

    def _defocus(self, image: Image, assessment: Assessment) -> np.ndarray | None:
        cone, size = self.options.cone, image.pixel_size
        return None if cone is None or size is None else assessment.defocus(cone, float(np.mean(size)))


def unknown_pixel_size() -> ConfigError:
    """The error for defocus that is wanted in um of an image in px."""
    what = "defocus in um needs the pixel size, which the file does not tell"
    return ConfigError(what, hint="say --pixel-size UM, or leave --numerical-aperture out")
