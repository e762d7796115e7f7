"""What is tissue and what is background, on drawn and on real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage.draw import disk
from torch import Tensor

from dgno.arrays import Image, percentile_affine
from dgno.io.image import read_image
from dgno.optics.blur_types import BlurReading
from dgno.restoration.assessment import BACKGROUND, assess_image
from dgno.restoration.tissue import find_tissue, is_bright_field


def everything_is_blurred(x: Tensor) -> BlurReading:
    """A reader that finds defocus wherever it is asked."""
    squares = torch.ones(len(x), x.shape[-2] // 8, x.shape[-1] // 8)
    types = torch.stack([0 * squares, squares, 0 * squares, 0 * squares], 1)
    return BlurReading(types, 2 * squares, 0 * squares, 0 * squares)


def tissue_of(image: Image) -> np.ndarray:
    """Of the pixels."""
    squares = assess_image(image, everything_is_blurred)[0].types != BACKGROUND
    height, width = image.shape_without_samples[-2:]
    return np.kron(squares, np.ones((8, 8), bool))[:height, :width]


# kind, file, a rectangle (rows, columns) that holds nothing, one that is full of nuclei; chosen by eye
REAL = [
    ("he", "dsb_031.png", np.s_[0:40, 216:312], np.s_[100:140, 120:160]),
    ("he", "dsb_089.png", np.s_[16:56, 252:276], np.s_[150:250, 10:300]),
    ("fluorescence", "dsb_226.png", np.s_[16:136, 152:216], np.s_[60:100, 68:116]),
    ("fluorescence", "dsb_336.png", np.s_[96:152, 112:248], np.s_[196:216, 84:100]),
    ("fluorescence", "dsb_267.png", np.s_[128:184, 8:112], np.s_[40:110, 160:240]),
]


def nuclei(amplitudes: list[float], *, noise: float, sigma: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Disks of 20 px on a dark ground, in a row, and where they are."""
    scene, mask = np.zeros((160, 80 * len(amplitudes))), np.zeros((160, 80 * len(amplitudes)), bool)
    for i, amplitude in enumerate(amplitudes):
        where = disk((80, 80 * i + 40), 12, shape=scene.shape)
        scene[where], mask[where] = amplitude, True
    scene = gaussian_filter(scene, sigma) if sigma else scene
    return scene + np.random.default_rng(0).normal(0, noise, scene.shape), mask


@pytest.mark.parametrize("sigma", [0.0, 3.0])
def test_dim_nuclei_beside_bright_ones_are_tissue(sigma: float) -> None:
    """A nucleus of 6 % of the brightest, sharp or blurred; the ground between and around is not."""
    scene, mask = nuclei([1.0, 0.06, 0.5], noise=0.003, sigma=sigma)
    image = Image((scene * 4000 + 200).clip(0, 65535).astype(np.uint16), "YX", (0, 4095))
    tissue = tissue_of(image)
    assert tissue[mask].all()
    assert not tissue[:24].any()
    assert not tissue[-24:].any()


def test_the_flat_inside_of_what_is_much_blurred_is_tissue() -> None:
    """A cell of 120 px at a tenth of the brightest, out of focus: only its level tells it from the ground."""
    scene = np.zeros((256, 320))
    scene[disk((128, 110), 60)] = 0.1
    scene[disk((128, 270), 12)] = 1.0
    blurred = gaussian_filter(scene, 6) + np.random.default_rng(0).normal(0, 0.002, scene.shape)
    tissue = tissue_of(Image((blurred * 4000 + 200).clip(0, 65535).astype(np.uint16), "YX", (0, 4095)))
    assert tissue[disk((128, 110), 60)].all()
    assert not tissue[:32, :].any()


def test_noise_alone_is_background() -> None:
    scene, _ = nuclei([1.0], noise=0.02)
    tissue = tissue_of(Image((scene * 200 + 20).clip(0, 255).astype(np.uint8), "YX", (0, 255)))
    assert tissue[60:100, 20:60].all()
    assert not tissue[:16].any()


def glass(shape: tuple[int, int], colour: tuple[float, float, float], noise: float = 1.5) -> np.ndarray:
    rows, columns = np.indices(shape)
    shade = 1 - 0.06 * ((rows / shape[0] - 0.5) ** 2 + (columns / shape[1] - 0.5) ** 2) * 2
    return shade[..., None] * colour + np.random.default_rng(1).normal(0, noise, (*shape, 3))


@pytest.mark.parametrize("light", [(245, 244, 246), (200, 212, 202)])
def test_glass_in_shade_is_background_and_pale_stroma_is_tissue(light: tuple[float, float, float]) -> None:
    """Glass darkens by 3 % towards the corners; stroma takes 7 % off the green, without any structure."""
    scene = glass((192, 256), light)
    scene[64:128, 96:176] *= (0.98, 0.9, 0.97)
    tissue = tissue_of(Image(scene.clip(0, 255).astype(np.uint8), "YXS", (0, 255)))
    assert tissue[64:128, 96:176].all()
    assert not tissue[:40].any()
    assert not tissue[:, :64].any()


def test_tissue_without_any_glass_is_all_tissue() -> None:
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.normal(size=(96, 96)), 4)
    scene = np.array([190, 150, 200]) + 300 * texture[..., None]
    assert tissue_of(Image(scene.clip(0, 255).astype(np.uint8), "YXS", (0, 255))).all()


def test_saturated_and_padded_squares_are_background() -> None:
    """Even beside tissue; the margin of tissue ends there."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(40, 200, (96, 128), dtype=np.uint8)
    pixels[:, 64:96], pixels[:, 96:] = 255, 0
    tissue = tissue_of(Image(pixels, "YX", (0, 255)))
    assert tissue[:, :64].all()
    assert not tissue[:, 64:].any()


def test_the_light_beyond_a_blurred_border_belongs_to_the_tissue() -> None:
    """So that a remedy can take it back: all that a blur of 3 px brings over a border, to a hundredth."""
    scene, _ = nuclei([1.0], noise=0.002)
    blurred = gaussian_filter(scene, 3)
    image = Image((blurred * 200 + 20).astype(np.uint8), "YX", (0, 255))
    assert tissue_of(image)[blurred > 0.01].all()


def test_bright_field_is_told_from_fluorescence() -> None:
    bright = glass((40, 40), (230, 228, 235)).clip(0, 255).astype(np.uint8)
    assert is_bright_field(Image(bright, "YXS", (0, 255)))
    assert not is_bright_field(Image(255 - bright, "YXS", (0, 255)))
    assert not is_bright_field(Image(bright[..., 0], "YX", (0, 255)))


@pytest.mark.parametrize(("kind", "name", "empty", "full"), REAL)
def test_empty_regions_of_real_images_are_never_blurred(
    shared_data: Path, kind: str, name: str, empty: tuple[slice, slice], full: tuple[slice, slice]
) -> None:
    """Whatever the reader says: it is not asked there."""
    tissue = tissue_of(read_image(shared_data / "train" / kind / name))
    assert not tissue[empty].any()
    assert tissue[full].all()


def test_what_has_no_light_of_its_own_is_not_read() -> None:
    """The first answer counts the margin, the second does not."""
    scene, mask = nuclei([1.0], noise=0.002)
    image = Image(scene.astype(np.float32))
    scale = percentile_affine(image)
    tissue, core = find_tissue(next(image.planes()), (scale.offset, scale.offset + scale.scale))
    np.testing.assert_array_equal(tissue, binary_dilation(core, np.ones((5, 5))))
    assert core.sum() < tissue.sum() < tissue.size
    assert core[mask.reshape(20, 8, 10, 8).any((1, 3))].all()


@pytest.mark.parametrize("shift", range(0, 8, 3))
def test_the_border_of_what_was_never_scanned_is_no_tissue(shift: int) -> None:
    """Glass of 237 beside padding of 255, softly, wherever the border lies; tissue beside padding stays tissue."""
    rng = np.random.default_rng(0)
    pixels = np.full((200, 200, 3), 255.0)
    pixels[:, 96 + shift :] = 237 + rng.normal(0, 1, (200, 104 - shift, 3))
    pixels[:, 95 + shift] = 251
    pixels[120:, 96 + shift :] = np.array([190, 120, 170]) + rng.normal(0, 12, (80, 104 - shift, 3))
    image = Image(np.rint(pixels).clip(0, 255).astype(np.uint8), "YXS", (0, 255))
    tissue = tissue_of(image)
    assert not tissue[:96].any()
    assert tissue[128:, 104 + shift :].all()
    assert not tissue[:, :72].any()
