"""The controlled sets of the DGNO paper, made anew from a seed: known blur, no noise.

    s1-8-10, s1-0.6-13      50 scenes of squares, boxes and lines, 256 x 256, blurred by a Gaussian whose sigma varies
                            smoothly over all of 8 to 10 px, or 0.6 to 13 px (paper: "random synthetic images" and
                            "spatially varying Gaussian"). The correlation length of the map is a sixth of the image
    ...-voronoi             the same with sharp steps of sigma
    s2                      sharp images of BBBC006 w1, Gaussian, sigma 0.6 to 13 px, smooth
    s3                      the middle square, of even side, of sharp images of BBBC006 w1, blurred by an aberrated
                            lens (paper: "Seidel"); the coefficients are ours, see `LENS`

Where the paper says nothing, the choice is ours: sizes and shapes (`dgno.data.shapes`), the maps, gather reading,
reflected border, Gaussians integrated over the pixels. Numbers of the paper are therefore to be compared with care.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice, refuse_count
from dgno.data.shapes import draw_shapes
from dgno.data.simulated import ManifestLine, NamedScene, file_scenes, refuse_written, unique_names, write_scenes
from dgno.errors import ConfigError
from dgno.optics.diffraction import Microscope
from dgno.optics.exposure import NO_NOISE, Exposure, Scene
from dgno.optics.fields import Field, Shape, correlated, voronoi
from dgno.optics.lens import LensRange
from dgno.optics.seidel import Seidel
from dgno.optics.simulate import SigmaOptics

SIDE = 256  # px of the scenes of S1
COUNT = 50  # as in the paper


def smooth_sixth(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Field:
    """A smooth map whose correlation length is a sixth of the image."""
    return correlated(shape, low, high, rng, length=shape[0] / 6)


@dataclass(frozen=True)
class GaussianField:
    """A Gaussian blur without noise whose sigma, in px, varies over [low, high] as the map says."""

    low: float
    high: float
    field: Callable[[Shape, float, float, np.random.Generator], Field] = smooth_sixth

    def draw(self, shape: Shape, rng: np.random.Generator) -> Exposure:
        """An exposure of a scene of this shape."""
        sigma = self.field(shape, self.low, self.high, rng)
        optics = SigmaOptics(sigma, psf="gaussian", field=self.field.__name__)
        return Exposure(optics, NO_NOISE, noise_seed=0)


@dataclass(frozen=True)
class LensField:
    """The blur of a lens, the same for all images, without noise."""

    optics: LensRange

    def draw(self, shape: Shape, rng: np.random.Generator) -> Exposure:
        """An exposure of a scene of this shape."""
        return Exposure(self.optics.draw_optics(shape, rng), NO_NOISE, noise_seed=0)


@runtime_checkable
class Blurring(Protocol):
    """`GaussianField` or `LensField`."""

    def draw(self, shape: Shape, rng: np.random.Generator) -> Exposure:
        """An exposure of a scene of this shape."""
        ...


@dataclass(frozen=True)
class ControlledSet:
    """How a set is blurred, and whether its scenes are drawn or come from files, and which part of those."""

    blur: Blurring
    from_files: bool = False
    square: bool = False


# Ours, as the paper tells neither lens nor coefficients: a 20 x objective of NA 0.45 in blue light, with one and a half
# waves of each aberration at the border of the field
LENS = LensRange(
    Microscope(numerical_aperture=0.45, wavelength=0.46, pixel_size=0.65),
    Seidel(sphere=0.5, coma=1.5, astigmatism=1.5, field_curvature=1.5),
    nodes=13,
)


SETS = {
    "s1-8-10": ControlledSet(GaussianField(8, 10)),
    "s1-0.6-13": ControlledSet(GaussianField(0.6, 13)),
    "s1-8-10-voronoi": ControlledSet(GaussianField(8, 10, voronoi)),
    "s1-0.6-13-voronoi": ControlledSet(GaussianField(0.6, 13, voronoi)),
    "s2": ControlledSet(GaussianField(0.6, 13), from_files=True),
    "s3": ControlledSet(LensField(LENS), from_files=True, square=True),
}


def write_set(
    name: str,
    out: Path,
    *,
    count: int | None = None,
    seed: int = 0,
    sources: Sequence[Path] = (),
    overwrite: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> list[ManifestLine]:
    """Write a controlled set below `out`, in the folders of `dgno.data.simulated`.

    name : of `SETS`
    count : pairs; by default 50 of drawn scenes, or one for each source. Of more sources the first are taken
    seed : pair i is drawn from (seed, i) alone, so the same call writes the same bytes, and more pairs begin with those
    sources : sharp images, for sets whose scenes are not drawn

    Raises ConfigError (name, count, sources), OutputCollision, OutputExists.
    """
    problems = refuse_choice("set", name, SETS) + (refuse_count("count", count, 1) if count is not None else [])
    if problems:
        raise ConfigError("no such set", why="; ".join(problems))
    chosen = SETS[name]
    refuse_written(out, overwrite=overwrite)
    generators = functools.partial(_generator, seed)
    if chosen.from_files:
        files = _first(sources, count, name)
        scenes = _from_files(files, unique_names(files), square=chosen.square)
        total = len(files)
    else:
        if sources:
            raise ConfigError(f"the scenes of {name} are drawn", why=f"{len(sources)} images were given")
        total = count or COUNT
        scenes = _drawn(total, generators)

    def draw(named: NamedScene, i: int) -> Exposure:
        progress(i / total)
        return chosen.blur.draw((named.scene.shape[1], named.scene.shape[2]), generators(i, "blur"))

    lines = write_scenes(scenes, out, draw, seed=seed, overwrite=overwrite)
    progress(1.0)
    return lines


def _generator(seed: int, i: int, part: str) -> np.random.Generator:
    """For the scene and for the blur of pair i, each its own."""
    return np.random.default_rng([seed, i, ("scene", "blur").index(part)])


def _drawn(total: int, generators: Callable[[int, str], np.random.Generator]) -> Iterator[NamedScene]:
    for i in range(total):
        yield NamedScene(f"{i:04d}", draw_shapes((SIDE, SIDE), generators(i, "scene")))


def _first(sources: Sequence[Path], count: int | None, name: str) -> Sequence[Path]:
    if len(sources) < (count or 1):
        hint = "give sharp images, or fewer pairs with count"
        raise ConfigError(f"{count or 'no'} pairs of {name} from {len(sources)} images", hint=hint)
    return sources[:count]


def _from_files(files: Sequence[Path], names: Sequence[str], *, square: bool) -> Iterator[NamedScene]:
    for file, name in zip(files, names, strict=True):
        for named in file_scenes(file, name, "auto"):
            yield replace(named, scene=middle_square(named.scene)) if square else named


def middle_square(scene: Scene) -> Float[Tensor, "c side side"]:
    """The largest square of even side in the middle of a scene (c, h, w)."""
    height, width = scene.shape[-2:]
    side = min(height, width) // 2 * 2
    top, left = (height - side) // 2, (width - side) // 2
    return scene[:, top : top + side, left : left + side].contiguous()
