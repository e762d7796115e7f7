"""Where and how an image is blurred, by readers that need no training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from blur_readers import LevelReader, SharpnessReader, coded, types_in_blocks
from dgno.arrays import Image
from dgno.errors import ChannelMismatch, CheckpointError, ConfigError, NonFiniteInput
from dgno.optics.blur_types import BLUR_TYPES, BlurReading
from dgno.optics.defocus_cone import DefocusCone
from dgno.restoration.assessment import BACKGROUND, Assessment, assess_image, worst_of
from dgno.restoration.image import by_range
from dgno.restoration.smoothing import smooth_maps

BLOCKS = types_in_blocks(16, 16)


def assess(image: Image, **options) -> Assessment:
    return assess_image(image, LevelReader(), normalize=by_range, **options)[0]


def test_the_types_of_regions_are_found_and_their_parameters() -> None:
    """Away from borders between regions, where maps are smoothed."""
    found = assess(coded(BLOCKS))
    inner = np.ix_([2, 3, 4, 12, 13], [2, 3, 4, 12, 13])
    assert (found.types[inner] == BLOCKS[inner]).all()
    assert found.tissue.all()
    for (row, column), sigma, length in (((3, 3), 0, 0), ((3, 12), 2, 0), ((12, 3), 0, 13), ((12, 12), 2, 13)):
        assert found.sigma[row, column] == pytest.approx(sigma)
        assert found.length[row, column] == pytest.approx(length)
        assert found.strength[row, column] == pytest.approx(math.sqrt(sigma**2 + max(length**2 - 1, 0) / 12))
    assert found.angle[12, 12] == pytest.approx(30)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", range(4))
def test_the_type_of_the_whole_is_that_of_most_tissue(kind: int) -> None:
    types = np.full((8, 12), kind)
    types[:, :4] = (kind + 1) % 4
    found = assess(coded(types))
    assert found.type == BLUR_TYPES[kind]
    assert found.in_focus == (kind == 0)
    assert found.confidence == pytest.approx(2 / 3, abs=0.05)


def test_who_is_not_sure_does_nothing() -> None:
    """At the border of two types neither is likely; the whole image abstains as its squares do."""
    image = coded(np.repeat([[1] * 6 + [3] * 6], 8, 0))
    sure, unsure = assess(image), assess(image, min_confidence=0.9)
    assert not sure.abstained.any()
    assert (unsure.types[unsure.abstained] == 0).all()
    assert set(np.nonzero(unsure.abstained)[1]) == {5, 6}
    assert (unsure.strength[unsure.abstained] == 0).all()
    assert not sure.in_focus
    assert unsure.in_focus
    with pytest.raises(ConfigError):
        assess(image, min_confidence=1.5)


def test_angles_are_averaged_as_those_of_paths() -> None:
    """Half the squares say 178 degrees and half 2: the mean is 0 or 180, not 90."""

    def reader(x: Tensor) -> BlurReading:
        rows, columns = x.shape[-2] // 8, x.shape[-1] // 8
        angle = torch.tensor([178.0, 2.0]).repeat(columns // 2).expand(1, rows, columns)
        types = torch.tensor([0.0, 0.0, 1.0, 0.0])[None, :, None, None].expand(1, 4, rows, columns)
        return BlurReading(types, torch.zeros_like(angle), torch.full_like(angle, 9), angle)

    angle = assess_image(coded(BLOCKS), reader)[0].angle
    assert (np.minimum(angle, 180 - angle) < 2.01).all()
    assert (np.minimum(angle, 180 - angle) > 0).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (7, 9), (33, 31)])
def test_images_of_any_size_are_read(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = assess(Image(pixels, "YX", (0, 255)))
    assert found.types.shape == found.strength.shape == tuple(-(-n // 8) for n in shape)
    assert found.shape == shape


@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_images_have_no_tissue(value: int) -> None:
    found = assess(Image(np.full((40, 50), value, np.uint8), "YX", (0, 255)))
    assert not found.tissue.any()
    assert (found.type, found.confidence, found.median_strength) == ("in focus", 0.0, 0.0)
    assert (found.types == BACKGROUND).all()


def test_channels_are_read_apart_and_the_worst_is_told() -> None:
    """A sharp channel over a blurred one: each on its own, and together the blurred one where it has tissue."""
    sharp, blurred = coded(np.zeros((8, 8), int)), coded(np.ones((8, 8), int), seed=1)
    blurred.pixels[:, :24] = 0
    both = Image(np.stack([sharp.pixels, blurred.pixels]), "CYX", (0, 255))
    found = assess_image(both, LevelReader(), normalize=by_range)
    assert [found[0].type, found[1].type] == ["in focus", "defocus"]
    worst = worst_of([found[0], found[1]])
    assert (worst.types[:, :3] == 0).all()
    assert (worst.types[:, 3:] == 1).all()
    np.testing.assert_array_equal(worst.strength, found[1].strength)
    assert worst_of([found[1]]) is found[1]
    np.testing.assert_array_equal(worst_of([found[1], found[0]]).types, worst.types)


def test_only_tissue_counts_when_maps_are_smoothed() -> None:
    """What the reader says of background reaches nothing; squares beside tissue take what that has."""
    core = np.zeros((8, 8), bool)
    core[2:5, 2:5] = True
    maps = np.full((7, 8, 8), 1e3, np.float32)
    maps[:, core] = np.array([0.1, 0.2, 0.3, 0.4, 2, 9, 30])[:, None]
    smooth = smooth_maps(maps, core)
    np.testing.assert_allclose(smooth[:, :7, :7], np.broadcast_to(maps[:, 3:4, 3:4], (7, 7, 7)), rtol=1e-4)


def test_only_wanted_planes_are_read() -> None:
    image = Image(np.stack([coded(BLOCKS).pixels] * 3), "TYX", (0, 255))
    assert list(assess_image(image, LevelReader(), planes={2, 0})) == [0, 2]


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("samples", [1, 3])
def test_gray_and_colour_are_given_as_the_reader_takes_them(channels: int | None, samples: int) -> None:
    found = assess_image(coded(BLOCKS, samples=samples), LevelReader(channels), normalize=by_range)[0]
    np.testing.assert_array_equal(found.types, assess(coded(BLOCKS)).types)


def test_bad_input_is_refused() -> None:
    pixels = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    with pytest.raises(ChannelMismatch, match="3 samples"):
        assess_image(coded(BLOCKS, samples=3), LevelReader(2))
    pixels[3, 4] = np.nan
    with pytest.raises(NonFiniteInput, match="Y 3, X 4"):
        assess_image(Image(pixels), LevelReader())

    def broken(x: Tensor) -> BlurReading:
        reading = LevelReader()(x)
        return BlurReading(reading.types * torch.nan, reading.sigma, reading.length, reading.angle)

    with pytest.raises(CheckpointError, match="NaN"):
        assess_image(coded(BLOCKS), broken)
    with pytest.raises(ValueError, match="wanted"):
        assess_image(coded(BLOCKS), lambda x: LevelReader()(x[..., 8:]))


def test_transparent_squares_are_background() -> None:
    image = coded(BLOCKS)
    alpha = np.full(image.pixels.shape, 255, np.uint8)
    alpha[:, :16] = 0
    found = assess(Image(image.pixels, "YX", (0, 255), alpha=alpha))
    assert not found.tissue[:, :2].any()
    assert found.tissue[:, 2:].all()


@pytest.mark.parametrize("magnification", [2, 3])
def test_a_change_of_magnification_changes_nothing_but_the_scale(magnification: int) -> None:
    """With a reader that says the same of both: the maps agree but for a square or two at borders."""
    small = coded(types_in_blocks(30, 30)[6:, 6:])
    large = Image(np.kron(small.pixels, np.ones((magnification, magnification), np.uint8)), "YX", (0, 255))
    low, high = assess(small), assess(large)
    scaled = np.kron(low.types, np.ones((magnification, magnification), np.uint8))
    assert (scaled == high.types).mean() > 0.85
    for name, share in low.shares.items():
        assert high.shares[name] == pytest.approx(share, abs=0.03)
    assert high.type == low.type


def test_defocus_in_um_is_that_of_the_cone() -> None:
    found, cone = assess(coded(BLOCKS)), DefocusCone(0.5)
    z = found.defocus(cone, 0.25)
    assert z[3, 12] == pytest.approx(2 * 0.25 / cone.spread)
    assert z[3, 3] == z[12, 3] == 0  # in focus, and moved only


@pytest.mark.parametrize("tile_size", [64, 96, 128])
@pytest.mark.parametrize("shape", [(200, 152), (131, 97)])
def test_tiles_agree_with_the_whole(tile_size: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.random(shape)
    pixels[:, : shape[1] // 2] = 0.5 + 8 * gaussian_filter(rng.normal(0, 0.3, shape), 6)[:, : shape[1] // 2]
    image = Image(pixels)
    whole = assess_image(image, SharpnessReader(), tile_size=0)[0]
    tiled = assess_image(image, SharpnessReader(), tile_size=tile_size)[0]
    assert len(np.unique(whole.types)) == 2
    np.testing.assert_array_equal(tiled.types, whole.types)
    np.testing.assert_allclose(tiled.likelihoods, whole.likelihoods, atol=1e-5)
    np.testing.assert_allclose(tiled.strength, whole.strength, atol=1e-4)


def test_progress_ends_at_one() -> None:
    shares: list[float] = []
    image = Image(np.stack([coded(BLOCKS).pixels] * 2), "TYX", (0, 255))
    assess_image(image, LevelReader(), tile_size=64, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 9
