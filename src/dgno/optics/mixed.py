"""Defocus and motion together. Where one of them varies over the image, the order of the two matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice
from dgno.errors import ConfigError
from dgno.optics.exposure import Blur, Fact, Optics, OpticsRange, Scene
from dgno.optics.psf import PSF

ORDERS = ("motion-last", "motion-first")
Images = Float[Tensor, "*batch h w"]


@dataclass(frozen=True)
class InTurn:
    """One blur, and then another."""

    first: Blur
    second: Blur

    def apply(self, h: Images) -> Images:
        """The blurred image."""
        return self.second.apply(self.first.apply(h))

    def adjoint(self, g: Images) -> Images:
        """The transpose of `apply`."""
        return self.first.adjoint(self.second.adjoint(g))


@dataclass(frozen=True)
class MixedOptics:
    """Defocus and motion.

    order : "motion-last" where the defocus belongs to the specimen, which moves with it: g = M K h; "motion-first"
        where it belongs to the field of view: g = K M h
    """

    defocus: Optics
    motion: Optics
    order: str = ORDERS[0]

    def _in_order(self) -> tuple[Optics, Optics]:
        return (self.defocus, self.motion) if self.order == ORDERS[0] else (self.motion, self.defocus)

    def blur(self, channels: int) -> InTurn:
        """The operator for images of so many channels."""
        first, second = self._in_order()
        return InTurn(first.blur(channels), second.blur(channels))

    def mean_psf(self, channels: int) -> PSF:
        """The mean PSFs convolved: the average PSF where one of the two is the same everywhere."""
        from scipy.signal import fftconvolve  # here: it takes half a second, and restoring does without

        psf = fftconvolve(self.defocus.mean_psf(channels), self.motion.mean_psf(channels)).clip(min=0)
        return psf / psf.sum()

    def maps(self) -> Mapping[str, Scene]:
        """Those of both."""
        return {**self.defocus.maps(), **self.motion.maps()}

    def facts(self, channels: int) -> Mapping[str, Fact]:
        """Those of both; where they share a name, that of the motion begins with "motion_"."""
        defocus, motion = self.defocus.facts(channels), self.motion.facts(channels)
        renamed = {f"motion_{key}" if key in defocus else key: value for key, value in motion.items() if key != "psf"}
        return {**defocus, **renamed, "psf": f"{defocus['psf']} and motion", "order": self.order}

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """The sum of both: a bound of the whole, as neither blur makes an error of the other larger."""
        first, second = self._in_order()
        between = first.blur(scene.shape[0]).apply(scene)
        return first.bank_error(scene, rng) + second.bank_error(between, rng)


@dataclass(frozen=True)
class MixedRange:
    """Random defocus and random motion, drawn in this order; `order` as in `MixedOptics`."""

    defocus: OpticsRange
    motion: OpticsRange
    order: str = ORDERS[0]

    def __post_init__(self) -> None:
        if problems := refuse_choice("order", self.order, ORDERS):
            raise ConfigError(problems[0])

    def draw_optics(self, shape: tuple[int, int], rng: np.random.Generator) -> MixedOptics:
        """A random blur."""
        defocus = self.defocus.draw_optics(shape, rng)
        return MixedOptics(defocus, self.motion.draw_optics(shape, rng), self.order)
