"""What the benchmarks of quality stand on: comparisons that see what they are to see."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import failures
import quality
import real_defocus
import uniform

from dgno.metrics import psnr
from dgno.weights.store import embedded_names


def texture(side: int = 96) -> np.ndarray:
    return 100 + 50 * gaussian_filter(np.random.default_rng(0).standard_normal((side, side, 1)), (2, 2, 0)) * 5


def test_planes_are_compared_where_they_lie_and_as_bright_as_they_are():
    """A shift, a gain and an offset cost nothing; blur does."""
    sharp = texture()
    moved = 0.5 * shift(sharp, (3, -2, 0), order=3, mode="nearest") + 20
    blurred = gaussian_filter(sharp, (1.5, 1.5, 0))
    alike, ssim = real_defocus.likeness(moved, sharp)
    assert alike > 45
    assert ssim > 0.99
    assert real_defocus.likeness(blurred, sharp)[0] < 30
    assert real_defocus.focus(blurred) < 0.5 * real_defocus.focus(sharp)


def test_planes_are_cut_around_their_middle():
    planes = [np.pad(texture(40), ((n, n), (n + 1, n + 1), (0, 0))) for n in (0, 2, 5)]
    assert all(np.array_equal(plane[:, 1:-1], texture(40)) for plane in real_defocus.cut_alike(planes))


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_the_best_balance_is_better_than_the_image_and_than_another(sigma: float):
    sharp = torch.from_numpy(texture(64)).float().permute(2, 0, 1) / 200
    plain, best, own = uniform.measure(sharp, sigma, 0, restore=lambda blurred: blurred)
    assert own == plain < best


def test_of_colours_green_counts():
    x = torch.rand(3, 8, 8)
    assert torch.equal(uniform.shown(x), x[1:2])
    assert torch.equal(uniform.shown(x[:1]), x[:1])


def test_failures_are_exposed_as_they_say():
    """In focus is as given; the others are not."""
    scene = torch.rand(1, 70, 70)
    for cases in failures.FAILURES.values():
        values = [psnr(failures.exposed(case, scene, 0).clamp(0, 1), scene) for case in cases]
        assert values[0] > failures.SAME
        assert max(values[1:]) < 40


def test_pictures_are_of_the_richest_place():
    scene = torch.zeros(1, 256, 320)
    scene[:, 64:192, 96:224] = torch.randn(128, 128)
    assert failures.most_structured(scene) == (slice(64, 192), slice(96, 224))


def test_weights_of_the_data_sets_are_in_the_package():
    """Those that in_focus.py and downstream.py take, and all that quality.py does."""
    known = set(embedded_names())
    for data_set in quality.SETS:
        assert data_set.weights("nano") in known
        for kind in quality.KINDS.values():
            assert set(kind.weights_for(data_set, "nano")) <= known
