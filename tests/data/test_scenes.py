"""Training pairs on the fly: which pixels a sample shows, and what was done to them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scene_sources import CLEAR, CROP, STRONG, source_of

from dgno.data.scenes import HELD_OUT, Source
from dgno.errors import ConfigError
from dgno.optics.simulate import BlurRange


def numbers_in(sharp: torch.Tensor) -> np.ndarray:
    """Which pixels of the `numbered` files a crop shows."""
    return np.rint(sharp.double().numpy() * 2**20).astype(int)


def test_the_same_seed_step_and_slot_give_the_same_sample(numbered: Numbered, tmp_path: Path) -> None:
    """Whatever was drawn before, however large the batch, and wherever torch's and numpy's own generators stand."""
    numbered(5, (50, 60))
    first = source_of(tmp_path, blur=BlurRange(), augmentation=STRONG)
    blurred, sharp = first.batch(CROP, 4, seed=1, step=7)
    torch.manual_seed(99)
    np.random.seed(99)
    other = source_of(tmp_path, blur=BlurRange(), augmentation=STRONG)
    other.batch(CROP, 3, seed=1, step=6)
    for size in (1, 2, 6):
        again = other.batch(CROP, size, seed=1, step=7)
        common = min(size, 4)
        assert torch.equal(again[0][:common], blurred[:common])
        assert torch.equal(again[1][:common], sharp[:common])


def test_other_seeds_steps_and_slots_give_other_samples(numbered: Numbered, tmp_path: Path) -> None:
    numbered(5, (50, 60))
    pairs = source_of(tmp_path, blur=BlurRange())
    samples = [
        pairs.batch(CROP, 3, seed=seed, step=step)[0][slot] for seed in (0, 1) for step in (0, 1) for slot in range(3)
    ]
    assert not any(torch.equal(a, b) for i, a in enumerate(samples) for b in samples[:i])


def test_a_sample_does_not_depend_on_where_the_folder_lies(numbered: Numbered, tmp_path: Path) -> None:
    files = numbered(5, (50, 60))
    (tmp_path / "elsewhere").mkdir()
    for file in reversed(files):
        (tmp_path / "elsewhere" / file.name).write_bytes(file.read_bytes())
    here, there = (source_of(root).batch(CROP, 4, seed=3, step=0)[1] for root in (tmp_path, tmp_path / "elsewhere"))
    assert torch.equal(here, there)


def test_training_and_validation_never_share_a_pixel(numbered: Numbered, tmp_path: Path) -> None:
    """Over many samples, with crops that reach beyond the border; and each draws from all of its files."""
    count, pixels = HELD_OUT + 1, 24 * 30
    numbered(count)
    seen = {}
    for validation in (False, True):
        pairs = source_of(tmp_path, validation=validation)
        crops = [pairs.batch(CROP, 4, seed=0, step=step)[1] for step in range(30)]
        seen[validation] = set(np.unique(numbers_in(torch.cat(crops))))
    assert not seen[False] & seen[True]
    files = {which: {int(n) // pixels for n in found} for which, found in seen.items()}
    assert files[True] == {HELD_OUT - 1}
    assert files[False] == set(range(count)) - files[True]


@pytest.mark.parametrize("count", [1, 2, 5, HELD_OUT - 1, HELD_OUT, HELD_OUT + 1, 2 * HELD_OUT + 3])
def test_every_file_serves_training_or_validation(numbered: Numbered, tmp_path: Path, count: int) -> None:
    """One in twenty is held out, of fewer files the last; a single one serves training."""
    files = numbered(count, (4, 5))
    parts = [source_of(tmp_path, validation=validation).scenes[0] for validation in (False, True)]
    assert len(parts[0]) + len(parts[1]) == count
    assert len(parts[1]) == (max(1, count // HELD_OUT) if count > 1 else 0)
    first = sorted(float(scene[0, 0, 0]) for part in parts for scene in part)
    assert first == sorted(float(tifffile.imread(file)[0, 0]) for file in files)


def test_a_single_file_leaves_validation_to_the_other_sources(numbered: Numbered, tmp_path: Path) -> None:
    numbered(HELD_OUT, pattern="many/{:03d}.tif")
    tifffile.imwrite(tmp_path / "one.tif", np.full((40, 40), 0.75, np.float32))
    sources = (Source("one.tif", weight=50.0), Source("many/*.tif"))
    held_out = source_of(tmp_path, *sources, validation=True)
    assert [len(scenes) for scenes in held_out.scenes] == [0, 1]
    assert not held_out.is_empty
    assert (held_out.batch(CROP, 8, seed=0, step=0)[1] < 0.5).all()
    assert source_of(tmp_path, sources[0], validation=True).is_empty


def test_training_without_anything_to_draw_from_is_an_error(numbered: Numbered, tmp_path: Path) -> None:
    numbered(2)
    with pytest.raises(ConfigError, match="no source has a share"):
        source_of(tmp_path, Source("*.tif", weight=0.0))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0), (0.0, 2.0)])
def test_sources_are_drawn_by_their_weights(tmp_path: Path, weights: tuple[float, float]) -> None:
    """Of 100 samples the share of each source lies within four standard deviations of its weight."""
    for name, value in (("a", 0.25), ("b", 0.75)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((40, 40), value, np.float32))
    pairs = source_of(tmp_path, *(Source(f"{n}.tif", weight=w) for n, w in zip("ab", weights, strict=True)))
    _, sharp = pairs.batch(4, 100, seed=0, step=0)
    wanted = weights[0] / sum(weights)
    assert abs(float((sharp < 0.5).float().mean()) - wanted) <= 4 * np.sqrt(wanted * (1 - wanted) / 100)


def test_without_augmentation_a_sample_is_a_piece_of_the_file(numbered: Numbered, tmp_path: Path) -> None:
    """A contiguous square of the file's own values, turned or mirrored, in all eight ways; in focus blurred = sharp."""
    width = 130
    (path,) = numbered(1, (120, width))
    scene, ways = tifffile.imread(path), set()
    pairs = source_of(tmp_path)
    for step in range(60):
        (blurred,), (sharp,) = pairs.batch(CROP, 1, seed=0, step=step)
        numbers = numbers_in(sharp[0])
        rows, columns = numbers // width, numbers % width
        assert sorted(set(rows.flat)) == list(range(rows.min(), rows.min() + CROP))
        assert sorted(set(columns.flat)) == list(range(columns.min(), columns.min() + CROP))
        np.testing.assert_array_equal(sharp[0].numpy(), scene[rows, columns])
        torch.testing.assert_close(blurred, sharp, atol=1e-5, rtol=0)
        down, right = numbers[1, 0] - numbers[0, 0], numbers[0, 1] - numbers[0, 0]
        ways.add((int(down), int(right)))
    assert ways == {(s * a, t * b) for s in (1, -1) for t in (1, -1) for a, b in ((1, width), (width, 1))}


@pytest.mark.parametrize("file", [(40, 50), (40, 50, 3)], ids=["gray file", "colour file"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_samples_have_the_channels_size_and_range_that_are_asked_for(
    tmp_path: Path, file: tuple[int, ...], channels: int, dtype: type
) -> None:
    """Also where the crop with its margin is larger than the file; gray shown as colour has three equal channels."""
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, file, dtype, endpoint=True)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb" if len(file) == 3 else "minisblack")
    pairs = source_of(tmp_path, channels=channels, blur=BlurRange(read_noise=(0.0, 0.0)))
    blurred, sharp = pairs.batch(48, 3, seed=0, step=0)
    for images in (blurred, sharp):
        assert images.shape == (3, channels, 48, 48)
        assert images.dtype == torch.float32
        assert images.isfinite().all()
    assert sharp.min() >= 0
    assert 0.5 < sharp.max() <= 1
    assert blurred.std() < sharp.std()
    if channels == 3:
        assert torch.equal(sharp[:, 0], sharp[:, 1]) == (len(file) == 2)


def test_gray_samples_of_a_colour_file_are_the_mean_of_its_colours(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    (scene,) = source_of(tmp_path).scenes[0]
    np.testing.assert_allclose(scene[..., 0], values.mean(-1) / 255, atol=1e-6)


def test_the_range_of_a_source(tmp_path: Path) -> None:
    """By dtype, 51 of 255 is 0.2; by percentiles a camera's offset and gain leave no trace."""
    values = np.random.default_rng(0).integers(20, 100, (60, 60)).astype(np.uint16)
    for name, written in (("a", values * 10 + 300), ("b", values), ("c", np.full((20, 20), 51, np.uint8))):
        tifffile.imwrite(tmp_path / f"{name}.tif", written.astype(np.uint8 if name == "c" else np.uint16))
    (c,) = source_of(tmp_path, Source("c.tif")).scenes[0]
    np.testing.assert_allclose(c, 0.2, atol=1e-6)
    (a,), (b,) = (source_of(tmp_path, Source(f"{name}.tif", range="percentile")).scenes[0] for name in "ab")
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert a.min() == 0
    assert 0.99 < a.max() <= 1.5


@pytest.mark.parametrize("pattern", ["nothing*", "sub/*.tif", "000.png"])
@pytest.mark.parametrize("validation", [False, True])
def test_a_pattern_that_matches_nothing_is_a_clear_error(
    numbered: Numbered, tmp_path: Path, pattern: str, validation: bool
) -> None:
    """Also beside a source that is well; the error names the pattern and the folder."""
    numbered(HELD_OUT)
    message = re.escape(f"no images match {pattern!r} below {tmp_path}")
    with pytest.raises(ConfigError, match=message):
        source_of(tmp_path, Source("*.tif"), Source(pattern), validation=validation)


def test_the_blur_is_that_of_its_range(tmp_path: Path) -> None:
    """A stronger defocus takes more of an edge's contrast; the sharp side is the same."""
    values = np.zeros((100, 100), np.float32)
    values[:, ::8] = 1
    tifffile.imwrite(tmp_path / "a.tif", values)
    spreads, sharps = [], []
    for sigma in (0.0, 1.0, 3.0):
        blur = replace(CLEAR, sigma=(sigma, sigma), fields=("constant",))
        blurred, sharp = source_of(tmp_path, blur=blur).batch(CROP, 1, seed=0, step=0)
        spreads.append(float(blurred.std()))
        sharps.append(sharp)
    assert spreads[0] > 2 * spreads[1] > 4 * spreads[2]
    assert torch.equal(sharps[0], sharps[2])


def test_a_file_of_two_sources_is_held_out_of_both(numbered: Numbered, tmp_path: Path) -> None:
    """What validation sees, training never sees, by whatever pattern it was found."""
    numbered(25, (50, 60))
    sources = (Source("*.tif"), Source("*[34].tif"))
    training, validation = (
        {numbers.item() for scenes in pairs.scenes for scene in scenes for numbers in np.rint(scene[:1, 0] * 2**20)}
        for pairs in (source_of(tmp_path, *sources), source_of(tmp_path, *sources, validation=True))
    )
    assert len(validation) >= 2
    assert not training & validation
