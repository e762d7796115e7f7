"""The scenes of a slide: the same as of an image, but of a survey, and in larger squares where they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.evaluation.assessing.findings import NO_TISSUE, Finding
from dgno.evaluation.assessing.options import AssessOptions
from dgno.evaluation.assessing.overlay import LARGEST
from dgno.evaluation.assessing.rescan import Checked, Strength
from dgno.evaluation.assessing.scenes import Scene, places_of, unknown_pixel_size
from dgno.io.limits import Limits
from dgno.io.open_slide import open_slide
from dgno.io.pixel_size import overruled
from dgno.io.slide import Slide, SlideFacts
from dgno.restorable import check_restorable
from dgno.restoration.blur_maps import Reader
from dgno.restoration.image import Progress
from dgno.restoration.slide_look import survey_slide
from dgno.restoration.slide_overview import overview
from dgno.restoration.slide_summary import Summary, summarise


@dataclass(frozen=True, eq=False)
class SlideScene(Scene):
    """One place of a slide.

    image : an overview of it; its pixel size is that of the map, which is `summary.map`
    summary : of all squares
    um : side of a pixel of the slide, um; None where unknown
    deep : um from focus for each px of sigma; None where optics are unknown
    """

    summary: Summary
    um: float | None
    deep: float | None

    @property
    def shares(self) -> Mapping[str, float]:
        """Of the tissue, the part of each type: of all squares, not of those of the map."""
        return self.summary.shares

    def checked(self, finding: Finding, strength: Strength) -> Checked:
        """What decides whether the slide should be scanned again."""
        return Checked(finding, self.place, self.summary.blurred(strength.in_pixels(self.um)))

    def finding(self, name: str, label: str) -> Finding:
        """The line of the scene, from all of its squares."""
        summary, shares = self.summary, list(self.summary.shares.values())
        return Finding(
            input=name,
            scene=label,
            type=summary.type if summary.tissue else NO_TISSUE,
            in_focus=summary.type == "in focus" if summary.tissue else None,
            confidence=summary.confidence,
            tissue=summary.tissue / max(summary.squares, 1),
            blurred=sum(shares[1:]),
            unsure=summary.unsure / max(summary.tissue, 1),
            in_focus_share=shares[0],
            defocus_share=shares[1],
            motion_share=shares[2],
            mixed_share=shares[3],
            strength=summary.median_strength,
            strength_um=None if self.um is None else summary.median_strength * self.um,
            defocus=None if self.deep is None else summary.median_sigma * self.deep,
        )


def assess_slide(
    path: Path,
    reader: Reader,
    options: AssessOptions,
    *,
    check: Callable[[int], None],
    with_pictures: bool,
    progress: Progress,
) -> tuple[list[SlideScene], int, tuple[str, ...]]:
    """The scenes that the wanted planes of a slide show, how many pixels these have, and notes from reading it.

    check : is told how many scenes there will be, before anything is read, and may raise
    Raises ConfigError (planes that are not there, no pixel size), InputError, CheckpointError, OutOfMemory.
    """
    with open_slide(path, limits=Limits(pixels=options.max_pixels)) as slide:
        before, facts = slide.fingerprint(), slide.facts
        planes = wanted_planes(slide, options)
        size = um_of(facts, options)
        if options.cone is not None and size is None:
            raise unknown_pixel_size()
        options.strength.in_pixels(size)  # refuse now what could not be told later
        places = places_of(facts.axes, facts.sizes, planes)
        check(len(places))
        survey = survey_slide(
            slide,
            reader,
            planes=planes,
            min_confidence=options.min_confidence,
            tile_size=2 * options.tile_size,  # of tiles as wide as those of images, more than a half would be context
            check=lambda image: check_restorable(image, allow_labels=options.allow_labels),
            progress=progress,
        )
        scenes = []
        for place, numbers in places.items():
            summary = summarise([survey.planes[number] for number in numbers], is_bright=survey.is_bright)
            picture = _picture(slide, numbers, with_pictures)
            scenes.append(_scene(picture, place, summary, options, facts))
        slide.check_unchanged(before)
        notes = slide.notes if options.pixel_size is None else overruled(slide.notes)
    return scenes, len(planes) * facts.shape[0] * facts.shape[1], notes


def wanted_planes(slide: Slide, options: AssessOptions) -> frozenset[int]:
    """The numbers of the planes that are to be assessed. Raises ConfigError."""
    facts = slide.facts
    nothing = np.broadcast_to(np.zeros((), np.uint8), (*facts.sizes, 1, 1))
    (planes,) = options.selection.of([Image(nothing, f"{facts.axes}YX")])
    return planes


def um_of(facts: SlideFacts, options: AssessOptions) -> float | None:
    """Side of a pixel of level 0, um."""
    if options.pixel_size is not None:
        return options.pixel_size
    return None if facts.pixel_size is None else float(np.mean(facts.pixel_size))


def _scene(
    picture: Image,
    place: tuple[tuple[str, int], ...],
    summary: Summary,
    options: AssessOptions,
    facts: SlideFacts,
) -> SlideScene:
    um = um_of(facts, options)
    size = (options.pixel_size,) * 2 if options.pixel_size is not None else facts.pixel_size
    deep = None if options.cone is None or um is None else um / options.cone.spread
    return SlideScene(
        image=replace(picture, pixel_size=None if size is None else (size[0] * summary.times, size[1] * summary.times)),
        place=dict(place),
        planes=tuple(range(picture.plane_count)),
        assessment=summary.map,
        defocus=None if deep is None else (summary.map.sigma * deep).astype(np.float32),
        times=summary.times,
        limits=facts.shape,
        summary=summary,
        um=um,
        deep=deep,
    )


def _picture(slide: Slide, planes: Sequence[int], is_wanted: bool) -> Image:
    """An overview of these planes as channels; of one black pixel where nobody wants it."""
    facts = slide.facts
    times = max(1.0, max(facts.shape) / LARGEST)
    shown = [overview(slide, plane, times=times).pixels for plane in planes] if is_wanted else []
    pixels = np.stack(shown) if shown else np.zeros((1, 1, 1, facts.samples), facts.dtype)
    colour = facts.samples >= 3
    return Image(pixels if colour else pixels[..., 0], "CYXS" if colour else "CYX", facts.value_range)
