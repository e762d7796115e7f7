"""Where and how an image is blurred: type and strength in squares of CELL px, of the tissue alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from dgno.arrays import Affine, Image, Opacity, Plane
from dgno.checks import refuse_number
from dgno.errors import ConfigError
from dgno.optics.blur_types import BLUR_TYPES, CELL, DEFOCUS, IN_FOCUS, MIXED, MOTION
from dgno.optics.defocus_cone import DefocusCone
from dgno.restorable import check_finite, check_float32
from dgno.restoration import TILE_SIZE
from dgno.restoration.blur_maps import Maps, Reader, pad_to_squares, read_maps, tiles_of
from dgno.restoration.image import Normalizer, Progress, by_percentiles, by_range
from dgno.restoration.smoothing import smooth_maps
from dgno.restoration.tissue import find_tissue, is_bright_field

BACKGROUND = 255  # among the numbers of types: nothing is there that could be blurred
BLURRED = tuple(name for name in BLUR_TYPES if name != IN_FOCUS)
OF_FOCUS, OF_MOTION = (DEFOCUS, MIXED), (MOTION, MIXED)  # the types that have a sigma, and a length

SMALLEST = 4 * CELL  # px; of what is narrower nothing can be told, and nothing is done to it

Numbers = Float[np.ndarray, "rows columns"]


@dataclass(frozen=True, eq=False, repr=False)
class Assessment:
    """How one plane is blurred, in squares of CELL px; the last of a row or column may reach beyond the plane.

    shape : (h, w) of the plane in px
    likelihoods : probabilities of BLUR_TYPES
    types : numbers of the likeliest, in the order of BLUR_TYPES; BACKGROUND where there is no tissue
    sigma : px, standard deviation of the defocus along an axis; 0 where the type has none
    length, angle : px and degrees of the motion, as in `BlurReading`; 0 where the type has none
    abstained : squares of tissue that count as in focus because no type was likely enough
    min_confidence : how likely a type of blur must be
    """

    shape: tuple[int, int]
    likelihoods: Float[np.ndarray, "4 rows columns"]
    types: UInt8[np.ndarray, "rows columns"]
    sigma: Numbers
    length: Numbers
    angle: Numbers
    abstained: Bool[np.ndarray, "rows columns"]
    min_confidence: float = 0.0

    def __repr__(self) -> str:
        """In one line; notebooks print it."""
        height, width = self.shape
        if not self.tissue.any():
            return f"Assessment(nothing that could be blurred; {height} x {width} px)"
        shares = ", ".join(f"{name} {100 * share:.3g} %" for name, share in self.shares.items() if share)
        strength = f", median strength {self.median_strength:.3g} px" if self.blurred.any() else ""
        return f"Assessment({self.type}, probability {self.confidence:.3g}; {shares}{strength}; {height} x {width} px)"

    @property
    def tissue(self) -> Bool[np.ndarray, "rows columns"]:
        """Where there is something that can be blurred."""
        return self.types != BACKGROUND

    @property
    def strength(self) -> Numbers:
        """px: standard deviation of the whole added blur along the axis where it is widest.

        sqrt(sigma^2 + (L^2 - 1) / 12): the variances of the defocus and of L equal pixels add up. 0 in focus and on the
        background.
        """
        return np.sqrt(self.sigma**2 + (self.length**2 - 1).clip(0) / 12)

    @property
    def probabilities(self) -> dict[str, float]:
        """Of every type, on average over the tissue; all 0 without any."""
        seen = self.likelihoods[:, self.tissue]
        means = seen.mean(1, dtype=np.float64) if seen.size else np.zeros(4)
        return dict(zip(BLUR_TYPES, means.tolist(), strict=True))

    @property
    def type(self) -> str:
        """The likeliest for the tissue as a whole; in focus if there is none, or no type is likely enough."""
        found = max(self.probabilities, key=self.probabilities.__getitem__)
        return found if self.confidence >= self.min_confidence else IN_FOCUS

    @property
    def in_focus(self) -> bool:
        """Is the whole best left as it is?"""
        return self.type == IN_FOCUS

    @property
    def confidence(self) -> float:
        """The probability of the likeliest type for the whole, in [0, 1]; 0 without tissue."""
        return max(self.probabilities.values())

    @property
    def shares(self) -> dict[str, float]:
        """Of the tissue, the part of each type."""
        total = max(int(self.tissue.sum()), 1)
        return {name: float((self.types == i).sum()) / total for i, name in enumerate(BLUR_TYPES)}

    @property
    def blurred(self) -> Bool[np.ndarray, "rows columns"]:
        """Squares that are of any type of blur."""
        return self.tissue & (self.types != BLUR_TYPES.index(IN_FOCUS))

    @property
    def median_strength(self) -> float:
        """px, over the blurred squares; 0 without any."""
        return float(np.median(self.strength[self.blurred])) if self.blurred.any() else 0.0

    def defocus(self, cone: DefocusCone, pixel_size: float) -> Numbers:
        """um from focus, on either side, by the objective's cone of light; 0 where there is no defocus.

        pixel_size : um
        """
        return (self.sigma * (pixel_size / cone.spread)).astype(np.float32)

    def as_one(self) -> Assessment:
        """The same with all of the plane of one type, its `type`: DBMID, which chooses for whole images."""
        return replace(self, types=np.full_like(self.types, BLUR_TYPES.index(self.type)))


def assess_image(
    image: Image,
    reader: Reader,
    *,
    normalize: Normalizer | None = None,
    planes: Collection[int] | None = None,
    min_confidence: float = 0.0,
    tile_size: int = TILE_SIZE,
    progress: Progress = lambda share: None,
) -> dict[int, Assessment]:
    """How every plane is blurred, by its number in the order of `Image.planes`.

    Colours of a pixel are read together. Channels and pages are planes of their own, since each was focused, exposed
    and moved for itself; `worst_of` sums several up.

    reader : see `dgno.restoration.blur_maps`
    normalize : the map of pixel values to [0, 1] for the reader; by default the range of bright-field images, the
        percentiles of others
    planes : numbers of those to assess; None: all
    min_confidence : a square whose likeliest type is a blur, but less likely than this, counts as in focus
    tile_size : side of the tiles in px, context included; 0 takes whole planes at once

    Raises NonFiniteInput, InputOutOfRange, ChannelMismatch, ConfigError, OutOfMemory.
    """
    if problems := refuse_number("min_confidence", min_confidence, 0, 1):
        raise ConfigError("nothing can be decided", why="; ".join(problems))
    check_finite(image, planes)
    check_float32(image)
    usual = by_range if is_bright_field(image) else by_percentiles
    wanted = range(image.plane_count) if planes is None else sorted(planes)
    found: dict[int, Assessment] = {}
    for i, (plane, opacity) in enumerate(zip(image.planes(), image.opacities(), strict=True)):
        if i in wanted and plane.size:
            steps = _Steps(progress, len(found), len(wanted))
            channel = image.channel_of(i)
            affines = (normalize or usual)(image, channel), usual(image, channel)
            maps = _maps(plane, reader, affines, opacity=opacity, tile_size=tile_size, steps=steps)
            found[i] = decide(maps, plane.shape[:2], min_confidence=min_confidence)
    progress(1.0)
    return found


@dataclass
class _Steps:
    """Tells how much is done while one of several planes is read."""

    progress: Progress
    done: int
    planes: int

    def of(self, count: int) -> Callable[[], None]:
        tiles = iter(range(1, count + 1))
        return lambda: self.progress((self.done + next(tiles) / count) / self.planes)


def _maps(
    plane: Plane,
    reader: Reader,
    affines: tuple[Affine, Affine],
    *,
    opacity: Opacity | None,
    tile_size: int,
    steps: _Steps,
) -> tuple[Maps, Bool[np.ndarray, "rows columns"]]:
    """The smoothed maps of a plane, and its tissue. Without tissue the reader is not asked."""
    squares = pad_to_squares(plane)
    seen = None if opacity is None else pad_to_squares(opacity)
    ask, scale = affines
    tissue, core = find_tissue(squares, (scale.offset, scale.offset + scale.scale), opacity=seen)
    if not core.any():
        return np.zeros((7, *tissue.shape), np.float32), np.zeros_like(tissue)
    count = len(tiles_of(reader, (squares.shape[0], squares.shape[1]), tile_size))
    maps = read_maps(squares, reader, ask, opacity=seen, tile_size=tile_size, on_tile=steps.of(count))
    return smooth_maps(maps, core), tissue


def decide(
    found: tuple[Maps, Bool[np.ndarray, "rows columns"]], shape: Sequence[int], *, min_confidence: float
) -> Assessment:
    """Smoothed maps and tissue -> the likeliest types, and the parameters that they have."""
    maps, tissue = found
    if min(shape[:2]) < SMALLEST:
        tissue = np.zeros_like(tissue)
    likelihoods = maps[:4] * tissue
    types: Int[np.ndarray, "rows columns"] = likelihoods.argmax(0)
    unsure = tissue & (types != BLUR_TYPES.index(IN_FOCUS)) & (likelihoods.max(0) < min_confidence)
    types = np.where(tissue, np.where(unsure, BLUR_TYPES.index(IN_FOCUS), types), BACKGROUND)
    out_of_focus, moved = (
        np.isin(types, [BLUR_TYPES.index(name) for name in names]) for names in (OF_FOCUS, OF_MOTION)
    )
    sigma, length, angle = maps[4:]
    return Assessment(
        shape=(shape[0], shape[1]),
        likelihoods=likelihoods,
        types=types.astype(np.uint8),
        sigma=sigma.clip(0) * out_of_focus,
        length=length.clip(0) * moved,
        angle=angle * moved,
        abstained=unsure,
        min_confidence=min_confidence,
    )


def worst_of(assessments: Sequence[Assessment]) -> Assessment:
    """Several planes of one scene as one: every square as in the plane with tissue where it is blurred most."""
    if len(assessments) == 1:
        return assessments[0]
    strengths = np.stack([np.where(a.tissue, a.strength, -1.0) for a in assessments])
    worst = strengths.argmax(0)[None, None]

    def chosen(values: Sequence[np.ndarray]) -> np.ndarray:
        """Of maps (..., rows, columns), one for each plane."""
        stack = np.stack(values).reshape(len(values), -1, *worst.shape[2:])
        return np.take_along_axis(stack, worst, axis=0)[0].reshape(values[0].shape)

    return replace(
        assessments[0],
        likelihoods=chosen([a.likelihoods for a in assessments]),
        types=chosen([a.types for a in assessments]),
        sigma=chosen([a.sigma for a in assessments]),
        length=chosen([a.length for a in assessments]),
        angle=chosen([a.angle for a in assessments]),
        abstained=chosen([a.abstained for a in assessments]),
    )
