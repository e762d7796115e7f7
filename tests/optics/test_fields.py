"""Maps of blur strength: what each kind is made for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dgno.errors import ConfigError
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.fields import FIELDS, blocks, folded, masked, mixture, radial
from dgno.optics.psf import gaussian
from dgno.optics.simulate import BlurRange

SHAPE = (96, 130)
seeds = pytest.mark.parametrize("seed", range(12))


def steps(field: torch.Tensor, axis: int) -> list[int]:
    """Where the field jumps: the index behind each step."""
    changed = (field.diff(dim=axis) != 0).any(dim=1 - axis)
    return [int(i) + 1 for i in changed.nonzero()]


@seeds
def test_blocks_avoid_the_faces_of_elements(seed: int) -> None:
    """Every step lies at an odd index, so never on the face of an element of even size; they are evenly spaced."""
    field = blocks(SHAPE, 0.6, 4.0, np.random.default_rng(seed))
    for axis in (0, 1):
        found = steps(field, axis)
        assert found
        assert all(i % 2 == 1 for i in found)
        assert len(set(np.diff(found))) <= 1
        assert not len(found) > 1 or 12 <= found[1] - found[0] <= 48


@seeds
def test_a_fold_has_two_strengths_in_three_parts(seed: int) -> None:
    """The strip crosses the section: on a line across it lies the one, the other, and the one again."""
    field = folded(SHAPE, 0.6, 4.0, np.random.default_rng(seed))
    values, counts = field.unique(return_counts=True)
    assert len(values) == 2
    assert counts.min() > 0.03 * field.numel()
    for line in (*field, *field.T):
        assert int((line.diff() != 0).sum()) <= 2


@seeds
def test_a_mixture_is_smooth_between_steps(seed: int) -> None:
    field = mixture(SHAPE, 0.6, 4.0, np.random.default_rng(seed))
    jumps = field.diff(dim=1).abs()
    assert jumps.max() > 10 * jumps.median() > 0
    assert (jumps < 0.1).double().mean() > 0.9


@seeds
def test_radial_is_a_parabola_around_its_axis(seed: int) -> None:
    """Constant second differences, the same along both axes; lowest near the middle, highest in a corner."""
    field = radial(SHAPE, 0.6, 4.0, np.random.default_rng(seed)).double()
    curvature = field.diff(n=2, dim=0).mean()
    torch.testing.assert_close(field.diff(n=2, dim=0), curvature.expand(94, 130), atol=2e-6, rtol=0)
    torch.testing.assert_close(field.diff(n=2, dim=1), curvature.expand(96, 128), atol=2e-6, rtol=0)
    row, column = divmod(int(field.argmin()), SHAPE[1])
    assert 0.35 < row / SHAPE[0] < 0.65
    assert 0.35 < column / SHAPE[1] < 0.65
    corners = field[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() == pytest.approx(4.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_a_mask_gives_each_label_its_strength(dtype: type) -> None:
    labels = np.array([[0, 1, 7], [7, 1, 0]], dtype=dtype)
    field = masked(labels, {7: 0.5, 0: 2.0, 1: 3.0, 9: 8.0})
    assert field.tolist() == [[2.0, 3.0, 0.5], [0.5, 3.0, 2.0]]


def test_a_label_without_strength_is_refused() -> None:
    with pytest.raises(ConfigError, match="labels 3, 5"):
        masked(np.array([[3, 1], [5, 1]]), {1: 2.0})
    with pytest.raises(ConfigError, match="labels 0"):
        masked(np.zeros((2, 2), dtype=int), {})


@pytest.mark.parametrize("kind", ["voronoi", "blocks", "folded"])
def test_pieces_are_blurred_as_if_each_were_alone(kind: str) -> None:
    """With the field's own strengths as levels, gather copies each part's plain convolution through its mask."""
    field = FIELDS[kind]((40, 44), 0.9, 3.0, np.random.default_rng(1)).double()
    h = torch.rand(40, 44, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    strengths = field.unique().tolist()
    blurred = SpatiallyVaryingBlur(field, gaussian, levels=strengths).apply(h)
    for strength in strengths:
        alone = SpatiallyVaryingBlur(torch.full((40, 44), strength).double(), gaussian).apply(h)
        part = field == strength
        torch.testing.assert_close(blurred[part], alone[part], atol=1e-6, rtol=0)


def test_the_command_line_names_every_map() -> None:
    from dgno.cli.blur_options import MAPS

    assert MAPS.split(", ") == list(FIELDS)
    assert MAPS.split(", ")[:4] == list(BlurRange().fields)
