"""sRGB code values and linear light."""

from __future__ import annotations

import pytest
import torch

from dgno.optics.srgb import in_linear_light, srgb_decode, srgb_encode


def test_srgb_there_and_back() -> None:
    """The standard's own values (mid-gray 0.5 is 21.4 % of the light), its two pieces meet, and the inverse inverts."""
    codes = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(srgb_encode(srgb_decode(codes)), codes, atol=1e-7, rtol=0)
    light = srgb_decode(codes)
    assert (light.diff() > 0).all()
    assert float(srgb_decode(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)
    assert srgb_decode(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0.0, 1.0])
    jump = srgb_decode(torch.tensor([0.04045, 0.04046], dtype=torch.float64)).diff()
    assert 0 < float(jump) < 2e-6


def test_blur_in_linear_light_averages_light() -> None:
    """The mean of black and white is half the light, which sRGB codes as 0.735."""
    halves = torch.tensor([0.0, 1.0]).expand(1, 4, 2)
    mixed = in_linear_light(lambda x: x.mean() * torch.ones_like(x), halves)
    assert mixed.flatten().tolist() == pytest.approx([0.7354] * 8, abs=1e-4)
    assert float(srgb_encode(torch.tensor(0.5))) == pytest.approx(0.7354, abs=1e-4)
