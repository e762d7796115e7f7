"""Small generated data sets that lie on disk as the published ones: what the tiny profile trains and measures on.

Drawn cells, blurred by a Gaussian and by a little noise. They prove that reading, training and measuring work from end
to end; their numbers say nothing about the published data.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from scipy.ndimage import gaussian_filter

from dgno.arrays import Image
from dgno.data.layouts.bbbc006 import IN_FOCUS
from dgno.io.image import write_image

GRAY, COLOUR = (96, 128), (96, 96)  # px
WELLS = tuple(f"{row}{column:02d}" for row in "ab" for column in range(1, 6))
Z_PLANES = (1, 2, 5, 6, 10, 13, IN_FOCUS)
PX_PER_PLANE = 0.25  # of sigma
READ_NOISE = 0.005
STAIN = np.array([0.35, 0.75, 0.25])  # optical density of drawn nuclei, red, green, blue
GROUND = np.array([0.93, 0.88, 0.93])

Gray = Float[np.ndarray, "h w"]


def write_bbbc006(folder: Path, seed: int) -> None:
    """A folder for every plane, 16 bits, both channels, and the labels of the nuclei."""
    for index, (well, site) in enumerate((well, site) for well in WELLS for site in (1, 2)):
        rng = np.random.default_rng([seed, index])
        nuclei, labels = draw_nuclei(GRAY, 14, rng)
        name = f"mcf-z-stacks-03212011_{well}_s{site}"
        _write(folder / "BBBC006_v1_labels" / f"{name}.png", labels.astype(np.uint8))
        for channel, scene in (("w1", nuclei), ("w2", draw_fibres(GRAY, 30, rng))):
            for z in Z_PLANES:
                blurred = photographed(scene, PX_PER_PLANE * abs(z - IN_FOCUS), rng)
                path = folder / f"BBBC006_v1_images_z_{z:02d}" / f"{name}_{channel}.tif"
                _write(path, (4000 * blurred).astype(np.uint16))


def write_histech(folder: Path, seed: int) -> None:
    """{train,val,test}/{sharp,blur}/*.png, 8 bits, RGB."""
    for index, (split, count) in enumerate((("train", 16), ("val", 2), ("test", 6))):
        _write_pairs(folder / split, ("blur", "sharp"), count, np.random.default_rng([seed, index]), np.uint8)


def write_dpdd(folder: Path, seed: int) -> None:
    """{train,val,test}_c/{source,target}/*.png, 16 bits, RGB."""
    for index, (split, count) in enumerate((("train", 16), ("val", 2), ("test", 6))):
        rng = np.random.default_rng([seed, index])
        _write_pairs(folder / f"{split}_c", ("source", "target"), count, rng, np.uint16)


def write_realdof(folder: Path, seed: int) -> None:
    """{source,target}/*.png, 8 bits, RGB."""
    _write_pairs(folder, ("source", "target"), 6, np.random.default_rng([seed, 3]), np.uint8)


STAND_INS: dict[str, Callable[[Path, int], None]] = {
    "bbbc006": write_bbbc006,
    "3dhistech": write_histech,
    "dpdd": write_dpdd,
    "realdof": write_realdof,
}


def draw_nuclei(
    shape: tuple[int, int], count: int, rng: np.random.Generator
) -> tuple[Gray, Integer[np.ndarray, "h w"]]:
    """Textured ellipses of 4 to 8 px half-axes on a dark ground, and their labels; later ones cover earlier ones."""
    scene, labels = np.full(shape, 0.03), np.zeros(shape, np.int64)
    texture = gaussian_filter(rng.standard_normal(shape), 1.0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for label in range(1, count + 1):
        row, column = rng.uniform(0, 1, 2) * shape
        axes, angle = rng.uniform(4, 8, 2), rng.uniform(0, np.pi)
        along = np.cos(angle) * (x - column) + np.sin(angle) * (y - row)
        across = np.cos(angle) * (y - row) - np.sin(angle) * (x - column)
        inside = (along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1
        scene[inside] = (rng.uniform(0.4, 0.9) * (1 + 0.4 * texture[inside])).clip(0, 1)
        labels[inside] = label
    return scene, labels


def draw_fibres(shape: tuple[int, int], count: int, rng: np.random.Generator) -> Gray:
    """Straight fibres of about 1 px on a dark ground."""
    scene = np.full(shape, 0.03)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for _ in range(count):
        row, column = rng.uniform(0, 1, 2) * shape
        angle = rng.uniform(0, np.pi)
        distance = np.abs(np.cos(angle) * (y - row) - np.sin(angle) * (x - column))
        scene += rng.uniform(0.1, 0.5) * np.exp(-(distance**2))
    return scene.clip(0, 1)


def photographed(scene: Gray, sigma: float, rng: np.random.Generator) -> Gray:
    """Blurred by a Gaussian of `sigma` px, 2000 photons at full scale, read noise; in [0, 1]."""
    light = gaussian_filter(scene, sigma) if sigma else scene
    noisy = rng.poisson(2000 * light) / 2000 + READ_NOISE * rng.standard_normal(scene.shape)
    return noisy.clip(0, 1)


def _write_pairs(folder: Path, names: tuple[str, str], count: int, rng: np.random.Generator, dtype: type) -> None:
    full = np.iinfo(dtype).max
    for i in range(count):
        density = draw_nuclei(COLOUR, 12, rng)[0][..., None] * STAIN
        sharp = GROUND * 10 ** (-density)
        sigma = rng.uniform(1, 3)
        blurred = np.stack([photographed(sharp[..., c], sigma, rng) for c in range(3)], axis=-1)
        for name, values in zip(names, (blurred, sharp), strict=True):
            _write(folder / name / f"{i + 1:04d}.png", np.rint(full * values).astype(dtype))


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(pixels, "YX" if pixels.ndim == 2 else "YXS"), overwrite=True)
