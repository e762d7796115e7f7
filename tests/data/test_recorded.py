"""Crops of recorded pairs: aligned, repeatable, scaled as was said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from set_maker import save, texture

from dgno.data.layouts import pair_folders, read_folder_pair
from dgno.data.recorded import RecordedPairs
from dgno.data.records import Record
from dgno.errors import ConfigError, MissingInput, UnsupportedInput

SHAPE = (40, 50)


def make(root: Path, *images: np.ndarray, sharp: list[np.ndarray] | None = None) -> list[Record]:
    """Pairs of the images with those in `sharp`; by default with themselves."""
    for i, image in enumerate(images):
        save(root / "blur" / f"{i}.tif", image)
        save(root / "sharp" / f"{i}.tif", sharp[i] if sharp else image)
    return read_folder_pair(root)


def numbers(count: int, shape: tuple[int, int] = SHAPE) -> list[np.ndarray]:
    """Float images in [0, 1] of which no two pixels, in any of them, have one value: pixel n is n / 2^20."""
    n = shape[0] * shape[1]
    return [np.arange(i * n, (i + 1) * n, dtype=np.float32).reshape(shape) / 2**20 for i in range(count)]


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    images = numbers(4)
    return make(tmp_path, *images[1:], sharp=images[:3])


def levels(x: torch.Tensor) -> np.ndarray:
    """The numbers of the pixels."""
    return np.rint(x.numpy() * 2**20).astype(int)


def test_crops_are_aligned_parts_flipped_or_not(records: list[Record], tmp_path: Path) -> None:
    """Every crop is a part of one image, maybe flipped; all images, flips and borders occur."""
    pairs = RecordedPairs(records, channels=1)
    blurred, sharp = pairs.batch(16, 300, seed=1, step=0)
    assert blurred.shape == sharp.shape == (300, 1, 16, 16)
    np.testing.assert_array_equal(levels(blurred) - SHAPE[0] * SHAPE[1], levels(sharp))
    seen, corners = set(), set()
    for crop in levels(sharp)[:, 0]:
        down, right = crop[1, 0] - crop[0, 0], crop[0, 1] - crop[0, 0]
        assert (abs(down), abs(right)) == (SHAPE[1], 1)
        upright = crop[:: 1 if down > 0 else -1, :: 1 if right > 0 else -1]
        image, place = divmod(int(upright[0, 0]), SHAPE[0] * SHAPE[1])
        np.testing.assert_array_equal(upright - upright[0, 0], np.add.outer(np.arange(16) * SHAPE[1], np.arange(16)))
        seen.add((image, down > 0, right > 0))
        corners.add(divmod(place, SHAPE[1]))
    assert len(seen) == 3 * 4
    rows, columns = (sorted(axis) for axis in zip(*corners, strict=True))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (0, 24, 0, 34)


def test_samples_depend_on_seed_step_and_slot_alone(records: list[Record]) -> None:
    """Not on what was read before, on the size of the batch or on what is still in memory."""
    pairs, forgetful = RecordedPairs(records, channels=1), RecordedPairs(records, channels=1, cache=0)
    first = pairs.batch(16, 4, seed=1, step=5)
    forgetful.batch(8, 3, seed=9, step=1)
    for again in (pairs.batch(16, 4, seed=1, step=5), forgetful.batch(16, 4, seed=1, step=5)):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    alone = pairs.batch(16, 4, seed=1, step=5, slots=[3, 1])
    assert all(torch.equal(a[[3, 1]], b) for a, b in zip(first, alone, strict=True))
    for seed, step in ((1, 6), (2, 5)):
        assert not torch.equal(pairs.batch(16, 4, seed=seed, step=step)[0], first[0])


def test_a_cache_keeps_no_more_than_it_may(records: list[Record]) -> None:
    size = 2 * 4 * SHAPE[0] * SHAPE[1]
    for cache, kept in ((0, 1), (size, 1), (2 * size, 2), (10 * size, 3)):
        pairs = RecordedPairs(records, channels=1, cache=cache)
        pairs.batch(8, 40, seed=0, step=0)
        assert len(pairs._kept) == kept


def test_images_of_several_sizes_and_smaller_ones_than_the_crop(tmp_path: Path) -> None:
    """A smaller image is mirrored below and to the right."""
    records = make(tmp_path, numbers(1, (20, 30))[0], numbers(1, (50, 9))[0])
    blurred, sharp = RecordedPairs(records, channels=1).batch(24, 60, seed=0, step=0)
    assert blurred.shape == (60, 1, 24, 24)
    crop = next(c for c in levels(sharp)[:, 0] if c[10, 0] - c[9, 0] == 30 and c[0, 1] - c[0, 0] == 1)
    np.testing.assert_array_equal(crop[20:], crop[16:20][::-1])


def test_a_shift_is_respected(tmp_path: Path) -> None:
    """Of whole px: the same pixels lie on each other then, and nothing from beyond the border is seen."""
    image = numbers(1, (60, 60))[0]
    (record,) = make(tmp_path, np.roll(image, (-2, 3), (0, 1)), sharp=[image])
    pairs = RecordedPairs([replace(record, shift=(2.0, -3.0))], channels=1)
    blurred, sharp = pairs.batch(16, 50, seed=0, step=0)
    np.testing.assert_array_equal(levels(blurred), levels(sharp))
    with pytest.raises(ConfigError, match="nothing is left"):
        RecordedPairs([replace(record, shift=(60.0, 0.0))], channels=1).batch(8, 1, seed=0, step=0)


def test_planes_of_a_stack_are_pairs(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack(numbers(3)), photometric="minisblack", metadata=None)
    pairs = RecordedPairs([Record("a", path, path, "a", input_plane=2, target_plane=0)], channels=1)
    blurred, sharp = pairs.batch(16, 5, seed=0, step=0)
    assert (levels(blurred) - levels(sharp) == 2 * SHAPE[0] * SHAPE[1]).all()


def whole(records: list[Record], scale: str, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The one image of a set, upright or flipped, as two arrays (c, h, w)."""
    blurred, sharp = RecordedPairs(records, channels=channels, scale=scale).batch(32, 1, seed=0, step=0)
    return blurred[0].numpy(), sharp[0].numpy()


def test_scales(tmp_path: Path) -> None:
    """Range: the blurred image's black and white for both; minmax: each its own; percentile: the blurred one's."""
    blurred, sharp = (texture(seed, (32, 32)) // 2 + 20 for seed in (1, 2))
    sharp[0, 0] = 250
    records = make(tmp_path, blurred, sharp=[sharp])
    sorted_ = {
        scale: [np.sort(x.ravel()) for x in whole(records, scale)] for scale in ("range", "minmax", "percentile")
    }
    low, high = np.percentile(blurred, [0.1, 99.9])
    for i, image in enumerate((blurred, sharp)):
        values = np.sort(image.ravel().astype(float))
        np.testing.assert_allclose(sorted_["range"][i], values / 255, atol=1e-6)
        np.testing.assert_allclose(sorted_["minmax"][i], (values - values[0]) / np.ptp(values), atol=1e-6)
        np.testing.assert_allclose(sorted_["percentile"][i], (values - low) / (high - low), atol=1e-6)


def test_a_guessed_depth_is_that_of_the_blurred_image(tmp_path: Path) -> None:
    """The sharp image is brighter: 12 bits hold the blurred one, 14 the sharp one, and one scale serves both."""
    blurred, sharp = (np.full((32, 32), value, np.uint16) for value in (3000, 9000))
    a, b = whole(make(tmp_path, blurred, sharp=[sharp]), "range")
    assert float(a[0, 0, 0]) == pytest.approx(3000 / 4095)
    assert float(b[0, 0, 0]) == pytest.approx(9000 / 4095)


def test_files_of_two_types_have_a_range_each(tmp_path: Path) -> None:
    blurred = texture(1, (32, 32))
    a, b = whole(make(tmp_path, blurred, sharp=[blurred.astype(np.uint16) * 257]), "range")
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_constant_image_has_no_extremes(tmp_path: Path) -> None:
    records = make(tmp_path, np.full((32, 32), 7, np.uint8))
    with pytest.raises(UnsupportedInput, match=r"constant image.*0\.tif"):
        whole(records, "minmax")
    for scale in ("range", "percentile"):
        assert all(np.isfinite(x).all() for x in whole(records, scale))


def test_gray_and_colour(tmp_path: Path) -> None:
    """Gray is repeated for a network of colours, colours are averaged for one of gray; others are refused."""
    gray = make(tmp_path / "gray", texture(1, (32, 32)))
    a, _ = whole(gray, "range", channels=3)
    assert (a[0] == a[1]).all() and (a[0] == a[2]).all()
    colour = make(tmp_path / "colour", texture(1, (32, 32, 3)))
    rgb, mean = whole(colour, "range", channels=3)[0], whole(colour, "range")[0]
    np.testing.assert_allclose(rgb.mean(0, keepdims=True), mean, atol=1e-6)
    with pytest.raises(UnsupportedInput, match="3 samples a pixel, the network 2 channels"):
        whole(colour, "range", channels=2)


def test_bad_pairs_are_named(tmp_path: Path, records: list[Record]) -> None:
    short = make(tmp_path / "short", texture(1, (32, 32)), sharp=[texture(1, (32, 33))])
    with pytest.raises(ConfigError, match="differ in size"):
        RecordedPairs(short, channels=1).batch(8, 1, seed=0, step=0)
    with pytest.raises(ConfigError, match="a sharp image without a blurred one"):
        RecordedPairs([replace(records[0], input=None)], channels=1).batch(8, 1, seed=0, step=0)
    assert records[0].input is not None
    records[0].input.unlink()
    with pytest.raises(MissingInput):
        RecordedPairs(records[:1], channels=1).batch(8, 1, seed=0, step=0)
    with pytest.raises(ConfigError, match="scale is 'min-max', did you mean 'minmax'"):
        RecordedPairs(records, channels=1, scale="min-max")


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    for name in ("blur/a.png", "sharp/a.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"no image")
    pairs = RecordedPairs(pair_folders(tmp_path / "blur", tmp_path / "sharp"), channels=1)
    assert not pairs.is_empty
    assert RecordedPairs([], channels=1).is_empty
