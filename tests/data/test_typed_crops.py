"""Crops whose blur is known: they are what they say, and a function of their numbers alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scene_sources import source_of
from skimage.io import imsave

from dgno.data.typed_crops import IGNORED, TypedCrops, squares_of
from dgno.optics.blur_types import BLUR_TYPES, TypedRange
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange

CROP = 64
IN_FOCUS, DEFOCUS, MOTION, MIXED = range(4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Noise on the left, nothing on the right."""
    rng = np.random.default_rng(0)
    for i in range(3):
        image = np.full((200, 260), 90, np.uint8)
        image[:, :130] = rng.integers(0, 255, (200, 130))
        imsave(tmp_path / f"{i}.tif", image, check_contrast=False)
    return tmp_path


def crops(folder: Path, *types: str) -> TypedCrops:
    clear = {"photons": (1e12, 1e12), "read_noise": (0.0, 0.0)}
    blur = TypedRange(BlurRange(sigma=(1.0, 3.0), **clear), MotionRange((5.0, 20.0)), types or BLUR_TYPES)
    return TypedCrops(source_of(folder), blur)


def test_a_batch_is_a_function_of_its_numbers(folder: Path) -> None:
    one, two = (crops(folder).batch(CROP, 4, seed=3, step=5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    last = crops(folder).batch(CROP, 4, seed=3, step=5, slots=[3])
    assert all(torch.equal(a[3:], b) for a, b in zip(one, last, strict=True))


@pytest.mark.parametrize("name", BLUR_TYPES)
def test_types_and_widths_belong_together(folder: Path, name: str) -> None:
    index = BLUR_TYPES.index(name)
    for slot in range(8):
        _, whole, types, sigma, length, turn = crops(folder, name).sample(CROP, np.random.default_rng([1, slot]))
        assert int(whole) in (index, IGNORED)
        assert set(types.unique().tolist()) <= {index, IN_FOCUS, IGNORED}
        told = types == index
        assert bool(((sigma > 0) == (told & (index in (DEFOCUS, MIXED)))).all())
        assert bool(((length > 0) == (told & (index in (MOTION, MIXED)))).all())
        assert index in (IN_FOCUS, DEFOCUS) or torch.allclose(turn.norm(dim=0), torch.ones(types.shape))


def test_some_crops_are_blurred_in_a_part(folder: Path) -> None:
    both = 0
    for slot in range(12):
        _, whole, types, *_ = crops(folder, "defocus").sample(CROP, np.random.default_rng([2, slot]))
        found = set(types.unique().tolist())
        both += {IN_FOCUS, DEFOCUS} <= found
        assert int(whole) == IGNORED or IN_FOCUS not in found
    assert both >= 1


def test_where_there_is_nothing_to_see_there_is_no_type() -> None:
    sharp = torch.full((1, 64, 64), 0.5)
    sharp[..., :32] = torch.rand(1, 64, 32)
    maps = {"sigma": torch.full((1, 64, 64), 2.0)}
    types, sigma, _, _ = squares_of("defocus", maps, torch.ones(64, 64), sharp)
    assert bool((types[:, :4] == DEFOCUS).all()) and bool((types[:, 6:] == IGNORED).all())
    assert bool((sigma[:, 6:] == 0).all())


def test_blur_too_weak_to_name_has_no_type() -> None:
    maps = {"sigma": torch.full((1, 64, 64), 0.5)}
    types, *_ = squares_of("defocus", maps, torch.ones(64, 64), torch.rand(1, 64, 64))
    assert bool((types == IGNORED).all())
