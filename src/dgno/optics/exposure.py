"""One exposure: optics, then a camera, then a file. What was drawn is kept, so that it can be written beside the image.

Order of the steps: light -> blur -> photon and read noise -> steps of gray -> code values -> JPEG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_interval, refuse_number
from dgno.errors import ConfigError
from dgno.optics.camera import BITS, jpeg, quantised
from dgno.optics.noise import poisson_gaussian
from dgno.optics.psf import PSF
from dgno.optics.srgb import in_linear_light, srgb_decode

Scene = Float[Tensor, "c h w"]
Fact = str | float
MOST_PHOTONS = 1e15  # torch counts them in float32, up to 2^63


@runtime_checkable
class Blur(Protocol):
    """A blur as a linear operator."""

    def apply(self, h: Tensor) -> Tensor:
        """The blurred image (..., h, w)."""
        ...

    def adjoint(self, g: Tensor) -> Tensor:
        """The transpose of `apply`."""
        ...


@runtime_checkable
class Optics(Protocol):
    """A blur that was drawn, and all there is to know of it."""

    def blur(self, channels: int) -> Blur:
        """The operator for images of so many channels."""
        ...

    def mean_psf(self, channels: int) -> PSF:
        """The average PSF over all pixels and channels."""
        ...

    def maps(self) -> Mapping[str, Scene]:
        """What varies over the image, by the name of its folder: sigma (px), z (um), motion (length px, angle)."""
        ...

    def facts(self, channels: int) -> Mapping[str, Fact]:
        """Everything else: the columns of a manifest."""
        ...

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """Largest error of interpolated PSFs at 64 random pixels of this scene, see `dgno.optics.bank_error`."""
        ...


@dataclass(frozen=True)
class Camera:
    """What happens to the light after the optics.

    photons : detected at full scale; infinite for none of their noise
    read_noise : standard deviation in units of full scale
    bits : steps of gray, 2^bits from 0 to 1; None leaves the values as they are
    quality : of JPEG, 1 to 100; None writes none
    """

    photons: float
    read_noise: float
    bits: int | None = None
    quality: int | None = None

    def detect(self, light: Scene, generator: torch.Generator) -> Scene:
        """Light with noise, in steps of gray."""
        noisy = poisson_gaussian(light, photons=self.photons, read_noise=self.read_noise, generator=generator)
        return noisy if self.bits is None else quantised(noisy, self.bits)

    def store(self, values: Scene) -> Scene:
        """Code values as the file gives them back."""
        return values if self.quality is None else jpeg(values, self.quality)


@dataclass(frozen=True)
class CameraRange:
    """What a random camera may be like.

    photons, read_noise : (smallest, largest), drawn log-uniformly and uniformly; see `Camera` for the rest
    """

    photons: tuple[float, float] = (2000.0, 2000.0)
    read_noise: tuple[float, float] = (0.005, 0.005)
    bits: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        if problems := self.problems(self.photons, self.read_noise, self.bits, self.quality):
            raise ConfigError("no camera can be drawn from these ranges", why="; ".join(problems))

    @staticmethod
    def problems(photons: object, read_noise: object, bits: object = None, quality: object = None) -> list[str]:
        """What is wrong with these fields."""
        problems = refuse_interval("photons", photons, 1, MOST_PHOTONS)
        problems += refuse_interval("read_noise", read_noise, 0, 1)
        if bits is not None and bits not in BITS:
            problems.append(f"bits is {bits!r}, known: {', '.join(map(str, BITS))}")
        return problems + ([] if quality is None else refuse_number("quality", quality, 1, 100))

    def draw(self, rng: np.random.Generator) -> Camera:
        """A random camera."""
        photons = float(np.exp(rng.uniform(*np.log(self.photons))))
        return Camera(photons, float(rng.uniform(*self.read_noise)), self.bits, self.quality)


NO_NOISE = Camera(float("inf"), 0.0)


@dataclass(frozen=True)
class Exposure:
    """One drawn exposure: optics, camera, and the noise's seed.

    linear_light : colours are sRGB code values, and the light behind them is blurred; gray stays as it is
    """

    optics: Optics
    camera: Camera
    noise_seed: int
    linear_light: bool = False

    def of(self, scene: Scene, plane: int = 0) -> Scene:
        """The blurred and noisy image of a scene in [0, 1]; noise may leave the range.

        plane : of an image whose planes are exposed one by one; each has noise of its own
        """
        seed = self.noise_seed
        if plane:
            seed = int(np.random.SeedSequence([seed, plane]).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)

        def expose(light: Scene) -> Scene:
            return self.camera.detect(self.optics.blur(light.shape[0]).apply(light), generator)

        is_coded = self._is_coded(scene.shape[0])
        return self.camera.store(in_linear_light(expose, scene) if is_coded else expose(scene))

    def facts(self, channels: int) -> dict[str, Fact]:
        """All that was drawn, but for the maps; "" for a step that was left out."""
        camera = {name: "" if value is None else value for name, value in vars(self.camera).items()}
        light = "linear" if self._is_coded(channels) else "as stored"
        return {**self.optics.facts(channels), **camera, "noise_seed": self.noise_seed, "light": light}

    def bank_error(self, scene: Scene, rng: np.random.Generator) -> float:
        """Largest error of interpolated PSFs at random pixels of the light of this scene."""
        light = srgb_decode(scene) if self._is_coded(scene.shape[0]) else scene
        return self.optics.bank_error(light, rng)

    def _is_coded(self, channels: int) -> bool:
        return self.linear_light and channels == 3


@runtime_checkable
class OpticsRange(Protocol):
    """Anything that blurs can be drawn from."""

    def draw_optics(self, shape: tuple[int, int], rng: np.random.Generator) -> Optics:
        """A random blur for scenes of this height and width."""
        ...


@dataclass(frozen=True)
class PairRange:
    """Exposures by random optics and a random camera, drawn in this order.

    linear_light : see `Exposure`
    """

    optics: OpticsRange
    camera: CameraRange = field(default_factory=CameraRange)
    linear_light: bool = False

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> Exposure:
        """A random exposure of a scene of this height and width."""
        optics, camera = self.optics.draw_optics(shape, rng), self.camera.draw(rng)
        return Exposure(optics, camera, int(rng.integers(2**62)), self.linear_light)


@runtime_checkable
class ExposureRange(Protocol):
    """Anything that exposures can be drawn from."""

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> Exposure:
        """A random exposure of a scene of this height and width."""
        ...
