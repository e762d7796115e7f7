"""A blur in one part of the image, the rest in focus: as where a section is folded, or a slide not flat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dgno.optics.exposure import Blur, Fact, Optics, Scene
from dgno.optics.psf import PSF


@dataclass(frozen=True)
class PartBlur:
    """A blur in one part of the image: h + w (K h - h), w from 0 to 1."""

    whole: Blur
    weight: Float[Tensor, "h w"]

    def apply(self, h: Tensor) -> Tensor:
        """The blurred image."""
        return h + self.weight * (self.whole.apply(h) - h)

    def adjoint(self, g: Tensor) -> Tensor:
        """The transpose of `apply`."""
        return g + self.whole.adjoint(self.weight * g) - self.weight * g


@dataclass(frozen=True)
class PartOptics:
    """Optics that blur one part of the image."""

    optics: Optics
    weight: Float[Tensor, "h w"]

    def blur(self, channels: int) -> PartBlur:
        """The operator for images of so many channels."""
        return PartBlur(self.optics.blur(channels), self.weight)

    def maps(self) -> Mapping[str, Scene]:
        """Those of the whole blur, and where it is."""
        return {**self.optics.maps(), "weight": self.weight[None]}

    def mean_psf(self, channels: int) -> PSF:
        """That of the whole blur, in its part of the image."""
        psf, share = self.optics.mean_psf(channels), float(self.weight.mean())
        mean = share * psf
        mean[len(psf) // 2, len(psf) // 2] += 1 - share
        return mean

    def facts(self, channels: int) -> Mapping[str, Fact]:
        """Those of the whole blur, and its share of the image."""
        return {**self.optics.facts(channels), "share": round(float(self.weight.mean()), 4)}

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """At most that of the whole blur."""
        return self.optics.bank_error(scene, rng)
