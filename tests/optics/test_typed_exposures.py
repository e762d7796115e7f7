"""Exposures by type of blur, and blur in a part of an image."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from dgno.errors import ConfigError
from dgno.optics.blur_types import BLUR_TYPES, DEFOCUS, IN_FOCUS, MIXED, MOTION, VISIBLE, TypedRange
from dgno.optics.exposure import NO_NOISE, Exposure
from dgno.optics.mixed import MixedOptics
from dgno.optics.moving import MotionOptics, MotionRange
from dgno.optics.partly import PartOptics
from dgno.optics.simulate import BlurRange, SigmaOptics

SHAPE = (40, 48)
RANGE = TypedRange(BlurRange(sigma=(1.0, 3.0)), MotionRange((5.0, 30.0)))


def drawn(name: str, seed: int = 0) -> Exposure:
    one = TypedRange(RANGE.defocus, RANGE.motion, (name,))
    return one.draw(SHAPE, np.random.default_rng(seed))


def test_all_types_are_drawn_equally_often() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(RANGE.draw_typed((8, 8), rng)[0] for _ in range(400))
    assert set(counts) == set(BLUR_TYPES)
    assert all(60 < count < 140 for count in counts.values())


def test_each_type_is_what_it_says() -> None:
    kinds = {name: drawn(name).optics for name in BLUR_TYPES}
    assert isinstance(focused := kinds[IN_FOCUS], SigmaOptics)
    assert isinstance(kinds[DEFOCUS], SigmaOptics)
    assert isinstance(kinds[MOTION], MotionOptics)
    assert isinstance(kinds[MIXED], MixedOptics)
    for name, lowest, highest in ((DEFOCUS, 1.0, 3.0), (MIXED, 0.1, 3.0)):
        sigma = kinds[name].maps()["sigma"]
        assert lowest - 1e-4 <= sigma.min() <= sigma.max() <= highest + 1e-4
    for name in (MOTION, MIXED):
        length = kinds[name].maps()["motion"][0]
        assert 5 - 1e-4 <= length.min() <= length.max() <= 30 + 1e-4
    scene = torch.rand(1, *SHAPE)
    assert torch.allclose(Exposure(focused, NO_NOISE, 0).of(scene), scene, atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_mixed_blur_has_motion_that_can_be_seen(seed: int) -> None:
    optics = drawn(MIXED, seed).optics
    assert isinstance(optics, MixedOptics)
    sigma, length = optics.maps()["sigma"].mean(), optics.maps()["motion"][0].mean()
    assert length >= min(VISIBLE * float(sigma), 30.0) - 1e-4


def test_a_type_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"types\[1\] is 'moton', did you mean 'motion'"):
        TypedRange(types=("defocus", "moton"))
    with pytest.raises(ConfigError, match="types is empty"):
        TypedRange(types=())


def test_blur_in_a_part_is_linear_with_an_adjoint() -> None:
    weight = torch.rand(SHAPE)
    blur = PartOptics(drawn(MIXED).optics, weight).blur(1)
    x, y = torch.rand(1, *SHAPE).double(), torch.rand(1, *SHAPE).double()
    assert torch.isclose((blur.apply(x) * y).sum(), (x * blur.adjoint(y)).sum(), rtol=1e-6)


def test_where_nothing_is_blurred_the_scene_stays() -> None:
    weight = torch.zeros(SHAPE)
    weight[:, 24:] = 1
    whole = drawn(DEFOCUS).optics
    scene = torch.rand(1, *SHAPE)
    partly = PartOptics(whole, weight).blur(1).apply(scene)
    assert torch.equal(partly[..., :24], scene[..., :24])
    assert torch.allclose(partly[..., 24:], whole.blur(1).apply(scene)[..., 24:])


def test_the_psf_of_a_part_is_between_that_and_none() -> None:
    weight = torch.zeros(SHAPE)
    weight[:, :12] = 1  # a quarter
    optics = drawn(MOTION).optics
    psf = PartOptics(optics, weight).mean_psf(1)
    assert psf.sum() == pytest.approx(1)
    middle = len(psf) // 2
    assert psf[middle, middle] == pytest.approx(0.75 + 0.25 * optics.mean_psf(1)[middle, middle])
    assert PartOptics(optics, weight).facts(1)["share"] == 0.25
