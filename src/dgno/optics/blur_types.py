"""The four types of blur that DBMID tells apart, and exposures drawn by type.

Jiang et al. 2020, arXiv:2011.11879.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice
from dgno.errors import ConfigError
from dgno.optics.exposure import CameraRange, Exposure, OpticsRange, PairRange
from dgno.optics.mixed import MixedOptics
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange

IN_FOCUS, DEFOCUS, MOTION, MIXED = BLUR_TYPES = ("in focus", "defocus", "motion", "mixed")
NO_BLUR = BlurRange(sigma=(0.0, 0.0), fields=("constant",))

LEAST_DEFOCUS = 2.0  # px, beside motion: less is hardly told from a camera's own softness
VISIBLE = 6.0  # px of motion per px of sigma: the blur is then twice as wide along the path as across
CELL = 8  # px, side of the squares that blur is read for


@dataclass(frozen=True)
class BlurReading:
    """How images are blurred, in squares of CELL x CELL px.

    types : probabilities in the order of BLUR_TYPES
    sigma : px, standard deviation of the defocus along an axis, where there is any
    length, angle : px and degrees in [0, 180), of the motion, where there is any; 0 to the right, 90 down
    """

    types: Float[Tensor, "b 4 rows columns"]
    sigma: Float[Tensor, "b rows columns"]
    length: Float[Tensor, "b rows columns"]
    angle: Float[Tensor, "b rows columns"]


@dataclass(frozen=True)
class TypedRange:
    """Random exposures of some types, each as often as the others.

    defocus : also of the camera
    motion : of the types "motion" and "mixed"; in mixed blur the specimen is out of focus, and moves
    types : of BLUR_TYPES; one that is there twice is drawn twice as often
    """

    defocus: BlurRange = field(default_factory=BlurRange)
    motion: MotionRange = field(default_factory=lambda: MotionRange((5.0, 40.0)))
    types: tuple[str, ...] = BLUR_TYPES

    def __post_init__(self) -> None:
        problems = [] if self.types else [f"types is empty, known: {', '.join(BLUR_TYPES)}"]
        problems += [p for i, name in enumerate(self.types) for p in refuse_choice(f"types[{i}]", name, BLUR_TYPES)]
        if problems:
            raise ConfigError("no type of blur can be drawn", why="; ".join(problems))

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> Exposure:
        """A random exposure of a random type."""
        return self.draw_typed(shape, rng)[1]

    def draw_typed(self, shape: tuple[int, int], rng: np.random.Generator) -> tuple[str, Exposure]:
        """A random type, and a random exposure of it."""
        name = self.types[rng.integers(len(self.types))]
        camera = CameraRange(self.defocus.photons, self.defocus.read_noise)
        return name, PairRange(self._optics(name), camera).draw(shape, rng)

    def _optics(self, name: str) -> OpticsRange:
        by_name: dict[str, OpticsRange] = {
            IN_FOCUS: NO_BLUR,
            DEFOCUS: self.defocus,
            MOTION: self.motion,
            MIXED: VisiblyMixed(self.defocus, self.motion),
        }
        return by_name[name]


@dataclass(frozen=True)
class VisiblyMixed:
    """Defocus, and then a motion, both so strong that they can be told from one alone.

    The motion is at least VISIBLE times the mean sigma long; so sigma is at most a VISIBLE-th of the longest motion. It
    is at least LEAST_DEFOCUS, or the largest there is.
    """

    defocus: BlurRange
    motion: MotionRange

    def draw_optics(self, shape: tuple[int, int], rng: np.random.Generator) -> MixedOptics:
        """A random blur."""
        (weakest, strongest), (low, high) = self.defocus.sigma, self.motion.length
        strongest = max(min(strongest, high / VISIBLE), weakest)
        sigma = (min(max(weakest, LEAST_DEFOCUS), strongest), strongest)
        defocus = replace(self.defocus, sigma=sigma).draw_optics(shape, rng)
        visible = replace(self.motion, length=(min(max(low, VISIBLE * float(defocus.sigma.mean())), high), high))
        return MixedOptics(defocus, visible.draw_optics(shape, rng))
