"""Fields of view for DBMID's figures, and what its microscope and stage make of them.

Drawn ones stand in for the published ones: they are objects, with light as their values, and the reference is what the
microscope shows of them in focus. Files show that already; their colours are sRGB code values, and defocus is added to
the little that an objective blurs in focus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from skimage.color import rgb_from_hdx

from dgno.arrays import Image
from dgno.data.layouts.dbmid import PIXEL_SIZE
from dgno.data.layouts.dbmid import SHARP as IN_FOCUS
from dgno.data.records import images_in, subfolder
from dgno.errors import ConfigError, MissingInput
from dgno.evaluation.bench.run import Bench
from dgno.evaluation.downstream.matching import Points
from dgno.io.image import read_image
from dgno.optics.diffraction import Microscope
from dgno.optics.exposure import NO_NOISE, Camera, Exposure, Optics, Scene
from dgno.optics.mixed import MixedOptics
from dgno.optics.moving import MotionOptics
from dgno.optics.out_of_focus import DefocusOptics

SCOPE = Microscope(0.3, 0.55, PIXEL_SIZE)  # Olympus BX43, 10x / 0.3
CAMERA = Camera(photons=5000, read_noise=0.003, bits=8)  # ours: the paper says nothing about noise
SEED = 51  # of the fields that are tested on
LENGTHS = tuple(range(5, 45, 5))  # px of motion
ANGLES = {"horizontal": 0.0, "vertical": 90.0}
SMEAR = (192, 192)  # px of drawn fields
CELL_ROOM = 97  # px a side of the square that a lone cell has
LONE = (2, 3)  # rows and columns of lone cells in a drawn field
HEMATOXYLIN, DAB = rgb_from_hdx[0], rgb_from_hdx[1]  # optical densities of red, green and blue

Gray = Float[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class View:
    """A sharp field of view.

    scene : (3, h, w) in [0, 1]
    cells : (row, column) of its nuclei in px; None where nobody knows them
    recorded : from a file, rather than drawn
    """

    name: str
    scene: Scene
    cells: Points | None = None
    recorded: bool = False

    def blurred(self, seed: int, *, z: float = 0.0, length: float = 0.0, angle: float = 0.0) -> Image:
        """The image `z` um out of focus, moved by `length` px: defocus belongs to the specimen, and moves with it."""
        return self._exposed(CAMERA, seed, z, length, angle)

    def sharp(self) -> Image:
        """The field in focus, without noise."""
        return self._exposed(NO_NOISE, 0, 0.0, 0.0, 0.0)

    def _exposed(self, camera: Camera, seed: int, z: float, length: float, angle: float) -> Image:
        shape = (self.scene.shape[-2], self.scene.shape[-1])
        optics: Optics = MotionOptics(torch.full(shape, float(length)), angle)
        if z or not self.recorded:
            optics = MixedOptics(DefocusOptics(torch.full(shape, float(z)), SCOPE), optics)
        exposed = Exposure(optics, camera, seed, linear_light=self.recorded).of(self.scene)
        return as_image(exposed.clamp(0, 1))


def views_of(bench: Bench, draw: Callable[[str, int], View], stain: str, counts: tuple[int, int]) -> list[View]:
    """So many fields in the tiny profile, drawn, and so many of the published ones in full.

    stain : TCT, HE or IHC. Raises ConfigError without a folder of published data, MissingInput.
    """
    tiny, full = counts
    if bench.profile.generated:
        return [draw(f"drawn {i + 1}", SEED + i) for i in range(tiny)]
    if bench.published is None:
        hint = "say --data FOLDER, or --profile tiny, which draws fields"
        raise ConfigError("the figure needs the published data set dbmid", hint=hint)
    return recorded_views(bench.published, stain, full)


def seed_of(*numbers: int) -> int:
    """The seed of the noise of one exposure."""
    return int(np.random.SeedSequence([SEED, *numbers]).generate_state(1, np.uint32)[0])


def as_image(values: Scene) -> Image:
    """Values in [0, 1] as an image in colour."""
    return Image(values.permute(1, 2, 0).contiguous().float().numpy(), "YXS", pixel_size=(PIXEL_SIZE, PIXEL_SIZE))


def recorded_views(published: Path, stain: str, count: int) -> list[View]:
    """The first fields of the test set in focus of a stain, TCT, HE or IHC. Raises MissingInput."""
    place = published / "dbmid" / "test" / stain
    sharp = subfolder(place, IN_FOCUS) if place.is_dir() else None
    if sharp is None:
        hint = "lay the published data set there, or use --profile tiny, which draws fields"
        raise MissingInput("the data set is not there", path=place / IN_FOCUS[0], hint=hint)
    views = []
    for path in images_in(sharp)[:count]:
        image = read_image(path)
        low, high = image.value_range
        pixels = (next(image.planes())[..., :3].astype(np.float64) - low) / (high - low)
        views.append(View(path.stem, torch.from_numpy(pixels).permute(2, 0, 1).float(), recorded=True))
    return views


def smear(name: str, seed: int, *, nuclei: int = 24) -> View:
    """A drawn Papanicolaou smear: large pale cells that overlap, and dark nuclei of 3.3 to 5 um that do not."""
    rng = np.random.default_rng([seed, 1])
    density = np.zeros((*SMEAR, 3))
    for _ in range(9):
        body = ellipse(SMEAR, rng.uniform(0, 1, 2) * SMEAR, rng.uniform(22, 44, 2), rng.uniform(0, np.pi))
        density += (body * _texture(SMEAR, 3.0, 0.2, rng))[..., None] * rng.uniform(0.08, 0.2) * _hue(rng)
    centres = spaced(SMEAR, nuclei, 22, rng)
    for centre in centres:
        body = ellipse(SMEAR, centre, rng.uniform(6, 9, 2), rng.uniform(0, np.pi))
        density += (body * _texture(SMEAR, 1.2, 0.35, rng))[..., None] * rng.uniform(0.35, 0.8) * HEMATOXYLIN
    return View(name, _through(density, rng), centres)


def lone_cells(name: str, seed: int) -> View:
    """Six drawn immune cells, each alone in its square: nuclei of 6.6 to 9 um in little cytoplasm."""
    rng = np.random.default_rng([seed, 2])
    shape = (LONE[0] * CELL_ROOM, LONE[1] * CELL_ROOM)
    density, centres = np.zeros((*shape, 3)), []
    for place in np.ndindex(*LONE):
        centre = CELL_ROOM * (np.array(place) + 0.5) - 0.5 + rng.uniform(-2, 2, 2)
        axes, angle = rng.uniform(6, 8.2, 2), rng.uniform(0, np.pi)
        density += ellipse(shape, centre, axes + 3, angle)[..., None] * 0.08 * _hue(rng)
        nucleus = ellipse(shape, centre, axes, angle) * _texture(shape, 1.5, 0.15, rng)
        density += nucleus[..., None] * rng.uniform(0.5, 0.9) * HEMATOXYLIN
        centres.append(centre)
    return View(name, _through(density, rng), np.array(centres))


def immunostained(name: str, seed: int, *, nuclei: int = 50) -> View:
    """Drawn H-DAB: nuclei of 3.5 um radius, three of five with DAB, from hardly any to much."""
    rng = np.random.default_rng([seed, 3])
    density = np.zeros((*SMEAR, 3)) + 0.03 * _texture(SMEAR, 6.0, 0.5, rng)[..., None] * HEMATOXYLIN
    centres = spaced(SMEAR, nuclei, 17, rng)
    for centre in centres:
        body = ellipse(SMEAR, centre, rng.uniform(5.5, 7.5, 2), rng.uniform(0, np.pi))
        body *= _texture(SMEAR, 1.2, 0.2, rng)
        brown = rng.uniform(0.1, 0.7) if rng.uniform() < 0.6 else 0.0
        density += body[..., None] * (rng.uniform(0.25, 0.5) * HEMATOXYLIN + brown * DAB)
    return View(name, _through(density, rng), centres)


def ellipse(shape: tuple[int, int], centre: Float[np.ndarray, 2], axes: Float[np.ndarray, 2], angle: float) -> Gray:
    """1 inside, 0 outside, and about a pixel of transition."""
    rows, columns = np.indices(shape)
    along = np.cos(angle) * (columns - centre[1]) + np.sin(angle) * (rows - centre[0])
    across = np.cos(angle) * (rows - centre[0]) - np.sin(angle) * (columns - centre[1])
    inside = (1 - np.hypot(along / axes[0], across / axes[1])) * axes.min() + 0.5
    return np.asarray(inside.clip(0, 1))


def spaced(shape: tuple[int, int], count: int, distance: float, rng: np.random.Generator) -> Points:
    """At most `count` random places, so far from each other and half as far from the border."""
    low, found = distance / 2, list[np.ndarray]()
    for _ in range(60 * count):
        place = rng.uniform(low, np.array(shape) - 1 - low)
        if len(found) < count and all(np.hypot(*(place - other)) >= distance for other in found):
            found.append(place)
    return np.array(found).reshape(-1, 2)


def _texture(shape: tuple[int, int], sigma: float, contrast: float, rng: np.random.Generator) -> Gray:
    """Around 1, with this standard deviation, smooth over `sigma` px; not below 0."""
    noise = gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return np.asarray((1 + contrast * noise / noise.std()).clip(0))


def _hue(rng: np.random.Generator) -> Float[np.ndarray, 3]:
    """Eosin to light green, of the brightest density 1."""
    eosin, green = np.array([0.15, 1.0, 0.3]), np.array([1.0, 0.25, 0.5])
    share = rng.uniform()
    return share * eosin + (1 - share) * green


def _through(density: Float[np.ndarray, "h w 3"], rng: np.random.Generator) -> Scene:
    """The light that an empty slide of almost white lets through; Beer and Lambert."""
    light = rng.uniform(0.9, 0.96, 3) * 10**-density
    return torch.from_numpy(light).permute(2, 0, 1).float()
