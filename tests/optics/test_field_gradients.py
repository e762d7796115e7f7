"""Gradients of a blurred image by the field of strengths, against differences of blurs computed anew."""

from __future__ import annotations

import functools

import pytest
import torch

from dgno.optics.blur import READINGS, SpatiallyVaryingBlur
from dgno.optics.psf import gaussian

FAMILY = functools.partial(gaussian, integrated=True)
SHAPE = (24, 30)
ACROSS = torch.linspace(0, 1, SHAPE[1], dtype=torch.float64).expand(SHAPE)
FIELDS = {"constant": 0 * ACROSS + 1.5, "tilted": 1 + 2 * ACROSS, "step": 1.5 + 0.3 * (ACROSS > 0.5)}


def energy(field: torch.Tensor, reading: str, levels: list[float] | None = None) -> torch.Tensor:
    """Of the blurred image; blur takes it away."""
    scene = torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return SpatiallyVaryingBlur(field, FAMILY, reading=reading, levels=levels).apply(scene).square().sum()


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", FIELDS)
def test_slope_of_more_blur_everywhere(kind: str, reading: str) -> None:
    """Within 5 %: a slope between levels is that at their middle."""
    field = FIELDS[kind].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(field, reading), field)
    close = torch.linspace(0.99, 3.01, 300, dtype=torch.float64).tolist()
    more, less = (energy(FIELDS[kind] + change, reading, close) for change in (1e-3, -1e-3))
    assert float(gradient.sum()) == pytest.approx(float(more - less) / 2e-3, rel=0.05)


@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_asking_for_gradients_changes_no_value(strength: float) -> None:
    field = torch.full(SHAPE, strength, dtype=torch.float64)
    torch.testing.assert_close(energy(field.clone().requires_grad_(), "gather").detach(), energy(field, "gather"))
