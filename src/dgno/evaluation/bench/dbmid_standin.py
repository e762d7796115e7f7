"""Small generated data sets that lie on disk as DBMID's, and as one of a second microscope.

Drawn cells of three stains, seen through Olympus' 10x / 0.3 (the second: 10x / 0.25) by diffraction of three colours;
planes 3.12 um apart, motion of 5 to 40 px in two directions, both; a little noise, 8 bits. They prove that reading,
training and measuring work from end to end; their numbers say nothing about the published data.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from dgno.arrays import Image
from dgno.data.layouts.dbmid import PIXEL_SIZE, STEP
from dgno.io.image import write_image
from dgno.optics.brightfield import WAVELENGTHS
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.motion import linear_motion
from dgno.optics.psf import PSF

SIDE, MARGIN = 96, 40  # px of an image, and around it that blur may reach
FIRST, SECOND = 0.3, 0.25  # numerical apertures
PLANES = tuple(k for k in range(-10, 11) if k)
MOTIONS = tuple((length, angle) for length in range(5, 41, 5) for angle in (0.0, 90.0))
PHOTONS, READ_NOISE = 5000, 0.004

Gray = Float[np.ndarray, "h w"]
Colours = Float[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Stain:
    """How cells of a stain are drawn.

    cells, radius : how many in an image, and their half-axes in px, smallest and largest
    nuclei, bodies : optical density of nuclei and of what is around them, red, green, blue
    """

    cells: int
    radius: tuple[float, float]
    nuclei: tuple[float, float, float]
    bodies: tuple[float, float, float]


STAINS = {
    "TCT": Stain(10, (12, 22), (0.9, 0.75, 0.35), (0.30, 0.12, 0.10)),
    "HE": Stain(36, (7, 11), (0.65, 0.85, 0.35), (0.08, 0.35, 0.18)),
    "IHC": Stain(30, (7, 12), (0.75, 0.55, 0.25), (0.20, 0.40, 0.60)),
}


@dataclass(frozen=True)
class Fields:
    """Fields of one split and stain that share their images: planes of defocus, motions, and motions out of focus."""

    split: str
    stain: str
    count: int
    planes: Sequence[int] = ()
    motions: int = 0
    mixed: int = 0


DBMID = (
    Fields("train", "TCT", 12, (-9, -6, -3, 2, 5, 8), 5, 5),
    Fields("train", "HE", 8, (-9, -6, -3, 2, 5, 8)),
    Fields("train", "IHC", 8, (-9, -6, -3, 2, 5, 8)),
    Fields("test", "TCT", 1, PLANES),
    Fields("test", "TCT", 10, (), 2, 2),
    Fields("test", "HE", 1, PLANES),
    Fields("test", "IHC", 1, PLANES),
)
OTHER = (
    Fields("train", "TCT", 20, (-9, -6, -3, 2, 5, 8)),
    Fields("test", "TCT", 4, (-8, -4, 4, 8)),
)


def write_dbmid(folder: Path, seed: int) -> None:
    """{train,test}/{TCT,HE,IHC}/{in-focus,defocus,motion,mixed}/FIELD*.png, 8 bits, RGB."""
    _write_set(folder, DBMID, FIRST, seed)


def write_second_microscope(folder: Path, seed: int) -> None:
    """As `write_dbmid`: smears, in and out of the focus of 10x / 0.25."""
    _write_set(folder, OTHER, SECOND, seed)


def _write_set(folder: Path, parts: Sequence[Fields], aperture: float, seed: int) -> None:
    for part, fields in enumerate(parts):
        for i in range(fields.count):
            rng = np.random.default_rng([seed, round(1000 * aperture), part, i])
            _write_field(folder / fields.split / fields.stain, f"f{part}{i:02d}", fields, aperture, rng)


def _write_field(place: Path, name: str, fields: Fields, aperture: float, rng: np.random.Generator) -> None:
    scene = draw_cells(STAINS[fields.stain], SIDE + 2 * MARGIN, rng)
    sharp = through(scene, aperture, 0.0)
    _write(place / "in-focus" / f"{name}.png", sharp, rng)
    for plane in fields.planes:
        _write(place / "defocus" / f"{name}_z{plane:+d}.png", through(scene, aperture, plane * STEP), rng)
    for length, angle in _drawn(fields.motions, rng):
        _write(place / "motion" / f"{name}_L{length}_a{angle:.0f}.png", moved(sharp, length, angle), rng)
    for length, angle in _drawn(fields.mixed, rng):
        plane = int(rng.choice((-1, 1)) * rng.integers(2, 9))
        image = moved(through(scene, aperture, plane * STEP), length, angle)
        _write(place / "mixed" / f"{name}_z{plane:+d}_L{length}_a{angle:.0f}.png", image, rng)


def _drawn(count: int, rng: np.random.Generator) -> list[tuple[int, float]]:
    return [MOTIONS[i] for i in sorted(rng.permutation(len(MOTIONS))[:count])]


def draw_cells(stain: Stain, side: int, rng: np.random.Generator) -> Colours:
    """Transmitted light of textured ellipses with dark nuclei on a bright ground, by Beer and Lambert."""
    density = np.zeros((side, side, 3))
    texture = 1 + 0.35 * gaussian_filter(rng.standard_normal((side, side)), 0.8) / 0.35
    y, x = np.mgrid[:side, :side]
    for _ in range(round(stain.cells * (side / SIDE) ** 2)):
        row, column = rng.uniform(0, side, 2)
        axes, angle = rng.uniform(*stain.radius, 2), rng.uniform(0, np.pi)
        along = np.cos(angle) * (x - column) + np.sin(angle) * (y - row)
        across = np.cos(angle) * (y - row) - np.sin(angle) * (x - column)
        distance = np.hypot(along / axes[0], across / axes[1])
        body, nucleus = distance <= 1, distance <= rng.uniform(0.35, 0.6)
        strength = rng.uniform(0.6, 1.2)
        density[body] = strength * texture[body, None] * np.array(stain.bodies)
        density[nucleus] = strength * texture[nucleus, None] * np.array(stain.nuclei)
    light: np.ndarray = 0.93 * 10 ** (-density.clip(0, None))
    return light


def through(scene: Colours, aperture: float, defocus: float) -> Colours:
    """The image of a thin specimen `defocus` um out of focus, red, green and blue each by its wavelength."""
    psfs = [_psf(aperture, wavelength, abs(defocus)) for wavelength in WAVELENGTHS]
    return np.stack([fftconvolve(scene[..., c], psf, mode="same") for c, psf in enumerate(psfs)], axis=-1)


@functools.lru_cache(maxsize=256)
def _psf(aperture: float, wavelength: float, defocus: float) -> PSF:
    return defocused(Microscope(aperture, wavelength, PIXEL_SIZE), defocus)


def moved(image: Colours, length: float, angle: float) -> Colours:
    """An image of what moved by `length` px while it was exposed."""
    return fftconvolve(image, linear_motion(length, angle)[..., None], mode="same", axes=(0, 1))


def _write(path: Path, image: Colours, rng: np.random.Generator) -> None:
    """The middle of an image as a camera stores it."""
    light = image[MARGIN:-MARGIN, MARGIN:-MARGIN].clip(0, None)
    noisy = rng.poisson(PHOTONS * light) / PHOTONS + READ_NOISE * rng.standard_normal(light.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(np.rint(255 * noisy.clip(0, 1)).astype(np.uint8), "YXS"), overwrite=True)
