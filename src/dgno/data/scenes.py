"""Sharp images as a source of training pairs: random crops, augmented, blurred on the fly.

The content of a sample is a function of (seed, step, slot) and of nothing else, so a resumed run sees what the unbroken
one would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Shaped
from skimage.transform import resize

from dgno.arrays import Image
from dgno.checks import refuse_choice, refuse_interval, refuse_number
from dgno.data.batching import stacked
from dgno.data.loading import refuse_unusable
from dgno.data.unusable import Unusable
from dgno.errors import ConfigError, UnsupportedInput
from dgno.io.image import read_image
from dgno.optics.exposure import ExposureRange

Item = TypeVar("Item")
Scene = Float[np.ndarray, "h w c"]
MARGIN = 32  # px around a crop that the blur may reach
CANDIDATES = 3  # random places looked at for every crop; the one with the most structure is taken
HELD_OUT = 20  # every 20th file of a source is kept for validation; of fewer files the last one
LARGEST_SCALE = 4.0
RANGES = ("dtype", "percentile")


@dataclass(frozen=True)
class Source:
    """Some files of sharp images, and how they become scenes.

    files : glob below the data folder
    weight : share of the samples, relative to the other sources; 0 leaves the source out
    range : "dtype" takes black and white of the file's values; "percentile" the 0.1 and 99.9 percentiles of the image
    """

    files: str
    weight: float = 1.0
    range: str = "dtype"

    def __post_init__(self) -> None:
        problems = refuse_number("weight", self.weight, 0) + refuse_choice("range", self.range, RANGES)
        parts = Path(self.files).parts
        if not parts or Path(self.files).is_absolute() or any("**" in part and part != "**" for part in parts):
            problems.append(f"files is {self.files!r}, wanted a pattern below the data folder: '*.tif' or '**/*.tif'")
        if problems:
            raise ConfigError("the source cannot be used", why="; ".join(problems))


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a scene before it is blurred; (low, high) are drawn uniformly, 1 or 0 switches off.

    scale : below 1 down-sampling, which shows sharper detail than the file has; above 1 magnification, which shows
        detail coarser than the pixels, as of a camera that samples more finely than the optics asks for
    gamma, gain, offset : of the intensities
    stain : largest relative mixing of the optical densities of the colours
    linear_light : share of samples blurred in linear light (sRGB decoded) rather than in code values
    gray : share of colour samples that lose their colour: stains of one colour, cameras without
    """

    scale: tuple[float, float] = (1.0, 1.0)
    gamma: tuple[float, float] = (1.0, 1.0)
    gain: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    stain: float = 0.0
    linear_light: float = 0.0
    gray: float = 0.0

    def __post_init__(self) -> None:
        problems = refuse_interval("scale", self.scale, 0, LARGEST_SCALE, above_lowest=True)
        problems += refuse_interval("gamma", self.gamma, 0, above_lowest=True)
        problems += refuse_interval("gain", self.gain, 0, above_lowest=True)
        problems += refuse_interval("offset", self.offset, -math.inf)
        for share in ("stain", "linear_light", "gray"):
            problems += refuse_number(share, getattr(self, share), 0, 1)
        if problems:
            raise ConfigError("scenes cannot be augmented so", why="; ".join(problems))


class SimulatedPairs:
    """Blurred and sharp crops from folders of sharp images."""

    def __init__(
        self,
        root: Path,
        sources: Sequence[Source],
        *,
        channels: int,
        blur: ExposureRange,
        augmentation: Augmentation,
        validation: bool = False,
        unusable: Unusable | None = None,
    ) -> None:
        """unusable : takes what is wrong with files, which are left out; without it, that is raised"""
        found_wrong = Unusable() if unusable is None else unusable
        self.blur, self.augmentation, self.channels = blur, augmentation, channels
        found = data_files(root, sources)
        apart = {file for files in found for file in held_out(files)}  # whichever source shows them
        self.scenes = [
            [
                scene
                for file in files
                if (file in apart) == validation
                for scene in _to_unit(file, source, channels, found_wrong)
            ]
            for source, files in zip(sources, found, strict=True)
        ]
        if unusable is None:
            found_wrong.refuse(root, sum(map(len, found)))
        self.weights = [source.weight if scenes else 0.0 for source, scenes in zip(sources, self.scenes, strict=True)]
        if self.is_empty and not validation and not found_wrong.errors:
            raise ConfigError("no source has a share of the samples", hint="give one a `weight` above 0")

    @property
    def is_empty(self) -> bool:
        """Is there nothing to draw from? So it is where every source is a single file, and nothing can be held out."""
        return sum(self.weights) == 0

    def batch(
        self, crop: int, size: int, *, seed: int, step: int, slots: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Blurred and sharp, (size, channels, crop, crop) each; of `slots` alone, if given."""
        blurred, sharp = stacked(self.sample, crop, size, seed=seed, step=step, slots=slots)
        return blurred, sharp

    def sample(self, crop: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Blurred and sharp, (channels, crop, crop) each; everything is drawn from `rng`."""
        patch, linear = self._patch(crop, rng)
        exposure = self.blur.draw((patch.shape[1], patch.shape[2]), rng)
        blurred = replace(exposure, linear_light=True).of(patch) if linear else exposure.of(patch)
        inside = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
        return blurred[inside], patch[inside]

    def scene(self, crop: int, rng: np.random.Generator) -> torch.Tensor:
        """A sharp scene as of `sample`, (channels, crop + 2 MARGIN, crop + 2 MARGIN)."""
        return self._patch(crop, rng)[0]

    def _patch(self, crop: int, rng: np.random.Generator) -> tuple[torch.Tensor, bool]:
        """A sharp scene with its margins, and whether it is to be blurred in linear light."""
        scenes = self.scenes[rng.choice(len(self.scenes), p=np.array(self.weights) / sum(self.weights))]
        source = scenes[rng.integers(len(scenes))]
        a = self.augmentation
        scale = float(rng.uniform(*a.scale))
        window = round((crop + 2 * MARGIN) / scale)
        patch = _most_structured(source, window, rng)
        if scale != 1:
            order = 1 if scale < 1 else 3
            patch = resize(patch, (crop + 2 * MARGIN,) * 2, order=order, anti_aliasing=scale < 1)
        patch = np.rot90(patch, int(rng.integers(4)))
        patch = patch[:, ::-1] if rng.random() < 0.5 else patch
        patch = _recoloured(patch, a, rng)
        linear = rng.random() < a.linear_light and self.channels == 3  # gray is light
        return torch.from_numpy(np.ascontiguousarray(patch.transpose(2, 0, 1), dtype=np.float32)), bool(linear)


def data_files(root: Path, sources: Sequence[Source]) -> list[list[Path]]:
    """The files of every source, in order, without hidden ones. Raises ConfigError for a source without any."""
    found = [
        sorted(path for path in root.glob(source.files) if path.is_file() and not path.name.startswith("."))
        for source in sources
    ]
    for source, files in zip(sources, found, strict=True):
        if not files:
            raise ConfigError(f"no images match {source.files!r} below {root}", hint="correct `data` or `files`")
    return found


def held_out(files: Sequence[Item]) -> Sequence[Item]:
    """The files of a source, or the groups of a set, that serve validation; a single one serves training."""
    return files[HELD_OUT - 1 :: HELD_OUT] or files[1:][-1:]


def _to_unit(path: Path, source: Source, channels: int, unusable: Unusable) -> list[Scene]:
    """Every plane of a file, channels and pages alike; none if it cannot be used."""
    scenes: list[Scene] = []
    with unusable.looking_at(path):
        image = read_sharp(path)
        scenes += [_plane_to_unit(plane, image, source, channels) for plane in image.planes()]
    return scenes


def read_sharp(path: Path) -> Image:
    """An image to make scenes of. Raises InputError: NaN, or planes of one scene in depth."""
    image = read_image(path)
    refuse_unusable(image, path)
    if dict(zip(image.axes, image.shape_without_samples, strict=False)).get("Z", 1) > 1:
        hint = "save its sharp plane alone, or train with [pairs] and layout z-stack"
        raise UnsupportedInput(
            "a stack through focus among sharp images", path=path, why=f"its axes are {image.axes}", hint=hint
        )
    return image


def _plane_to_unit(plane: Shaped[np.ndarray, "h w s"], image: Image, source: Source, channels: int) -> Scene:
    plane = plane.astype(np.float32)
    if channels == 1:
        plane = plane.mean(-1, keepdims=True)
    elif plane.shape[-1] == 1:
        plane = plane.repeat(channels, axis=-1)
    low, high = np.percentile(plane, [0.1, 99.9]) if source.range == "percentile" else image.value_range
    return ((plane - low) / max(high - low, 1e-6)).clip(0, 1.5).astype(np.float32)


def _most_structured(scene: Scene, window: int, rng: np.random.Generator) -> Float[np.ndarray, "{window} {window} c"]:
    """The square of `window` px, among a few at random, whose values vary most."""
    short = [max(window - n, 0) for n in scene.shape[:2]]
    if any(short):
        scene = np.pad(scene, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric")
    h, w = scene.shape[:2]
    corners = [(rng.integers(h - window + 1), rng.integers(w - window + 1)) for _ in range(CANDIDATES)]
    patches = [scene[y : y + window, x : x + window] for y, x in corners]
    return max(patches, key=lambda patch: float(patch[::4, ::4].std()))


def _recoloured(patch: Scene, a: Augmentation, rng: np.random.Generator) -> Scene:
    patch = patch.clip(0, None)
    if a.stain and patch.shape[-1] == 3:
        mixing = np.eye(3) * rng.uniform(1 - a.stain, 1 + a.stain, 3) + rng.uniform(-a.stain, a.stain, (3, 3)) / 3
        density = -np.log(patch.clip(1 / 255, 1))
        patch = np.exp(-(density @ mixing).clip(0, None))
    if a.gray and rng.random() < a.gray:
        patch = np.broadcast_to(patch.mean(-1, keepdims=True), patch.shape)
    patch = patch ** rng.uniform(*a.gamma)
    return patch * rng.uniform(*a.gain) + rng.uniform(*a.offset)
