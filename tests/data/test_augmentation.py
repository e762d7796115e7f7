"""Augmented scenes: what each change does, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scene_sources import CROP, STRONG, source_of

from dgno.data.scenes import Augmentation, Source
from dgno.errors import ConfigError
from dgno.optics.simulate import BlurRange


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Source("*.tif", range="percentiles"), "range is 'percentiles'"),
        (lambda: Source("*.tif", weight=-1.0), "weight is -1"),
        (lambda: Source("/etc/*.tif"), "below the data folder"),
        (lambda: Augmentation(scale=(0.5, 5.0)), "scale"),
        (lambda: Augmentation(gain=(1.2, 0.5)), "gain"),
        (lambda: Augmentation(linear_light=1.5), "linear_light"),
    ],
    ids=["a typo", "a negative share", "a path", "more than fourfold", "ends swapped", "a share above one"],
)
def test_settings_without_meaning_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_samples_are_finite_and_have_their_size(tmp_path: Path, channels: int) -> None:
    """At the ends of every range, with a black and a white image among the files."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (90, 100, 3), np.uint8)
    for name, values in (("a", texture), ("b", np.zeros_like(texture)), ("c", np.full_like(texture, 255))):
        tifffile.imwrite(tmp_path / f"{name}.tif", values, photometric="rgb")
    pairs = source_of(tmp_path, channels=channels, blur=BlurRange(), augmentation=STRONG)
    blurred, sharp = pairs.batch(CROP, 24, seed=0, step=0)
    assert blurred.shape == sharp.shape == (24, channels, CROP, CROP)
    assert blurred.isfinite().all()
    assert sharp.isfinite().all()
    assert sharp.min() >= -0.05 - 1e-5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"gain": (0.5, 0.5)}, lambda x: 0.5 * x),
        ({"offset": (0.1, 0.1)}, lambda x: x + 0.1),
        ({"gamma": (2.0, 2.0)}, lambda x: x**2),
        ({"gamma": (2.0, 2.0), "gain": (0.5, 0.5), "offset": (0.1, 0.1)}, lambda x: 0.5 * x**2 + 0.1),
        ({"linear_light": 1.0}, lambda x: x),
    ],
    ids=["gain", "offset", "gamma", "in this order", "linear light"],
)
def test_intensities_are_changed_as_told(
    numbered: Numbered, tmp_path: Path, change: dict[str, object], expected: object
) -> None:
    """The same place of the same file with and without; blurred and sharp are changed alike."""
    numbered(1, (120, 130))
    plain, changed = (source_of(tmp_path, augmentation=Augmentation(**c)) for c in ({}, change))  # type: ignore[arg-type]
    _, before = plain.batch(CROP, 4, seed=0, step=0)
    blurred, after = changed.batch(CROP, 4, seed=0, step=0)
    torch.testing.assert_close(after, expected(before), atol=1e-6, rtol=0)  # type: ignore[operator]
    torch.testing.assert_close(blurred, after, atol=1e-5, rtol=0)


def test_scale_shows_more_or_less_of_the_file(tmp_path: Path) -> None:
    """Half the scale: a ramp rises twice as fast; twice the scale: half as fast."""
    ramp = np.tile(np.arange(400, dtype=np.float32) / 400, (400, 1))
    tifffile.imwrite(tmp_path / "a.tif", ramp)
    slopes = []
    for scale in (1.0, 0.5, 2.0):
        pairs = source_of(tmp_path, augmentation=Augmentation(scale=(scale, scale)))
        _, (sharp,) = pairs.batch(CROP, 1, seed=0, step=0)
        slopes.append(float(max(sharp.diff(dim=1).abs().mean(), sharp.diff(dim=2).abs().mean())))
    assert slopes == pytest.approx([slopes[0], 2 * slopes[0], slopes[0] / 2], rel=1e-3)


def test_a_share_of_the_colour_samples_is_gray(tmp_path: Path) -> None:
    """Half of them, by four standard deviations; all channels alike there."""
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "a.tif", rng.integers(30, 220, (90, 90, 3), np.uint8), photometric="rgb")
    pairs = source_of(tmp_path, Source("a.tif"), channels=3, augmentation=Augmentation(gray=0.5))
    sharp = pairs.batch(CROP, 100, seed=0, step=0)[1]
    gray = [bool(torch.equal(one[0], one[1]) and torch.equal(one[0], one[2])) for one in sharp]
    assert 30 <= sum(gray) <= 70


def test_stains_mix_colours_and_leave_gray_and_white_alone(tmp_path: Path) -> None:
    """Optical densities are mixed: white has none. A gray network's samples have no stains."""
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "a.tif", rng.integers(30, 220, (90, 90, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "w.tif", np.full((90, 90, 3), 255, np.uint8), photometric="rgb")
    stained = Augmentation(stain=0.4)

    def sharp(file: str, channels: int, augmentation: Augmentation) -> torch.Tensor:
        pairs = source_of(tmp_path, Source(file), channels=channels, augmentation=augmentation)
        return pairs.batch(CROP, 2, seed=0, step=0)[1]

    assert (sharp("a.tif", 3, stained) - sharp("a.tif", 3, Augmentation())).abs().mean() > 0.02
    assert torch.equal(sharp("a.tif", 1, stained), sharp("a.tif", 1, Augmentation()))
    torch.testing.assert_close(sharp("w.tif", 3, stained), torch.ones(2, 3, CROP, CROP))


def test_the_more_structured_of_a_few_places_is_taken(tmp_path: Path) -> None:
    """One half of the file is faint: with the best of three places it gets an eighth of the samples, not a half."""
    values = np.random.default_rng(0).random((400, 400)).astype(np.float32)
    values[:, :200] *= 0.1
    tifffile.imwrite(tmp_path / "a.tif", values)
    _, sharp = source_of(tmp_path).batch(CROP, 100, seed=0, step=0)
    assert float((sharp.flatten(1).std(1) < 0.1).float().mean()) < 0.3
