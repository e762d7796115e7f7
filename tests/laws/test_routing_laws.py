"""Laws of routed restoration: what is in focus keeps its bits, weights add up, tiles do not matter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from torch import Tensor
from torch.nn import functional

from array_images import DTYPES, pixels
from dgno.arrays import Image
from dgno.optics.blur_types import BLUR_TYPES
from dgno.restoration.assessment import BACKGROUND, BLURRED, Assessment
from dgno.restoration.feather import FADE, feather
from dgno.restoration.image import by_percentiles, by_range, restore_image
from dgno.restoration.route import Remedy, restore_routed
from dgno.restoration.tiling import Span
from dgno.value_ranges import guess_value_range

NUMBERS = [BLUR_TYPES.index(name) for name in BLURRED]
LAYOUTS = {"YX": (70, 90), "YXS": (70, 90, 3), "CYX": (2, 70, 90), "TZYXS": (2, 1, 70, 90, 4)}


def darker(x: Tensor) -> Tensor:
    return x * 0.5 - 0.1


def smooth(x: Tensor) -> Tensor:
    """The mean of 5 x 5 pixels."""
    return functional.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)


smooth.halo = 2  # type: ignore[attr-defined]


def assessment_of(types: np.ndarray, shape: tuple[int, int]) -> Assessment:
    nothing = np.zeros(types.shape, np.float32)
    likelihoods = np.stack([types == i for i in range(4)]).astype(np.float32)
    return Assessment(shape, likelihoods, types.astype(np.uint8), nothing, nothing, nothing, nothing.astype(bool))


def random_types(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Blobs of all types and of background."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice([0, 0, 1, 2, 3, BACKGROUND], [-(-n // 24) for n in shape])
    return np.kron(coarse, np.ones((3, 3), int))[: -(-shape[0] // 8), : -(-shape[1] // 8)]


def pixel_mask(types: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.kron(np.isin(types, NUMBERS), np.ones((8, 8), bool))[: shape[0], : shape[1]]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_in_focus_or_background_keeps_its_bits(dtype: str, layout: str) -> None:
    """In every dtype and layout, extremes included; and what is blurred does change."""
    values = pixels(dtype, LAYOUTS[layout], 3)
    image = Image(values, layout, guess_value_range(values)[0])
    assessments = {i: assessment_of(random_types((70, 90), i), (70, 90)) for i in range(image.plane_count)}
    remedies = dict(zip(BLURRED, (Remedy(darker, by_range), Remedy(smooth, by_range), Remedy(darker, by_percentiles)),
                        strict=True))  # fmt: skip
    routed = restore_routed(image, assessments, remedies, tile_size=48)
    for i, (before, after) in enumerate(zip(image.planes(), routed.planes(), strict=True)):
        still = ~pixel_mask(assessments[i].types, (70, 90))
        assert before[still].tobytes() == after[still].tobytes()
        assert (before[~still] != after[~still]).any()
    assert routed.pixels.dtype == image.pixels.dtype


@pytest.mark.parametrize("seed", range(3))
def test_weights_add_up_to_one_inside_and_are_zero_outside(seed: int) -> None:
    """And nothing jumps: neighbouring pixels differ by little more than the steepest part of the fade."""
    shape = (101, 143)
    types = random_types(shape, seed).astype(np.uint8)
    window = Span(0, shape[0]), Span(0, shape[1])
    weights = {kind: feather(types, kind, NUMBERS, *window) for kind in NUMBERS}
    total, inside = sum(weights.values()), pixel_mask(types, shape)
    assert (total[~inside] == 0).all()
    assert all((w >= 0).all() and (w <= 1).all() for w in weights.values())
    away = np.pad(inside, FADE, mode="edge")
    for down, right in itertools.product(range(2 * FADE + 1), repeat=2):
        inside = inside & away[down : down + shape[0], right : right + shape[1]]
    assert inside.any()
    np.testing.assert_allclose(total[inside], 1, atol=1e-6)
    for w in weights.values():
        assert max(np.abs(np.diff(w, axis=axis)).max() for axis in (0, 1)) < 2.5 / FADE


def test_weights_do_not_depend_on_the_window() -> None:
    types = random_types((101, 143), 5).astype(np.uint8)
    whole = feather(types, 1, NUMBERS, Span(0, 101), Span(0, 143))
    for rows, columns in ((Span(13, 40), Span(7, 99)), (Span(0, 33), Span(64, 143)), (Span(50, 51), Span(20, 21))):
        part = feather(types, 1, NUMBERS, rows, columns)
        np.testing.assert_array_equal(part, whole[slice(*rows), slice(*columns)])


@pytest.mark.parametrize("tile_size", [16, 40, 64])
def test_tiles_agree_with_the_whole(tile_size: int) -> None:
    image = Image(np.random.default_rng(0).random((83, 101), np.float32))
    assessments = {0: assessment_of(random_types((83, 101), 7), (83, 101))}
    remedies = {name: Remedy(smooth, by_range) for name in BLURRED}
    whole = restore_routed(image, assessments, remedies, tile_size=0)
    tiled = restore_routed(image, assessments, remedies, tile_size=tile_size)
    np.testing.assert_allclose(tiled.pixels, whole.pixels, atol=1e-6)
    assert (whole.pixels != image.pixels).any()


@pytest.mark.parametrize("kind", BLURRED)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_plane_of_one_blur_is_restored_as_without_routing(kind: str, dtype: str) -> None:
    """Bit for bit; also by an assessment taken as one."""
    values = pixels(dtype, (70, 90), 0)
    image = Image(values, "YX", guess_value_range(values)[0])
    types = np.full((9, 12), BLUR_TYPES.index(kind))
    mostly = types.copy()
    mostly[0, 0] = 0
    plain = restore_image(image, smooth, normalize=by_range, tile_size=40)
    for found in (assessment_of(types, (70, 90)), assessment_of(mostly, (70, 90)).as_one()):
        routed = restore_routed(image, {0: found}, {kind: Remedy(smooth, by_range)}, tile_size=40)
        np.testing.assert_array_equal(routed.pixels, plain.pixels)


def test_restorers_that_change_nothing_change_nothing() -> None:
    values = pixels("uint16", (70, 90), 2)
    image = Image(values, "YX", (0, 65535))
    types = random_types((70, 90), 1)
    remedies = {name: Remedy(lambda x: x, by_percentiles) for name in BLURRED}
    routed = restore_routed(image, {0: assessment_of(types, (70, 90))}, remedies, tile_size=32)
    np.testing.assert_array_equal(routed.pixels, values)


def test_transparency_is_kept() -> None:
    """Alpha is never changed; transparent pixels neither."""
    rng = np.random.default_rng(0)
    alpha = rng.choice(np.array([0, 255], np.uint8), (70, 90))
    image = Image(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8), "YXS", (0, 255), alpha=alpha)
    found = assessment_of(np.ones((9, 12), int), (70, 90))
    routed = restore_routed(image, {0: found}, {"defocus": Remedy(darker, by_range)})
    np.testing.assert_array_equal(routed.alpha, alpha)
    np.testing.assert_array_equal(routed.pixels[alpha == 0], image.pixels[alpha == 0])
    assert (routed.pixels[alpha == 255] != image.pixels[alpha == 255]).mean() > 0.9
