"""Exposures as different as users' images are, for training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from dgno.checks import refuse_interval, refuse_number
from dgno.errors import ConfigError
from dgno.optics.exposure import NO_NOISE, Camera, CameraRange, Exposure, Optics
from dgno.optics.objectives import OBJECTIVES, ObjectiveOptics
from dgno.optics.simulate import LARGEST_SIGMA, BlurRange, SigmaOptics


@dataclass(frozen=True)
class Variety:
    """How often, 0 to 1, exposures differ from those of a `BlurRange`: probabilities, each drawn by itself.

    in_focus : without blur
    strong, strongest : with a blur from the largest sigma of the range up to `strongest` px
    objectives : blurred by diffraction through an objective of `OBJECTIVES`, in place of a soft disk
    clean : without noise of the camera: what is sharp and clean must come back as it is
    eight_bit : in 256 steps of gray
    jpeg, quality : stored as JPEG of a quality in this range

    What is drawn, in this order:
        1. whether in focus, whether strong, whether through an objective. In focus goes first: then the other two mean
           nothing. So strong (1 - in_focus) of all exposures have a strong blur, and objectives (1 - in_focus) are
           diffracted; both at once is possible, of a strength up to `strongest`
        2. the map of strengths, from the range or, where strong, from (largest sigma, strongest) in place of its
           sigma; where in focus it is 0 everywhere
        3. where diffracted, the objective, each of `OBJECTIVES` as likely; the softness that 2 drew means nothing then
        4. whether clean, whether in 256 steps, whether JPEG, all at once possible
        5. photons and read noise of the range, dropped where clean; the quality, dropped where not JPEG
        6. the seed of the noise
    """

    in_focus: float = 0.0
    strong: float = 0.0
    strongest: float = 13.0
    objectives: float = 0.0
    clean: float = 0.0
    eight_bit: float = 0.0
    jpeg: float = 0.0
    quality: tuple[float, float] = (60.0, 95.0)

    def __post_init__(self) -> None:
        shares = ("in_focus", "strong", "objectives", "clean", "eight_bit", "jpeg")
        problems = [problem for name in shares for problem in refuse_number(name, getattr(self, name), 0, 1)]
        problems += refuse_number("strongest", self.strongest, 0, LARGEST_SIGMA)
        problems += refuse_interval("quality", self.quality, 1, 100)
        if problems:
            raise ConfigError("exposures cannot vary so", why="; ".join(problems))

    def refuse_beside(self, defocus: BlurRange) -> list[str]:
        """What is wrong with this variety of that range: blur that is called strong, and weaker than its strongest."""
        if not self.strong or self.strongest >= defocus.sigma[1]:
            return []
        return [f"strongest is {self.strongest} px, wanted at least the {defocus.sigma[1]} px of sigma"]


@dataclass(frozen=True)
class VariedRange:
    """Random exposures of some variety.

    defocus : sigma, its maps and the camera of those that do not differ
    """

    defocus: BlurRange = field(default_factory=BlurRange)
    variety: Variety = field(default_factory=Variety)

    def __post_init__(self) -> None:
        if problems := self.variety.refuse_beside(self.defocus):
            raise ConfigError("exposures cannot vary so", why="; ".join(problems))

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> Exposure:
        """A random exposure of a scene of this height and width."""
        optics, camera = self._optics(shape, rng), self._camera(rng)
        return Exposure(optics, camera, int(rng.integers(2**62)))

    def _optics(self, shape: tuple[int, int], rng: np.random.Generator) -> Optics:
        v, strength = self.variety, self.defocus
        is_sharp, is_strong, is_diffracted = rng.random(3) < (v.in_focus, v.strong, v.objectives)
        if is_sharp:
            return replace(strength, sigma=(0.0, 0.0), fields=("constant",)).draw_optics(shape, rng)
        if is_strong:
            strength = replace(strength, sigma=(strength.sigma[1], v.strongest))
        drawn: SigmaOptics = strength.draw_optics(shape, rng)
        if not is_diffracted:
            return drawn
        objective = OBJECTIVES[rng.integers(len(OBJECTIVES))]
        return ObjectiveOptics(drawn.sigma, objective, drawn.field, drawn.reading, drawn.boundary)

    def _camera(self, rng: np.random.Generator) -> Camera:
        v = self.variety
        is_clean, has_steps, is_jpeg = rng.random(3) < (v.clean, v.eight_bit, v.jpeg)
        camera = CameraRange(self.defocus.photons, self.defocus.read_noise).draw(rng)
        if is_clean:
            camera = NO_NOISE
        quality = round(float(rng.uniform(*v.quality)))
        return replace(camera, bits=8 if has_steps else None, quality=quality if is_jpeg else None)
