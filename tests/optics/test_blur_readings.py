"""The two readings of Eq. 1: against the integral summed point by point, and what each of them keeps."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from dgno.errors import ConfigError
from dgno.optics.blur import READINGS, SpatiallyVaryingBlur, blur_levels
from dgno.optics.fields import FIELDS
from dgno.optics.motion import linear_motion
from dgno.optics.psf import PSF, disk, gaussian

BOUNDARIES = ["reflect", "replicate", "zero", "circular"]
SHAPE = (9, 11)
readings = pytest.mark.parametrize("reading", READINGS)
boundaries = pytest.mark.parametrize("boundary", BOUNDARIES)
sampled = functools.partial(gaussian, integrated=False)  # one kind of sampling at all strengths


def shifted(length: float) -> PSF:
    """Not its own mirror image, so that a mirrored PSF would be noticed."""
    return linear_motion(length, 30.0, legacy_shift=True)


def source(index: int, size: int, boundary: str) -> int | None:
    """The pixel of the image that continues it at `index`; None where there is darkness."""
    if 0 <= index < size:
        return index
    if boundary == "zero":
        return None
    if boundary == "replicate":
        return min(max(index, 0), size - 1)
    if boundary == "circular":
        return index % size
    index %= 2 * size
    return index if index < size else 2 * size - 1 - index


def summed(h: np.ndarray, psfs: dict[float, PSF], field: np.ndarray, reading: str, boundary: str) -> np.ndarray:
    """g(q) = sum_p k_s(q - p) h(p) over all p around q, s the strength at q (gather) or at p (scatter)."""
    g = np.zeros_like(h)
    reach = max(len(psf) for psf in psfs.values()) // 2
    for (qy, qx), target in np.ndenumerate(field):
        for py in range(qy - reach, qy + reach + 1):
            for px in range(qx - reach, qx + reach + 1):
                at = source(py, h.shape[0], boundary), source(px, h.shape[1], boundary)
                if at[0] is None or at[1] is None:
                    continue
                psf = psfs[float(target if reading == "gather" else field[at])]
                y, x = qy - py + len(psf) // 2, qx - px + len(psf) // 2
                if 0 <= y < len(psf) and 0 <= x < len(psf):
                    g[qy, qx] += psf[y, x] * h[at]
    return g


@readings
@boundaries
@pytest.mark.parametrize("family", [shifted, disk])
def test_it_is_the_integral_summed_point_by_point(reading: str, boundary: str, family: Callable[[float], PSF]) -> None:
    rng = np.random.default_rng(4)
    strengths = [2.0, 4.0]
    field, h = rng.choice(strengths, SHAPE), rng.random(SHAPE)
    blur = SpatiallyVaryingBlur(torch.from_numpy(field), family, reading=reading, boundary=boundary, levels=strengths)
    expected = summed(h, {s: family(s) for s in strengths}, field, reading, boundary)
    np.testing.assert_allclose(blur.apply(torch.from_numpy(h)).numpy(), expected, atol=1e-12)


@boundaries
@pytest.mark.parametrize("family", [shifted, gaussian])
def test_both_are_the_same_for_a_constant_field(boundary: str, family: Callable[[float], PSF]) -> None:
    h = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    field = torch.full(SHAPE, 3.0)
    a, b = (SpatiallyVaryingBlur(field, family, reading=r, boundary=boundary).apply(h) for r in READINGS)
    torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


@pytest.mark.parametrize("boundary", ["reflect", "zero", "circular"])
@pytest.mark.parametrize("kind", FIELDS)
def test_each_is_the_others_adjoint_for_symmetric_psfs(boundary: str, kind: str) -> None:
    field = FIELDS[kind]((24, 31), 0.6, 4.0, np.random.default_rng(2)).double()
    g = torch.rand(24, 31, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gather, scatter = (SpatiallyVaryingBlur(field, gaussian, reading=r, boundary=boundary) for r in READINGS)
    torch.testing.assert_close(gather.adjoint(g), scatter.apply(g), atol=1e-12, rtol=0)
    torch.testing.assert_close(scatter.adjoint(g), gather.apply(g), atol=1e-12, rtol=0)


def inside(shape: tuple[int, int], margin: int) -> torch.Tensor:
    """Random light, none of it nearer than `margin` to the border."""
    h = torch.zeros(shape, dtype=torch.float64)
    h[margin:-margin, margin:-margin].uniform_(generator=torch.Generator().manual_seed(3))
    return h


@boundaries
@pytest.mark.parametrize("kind", FIELDS)
def test_scatter_keeps_the_light(boundary: str, kind: str) -> None:
    """All of it where no PSF reaches the border, whatever the field; gather does not."""
    field = FIELDS[kind]((50, 60), 0.6, 3.0, np.random.default_rng(2)).double()
    blur = SpatiallyVaryingBlur(field, gaussian, reading="scatter", boundary=boundary)
    h = inside((50, 60), blur.radius)
    assert blur.apply(h).sum() == pytest.approx(float(h.sum()), rel=1e-12)
    gathered = SpatiallyVaryingBlur(field, gaussian, boundary=boundary).apply(h)
    assert kind == "constant" or abs(gathered.sum() / h.sum() - 1) > 1e-6


@pytest.mark.parametrize("family", [shifted, gaussian])
def test_scatter_of_a_point_is_its_own_psf(family: Callable[[float], PSF]) -> None:
    field = torch.full((40, 40), 4.0)
    field[:, 20:] = 2.0
    for column, strength in ((19, 4.0), (20, 2.0)):
        point = torch.zeros(40, 40, dtype=torch.float64)
        point[20, column] = 1
        image = SpatiallyVaryingBlur(field, family, reading="scatter", levels=[2.0, 4.0]).apply(point).numpy()
        psf = family(strength)
        r = len(psf) // 2
        np.testing.assert_allclose(image[20 - r : 21 + r, column - r : column + r + 1], psf, atol=1e-12)
        assert image.sum() == pytest.approx(1)


def test_a_flat_field_of_light_shows_the_steps_in_scatter_only() -> None:
    """Across a step of sigma 2 | 10 scatter makes 0.675 to 1.325 of a flat image, gather leaves it flat."""
    field = torch.where(torch.arange(128) < 64, 2.0, 10.0).expand(128, 128)
    flat = torch.ones(128, 128, dtype=torch.float64)
    scatter = SpatiallyVaryingBlur(field, gaussian, reading="scatter", levels=[2.0, 10.0]).apply(flat)
    assert float(scatter.min()) == pytest.approx(0.675, abs=0.02)
    assert float(scatter.max()) == pytest.approx(1.325, abs=0.02)
    gather = SpatiallyVaryingBlur(field, gaussian, levels=[2.0, 10.0]).apply(flat)
    torch.testing.assert_close(gather, flat, atol=1e-12, rtol=0)


@readings
def test_the_image_may_be_differentiated(reading: str) -> None:
    field = FIELDS["voronoi"]((7, 8), 0.6, 2.0, np.random.default_rng(0)).double()
    blur = SpatiallyVaryingBlur(field, gaussian, reading=reading)
    h = torch.rand(7, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(blur.apply, h)


def shapes(rng: np.random.Generator, side: int) -> torch.Tensor:
    """Filled squares and thin lines on darkness, the scenes of the paper's controlled experiment."""
    scene = torch.zeros(side, side, dtype=torch.float64)
    for _ in range(8):
        y, x, size = rng.integers(0, side, 3)
        height, width = (size % 24 + 4, size % 24 + 4) if rng.random() < 0.5 else (size % 2 + 1, side)
        scene[y : y + height, x : x + width] = rng.uniform(0.3, 1)
    return scene


@functools.lru_cache(maxsize=4096)
def rounded(sigma: float) -> PSF:
    return sampled(sigma)


@pytest.mark.parametrize("seed", range(20))
def test_log_spaced_levels_keep_their_bound(seed: int) -> None:
    """0.264 (rho - 1)^2 for any image in [0, 1], and 1/1024 in the paper's scenes, at pixels computed exactly."""
    rng = np.random.default_rng(seed)
    kind = ("smooth", "voronoi", "mixture", "radial")[seed % 4]
    low, high = ((0.8, 13.0), (8.0, 10.0))[seed % 2]
    field, scene = FIELDS[kind]((64, 64), low, high, rng).double(), shapes(rng, 64)
    levels = blur_levels(low, high)
    blurred = SpatiallyVaryingBlur(field, rounded, levels=levels).apply(scene)
    ratio = max(b / a for a, b in itertools.pairwise(levels))
    for y, x in rng.integers(0, 64, (8, 2)):
        exact = SpatiallyVaryingBlur(torch.full((64, 64), float(field[y, x])).double(), sampled).apply(scene)[y, x]
        error = float((blurred[y, x] - exact).abs())
        assert error <= 0.264 * (ratio - 1) ** 2
        assert error < 1 / 1024


def test_the_bound_is_nearly_reached() -> None:
    """By a bright disk and ring where the PSF's second derivative is positive: r^2 < sigma^2 and r^2 > 6 sigma^2."""
    lower, upper = 8.0, 8.0 * math.exp(0.1)
    y, x = torch.meshgrid(*[torch.arange(-60.0, 61)] * 2, indexing="ij")
    u = (y**2 + x**2) / (2 * lower * upper)
    scene = ((u < 0.5) | (u > 3)).double()
    field = torch.full((121, 121), (lower + upper) / 2, dtype=torch.float64)
    mixed = SpatiallyVaryingBlur(field, sampled, levels=[lower, upper]).apply(scene)
    error = float((mixed - SpatiallyVaryingBlur(field, sampled).apply(scene))[60, 60])
    bound = 0.264 * (upper / lower - 1) ** 2
    assert 0.8 * bound < error < bound


def test_levels_of_two_samplings_do_not_mix() -> None:
    """Why the bound asks for one: at 0.79 px, between an integrated and a point-sampled Gaussian, it is broken."""
    scene = torch.zeros(40, 40, dtype=torch.float64)
    scene[:, 20] = 1
    levels = blur_levels(0.6, 4.0)
    field = torch.full((40, 40), 0.79, dtype=torch.float64)

    def error(family: Callable[[float], PSF]) -> float:
        mixed = SpatiallyVaryingBlur(field, family, levels=levels).apply(scene)
        return float((mixed - SpatiallyVaryingBlur(field, family).apply(scene)).abs().max())

    bound = 0.264 * (levels[1] / levels[0] - 1) ** 2
    assert error(functools.partial(gaussian, integrated=True)) < bound
    assert error(sampled) < bound
    assert error(gaussian) > 3 * bound


@pytest.mark.parametrize("wrong", [{"reading": "scater"}, {"boundary": "mirror"}])
def test_unknown_words_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="known: "):
        SpatiallyVaryingBlur(torch.ones(SHAPE), gaussian, **wrong)  # type: ignore[arg-type]


def test_as_many_weights_as_psfs() -> None:
    with pytest.raises(ConfigError, match="2 weights for 1 PSFs"):
        SpatiallyVaryingBlur.of_psfs(torch.ones(2, *SHAPE) / 2, [gaussian(1.0)])


def test_given_psfs_and_weights_make_the_same_blur() -> None:
    field = FIELDS["smooth"](SHAPE, 1.0, 3.0, np.random.default_rng(0))
    blur = SpatiallyVaryingBlur(field, gaussian)
    again = SpatiallyVaryingBlur.of_psfs(blur.weights, [gaussian(s) for s in blur_levels(*map(float, field.aminmax()))])
    h = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(blur.apply(h), again.apply(h), atol=0, rtol=0)
