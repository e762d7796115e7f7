"""Covered parts of pixels against counting fine samples, and what areas must add up to."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import points_in_poly

from dgno.evaluation.downstream.coverage import coverage


def counted(polygon: np.ndarray, shape: tuple[int, int], fine: int = 40) -> np.ndarray:
    """The part of fine x fine points of each pixel that lie in a polygon."""
    rows, columns = ((np.arange(n * fine) + 0.5) / fine for n in shape)
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    inside = points_in_poly(points, polygon).reshape(shape[0], fine, shape[1], fine)
    return np.asarray(inside.mean((1, 3)))


def area(polygon: np.ndarray) -> float:
    """Gauss's formula."""
    (y, x), (v, u) = polygon.T, np.roll(polygon, -1, axis=0).T
    return float(abs((x * v - u * y).sum()) / 2)


POLYGONS = {
    "square on the lines": [(2, 3), (2, 6), (5, 6), (5, 3)],
    "inside one pixel": [(2.2, 3.1), (2.3, 3.8), (2.9, 3.4), (2.6, 3.2)],
    "triangle": [(0.3, 0.4), (8.1, 4.7), (1.9, 9.3)],
    "thin and steep": [(0.1, 5.05), (0.1, 5.15), (8.8, 6.55), (8.8, 6.45)],
    "out on the left": [(1.5, -4.2), (1.5, 3.3), (4.4, 3.3), (4.4, -4.2)],
    "out on all sides": [(-3.0, -3.0), (-3.0, 20.0), (20.0, 20.0), (20.0, -3.0)],
    "out above and to the right": [(-2.5, 6.0), (4.0, 14.0), (6.0, 12.0), (-0.5, 4.0)],
    "beside": [(2.0, 30.0), (2.0, 33.0), (4.0, 33.0)],
}


@pytest.mark.parametrize("name", POLYGONS)
def test_covered_parts_are_those_of_fine_samples(name: str) -> None:
    polygon = np.array(POLYGONS[name], np.float64)
    found = coverage(polygon[None], (9, 10))
    assert found.min() > -1e-12
    assert found.max() < 1 + 1e-12
    np.testing.assert_allclose(found, counted(polygon, (9, 10)), atol=0.03)
    np.testing.assert_allclose(found, coverage(polygon[None, ::-1], (9, 10)), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 3.0, 45.0, 77.7, 90.0])
def test_areas_are_exact_at_any_angle(angle: float) -> None:
    turn = np.deg2rad(angle)
    corners = np.array([(-1.3, -4.1), (1.3, -4.1), (1.3, 4.1), (-1.3, 4.1)])
    corners = corners @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + (7.31, 8.77)
    covered = coverage(corners[None], (15, 18))
    assert covered.sum() == pytest.approx(area(corners), abs=1e-10)
    np.testing.assert_allclose(covered, counted(corners, (15, 18)), atol=0.03)


def test_several_polygons_add_up() -> None:
    rng = np.random.default_rng(0)
    squares = (
        np.array([(0, 0), (0, 2.4), (2.4, 2.4), (2.4, 0)]) + np.array([[0.2, 0.3], [4.1, 1.7], [1.2, 6.6]])[:, None]
    )
    squares += rng.uniform(0, 0.1, 2)
    alone = sum(coverage(one[None], (8, 10)) for one in squares)
    np.testing.assert_allclose(coverage(squares, (8, 10)), alone, atol=1e-12)
