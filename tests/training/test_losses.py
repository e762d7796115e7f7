"""The loss of Eq. 31."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dgno.training.losses import frequency_l1, multi_scale_loss, spatial_l1


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (2, 3, 8, 7), (1, 1, 5, 6), (2, 1, 1, 1)])
@pytest.mark.parametrize("norm", ["ortho", "backward"])
def test_half_a_spectrum_stands_for_the_whole(shape: tuple[int, ...], norm: str) -> None:
    """The weighted real transform equals the mean over real and imaginary parts of the full one."""
    a, b = torch.rand(shape, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)
    full = torch.view_as_real(torch.fft.fft2(a - b, norm=norm)).abs().mean()
    torch.testing.assert_close(frequency_l1(a, b, norm), full)


def test_a_value_computed_by_hand() -> None:
    """One pixel of 4 differs by 1: its spectrum is 1 everywhere, half of the parts are 0."""
    sharp = torch.zeros(1, 1, 2, 2)
    restored = sharp.clone()
    restored[0, 0, 0, 0] = 1.0
    assert spatial_l1(restored, sharp) == 0.25
    assert frequency_l1(restored, sharp, "backward") == 0.5
    assert frequency_l1(restored, sharp, "ortho") == 0.25


def test_every_scale_counts() -> None:
    """Targets are means over 2 x 2 and 4 x 4 pixels; the terms add up."""
    sharp = torch.rand(2, 1, 16, 16)
    outputs = [torch.rand(2, 1, n, n) for n in (16, 8, 4)]
    targets = [sharp, F.avg_pool2d(sharp, 2), F.avg_pool2d(sharp, 4)]
    spatial, frequency = multi_scale_loss(outputs, sharp)
    torch.testing.assert_close(spatial, sum(spatial_l1(o, t) for o, t in zip(outputs, targets, strict=True)))
    torch.testing.assert_close(frequency, sum(frequency_l1(o, t) for o, t in zip(outputs, targets, strict=True)))
    assert sum(multi_scale_loss(targets, sharp)) == 0
