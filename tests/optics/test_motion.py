"""Motion during the exposure: lengths, angles, sub-pixel ends, zeros of the transfer function, polylines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dgno.errors import ConfigError
from dgno.optics.motion import legacy_offset, linear_motion, trajectory
from dgno.optics.psf import PSF

STRAIGHT = [(length, angle) for length in (0, 0.4, 1, 2, 2.5, 5, 7.3, 40) for angle in (0, 17, 45, 90, 133.3, 180, 270)]
ZIGZAG = [(0.0, 0.0), (3.2, 4.1), (-1.0, 6.5), (2.0, 9.9)]


def centroid(psf: PSF) -> tuple[float, float]:
    offsets = np.arange(len(psf)) - len(psf) // 2
    return float(psf.sum(1) @ offsets), float(psf.sum(0) @ offsets)


def variance_along(psf: PSF, angle: float) -> float:
    y, x = np.indices(psf.shape) - len(psf) // 2
    along = x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle))
    return float((psf * along**2).sum())


def transfer(psf: PSF, frequency: float, angle: float) -> float:
    """Modulus of the transfer function at `frequency` cycles per px in the direction `angle`."""
    y, x = np.indices(psf.shape) - len(psf) // 2
    along = x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle))
    return float(abs((psf * np.exp(-2j * math.pi * frequency * along)).sum()))


@pytest.mark.parametrize(("length", "angle"), STRAIGHT)
def test_straight_motion_is_a_centred_distribution(length: float, angle: float) -> None:
    """Odd and square, not negative, sum 1, centred, and the same when mirrored through the middle."""
    psf = linear_motion(length, angle)
    assert psf.shape[0] == psf.shape[1]
    assert psf.shape[0] % 2 == 1
    assert psf.min() >= 0
    assert psf.sum() == pytest.approx(1, abs=1e-12)
    assert centroid(psf) == pytest.approx((0, 0), abs=1e-9)
    np.testing.assert_allclose(psf[::-1, ::-1], psf, atol=1e-14)


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 200])
@pytest.mark.parametrize("length", [0, 0.5, 1])
def test_one_pixel_of_motion_is_none(length: float, angle: float) -> None:
    np.testing.assert_array_equal(linear_motion(length, angle), np.ones((1, 1)))


@pytest.mark.parametrize(("length", "weights"), [
    (3, [1, 1, 1]),
    (4, [0.5, 1, 1, 1, 0.5]),
    (2.5, [0.75, 1, 0.75]),
    (3.2, [0.1, 1, 1, 1, 0.1]),
    (5, [1, 1, 1, 1, 1]),
])  # fmt: skip
def test_weights_along_the_grid(length: float, weights: list[float]) -> None:
    """Equal in the middle, the ends by their share of a pixel; down the rows the same turned."""
    across = linear_motion(length)
    np.testing.assert_allclose(across[len(across) // 2], np.array(weights) / length, atol=1e-14)
    assert across.sum() == pytest.approx(across[len(across) // 2].sum())
    np.testing.assert_allclose(linear_motion(length, 90), across.T, atol=1e-14)


@pytest.mark.parametrize("length", [3, 5, 15, 41])
def test_variance_of_odd_lengths(length: int) -> None:
    """(L^2 - 1) / 12 along the path, nothing across it."""
    psf = linear_motion(length)
    assert variance_along(psf, 0) == pytest.approx((length**2 - 1) / 12)
    assert variance_along(psf, 90) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("angle", range(0, 180, 15))
@pytest.mark.parametrize("length", [2, 7, 12.5, 30])
def test_width_at_every_angle(length: float, angle: float) -> None:
    """Along the path that of a line, L^2 / 12, less 1/12 for odd lengths on the grid; pixels add less than 0.21."""
    psf = linear_motion(length, angle)
    assert -1 / 12 - 1e-9 < variance_along(psf, angle) - length**2 / 12 < 0.21
    assert variance_along(psf, angle + 90) < 0.19


@pytest.mark.parametrize("angle", [0, 20, 45, 90])
@pytest.mark.parametrize("length", [4, 5, 10, 16])
def test_zeros_of_the_transfer_function(length: int, angle: float) -> None:
    """At m / L cycles per px of the path. Off the grid, where pixels replicate it, up to 7 % at 0.4 cycles per px."""
    psf = linear_motion(length, angle)
    on_grid = angle in (0, 90)
    for m in range(1, int(length * (0.5 if on_grid else 0.4)) + 1):
        assert transfer(psf, m / length, angle) < (1e-12 if on_grid else 0.07)
    assert transfer(psf, 0.5 / length, angle) == pytest.approx(2 / math.pi, abs=0.06)


@pytest.mark.parametrize("length", [5, 9])
def test_the_transfer_function_of_odd_lengths_is_the_dirichlet_kernel(length: int) -> None:
    psf = linear_motion(length)
    for nu in (0.03, 0.11, 0.27, 0.49):
        dirichlet = math.sin(math.pi * length * nu) / (length * math.sin(math.pi * nu))
        assert transfer(psf, nu, 0) == pytest.approx(abs(dirichlet), abs=1e-12)


@pytest.mark.parametrize("angle", [0, 45, 90])
@pytest.mark.parametrize("length", [1, 4, 5, 40])
def test_the_legacy_shift_is_recorded(length: int, angle: float) -> None:
    """Plain equal weights; the centroid of an even number of them lies half a pixel along the path."""
    psf = linear_motion(length, angle, legacy_shift=True)
    y, x = centroid(psf)
    u = (math.sin(math.radians(angle)), math.cos(math.radians(angle)))
    assert (y, x) == pytest.approx((legacy_offset(length) * u[0], legacy_offset(length) * u[1]), abs=1e-9)
    if angle == 0:
        assert np.count_nonzero(psf) == length
        assert psf.max() == pytest.approx(1 / length)
    if length % 2 and angle != 45:
        np.testing.assert_allclose(psf, linear_motion(length, angle), atol=1e-14)


def test_a_polyline_is_a_centred_distribution() -> None:
    psf = trajectory(ZIGZAG, exposure=[1.0, 0.0, 2.5])
    assert psf.min() >= 0
    assert psf.sum() == pytest.approx(1, abs=1e-12)
    assert centroid(psf) == pytest.approx((0, 0), abs=1e-9)


def test_a_polyline_forgets_where_it_began_and_which_way_it_went() -> None:
    moved = [(y + 11.25, x - 3.5) for y, x in ZIGZAG]
    np.testing.assert_allclose(trajectory(moved), trajectory(ZIGZAG), atol=1e-12)
    np.testing.assert_allclose(trajectory(ZIGZAG[::-1]), trajectory(ZIGZAG), atol=1e-12)


def test_cutting_a_segment_changes_nothing() -> None:
    whole = trajectory([(0.0, 0.0), (0.0, 12.0)])
    cut = trajectory([(0.0, 0.0), (0.0, 3.0), (0.0, 12.0)])
    np.testing.assert_allclose(cut, whole, atol=2e-4)


def test_a_straight_path_is_uniform_motion() -> None:
    """Away from the ends, each pixel gets the same share of the time: 1 / length."""
    line = trajectory([(0.0, 0.0), (0.0, 20.0)])
    middle = line[len(line) // 2]
    np.testing.assert_allclose(middle[len(line) // 2 - 8 : len(line) // 2 + 9], 1 / 20, rtol=0.01)
    assert variance_along(line, 0) == pytest.approx(20**2 / 12 + 1 / 6, rel=1e-3)


def test_exposure_weighs_the_segments() -> None:
    """A rest three times as long as the way between holds three times the light."""
    psf = trajectory([(0.0, 0.0), (0.0, 0.0), (0.0, 8.0), (0.0, 8.0)], exposure=[3, 2, 3])
    line = psf[len(psf) // 2]
    ends = np.sort(line)[-2:]
    np.testing.assert_allclose(ends, 3 / 8 + 2 / 8 / 16, atol=0.005)
    np.testing.assert_array_equal(trajectory([(4.0, 7.0)]), np.ones((1, 1)))
    np.testing.assert_array_equal(trajectory([(4.0, 7.0), (4.0, 7.0)]), np.ones((1, 1)))


@pytest.mark.parametrize("wrong", [(-1.0, 0.0), (math.nan, 0.0), (math.inf, 0.0), (5.0, math.nan)])
def test_impossible_motions_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ConfigError):
        linear_motion(*wrong)


@pytest.mark.parametrize("length", [0, 2.5])
def test_the_legacy_shift_takes_whole_lengths(length: float) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        linear_motion(length, legacy_shift=True)


@pytest.mark.parametrize(("points", "exposure"), [
    ([], None),
    ([(0.0, 0.0), (1.0, 1.0)], [1.0, 2.0]),
    ([(0.0, 0.0), (1.0, 1.0)], [-1.0]),
    ([(0.0, 0.0), (1.0, 1.0)], [0.0]),
    ([(0.0, 0.0), (math.nan, 1.0)], None),
])  # fmt: skip
def test_impossible_paths_are_refused(points: list[tuple[float, float]], exposure: list[float] | None) -> None:
    with pytest.raises(ConfigError):
        trajectory(points, exposure)
