"""From the sensor to the file: steps of gray, JPEG."""

from __future__ import annotations

import pytest
import torch

from dgno.errors import ConfigError
from dgno.optics.camera import BITS, jpeg, quantised


def scene(channels: int = 3) -> torch.Tensor:
    """Soft waves of different colours."""
    y, x = torch.meshgrid(torch.arange(45.0), torch.arange(61.0), indexing="ij")
    waves = [0.5 + 0.4 * torch.sin(x / (3 + c) + y / (5 - c)) for c in range(channels)]
    return torch.stack(waves)


@pytest.mark.parametrize("bits", BITS)
def test_quantisation(bits: int) -> None:
    """Whole steps, at most half a step off, evenly spread (variance step^2 / 12); twice is once."""
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, step = quantised(x, bits), 1 / (2**bits - 1)
    assert (y / step - (y / step).round()).abs().max() < 1e-9
    assert (x - y).abs().max() <= step / 2 + 1e-12
    assert float((x - y).var()) == pytest.approx(step**2 / 12, rel=0.02)
    torch.testing.assert_close(quantised(y, bits), y, atol=0, rtol=0)


@pytest.mark.parametrize("bits", BITS)
def test_quantisation_clips(bits: int) -> None:
    assert quantised(torch.tensor([-0.3, 0.0, 1.0, 1.7]), bits).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("bits", [0, 7, 32])
def test_odd_cameras_are_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match="bits"):
        quantised(torch.zeros(3), bits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("channels", "chroma"), [(1, "4:4:4"), (3, "4:4:4"), (3, "4:2:0")])
def test_jpeg_keeps_shape_and_range(channels: int, chroma: str, dtype: torch.dtype) -> None:
    x = scene(channels).to(dtype)
    y = jpeg(x * 2 - 0.5, 50, chroma=chroma)
    assert (y.shape, y.dtype) == (x.shape, dtype)
    assert 0 <= y.min() <= y.max() <= 1
    torch.testing.assert_close(quantised(y), y)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_errs_less_with_higher_quality(channels: int) -> None:
    x = scene(channels)
    errors = [float((jpeg(x, quality) - x).square().mean().sqrt()) for quality in (5, 30, 75, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1 / 255


def test_fewer_colours_leave_the_gray_alone() -> None:
    """4:2:0 loses fine colour, and nothing of a gray image."""
    x = scene()
    loss = {c: float((jpeg(x, 95, chroma=c) - x).square().mean()) for c in ("4:4:4", "4:2:0")}
    assert loss["4:2:0"] > 1.2 * loss["4:4:4"]
    gray = scene(1).expand(3, -1, -1)
    torch.testing.assert_close(jpeg(gray, 95, chroma="4:2:0"), jpeg(gray, 95), atol=1.01 / 255, rtol=0)


def test_jpeg_comes_back_the_same() -> None:
    torch.testing.assert_close(jpeg(scene(), 60), jpeg(scene(), 60), atol=0, rtol=0)


@pytest.mark.parametrize(("channels", "quality", "chroma"), [
    (3, 0, "4:4:4"),
    (3, 101, "4:4:4"),
    (3, 90, "4:1:0"),
    (1, 90, "4:2:0"),
    (2, 90, "4:4:4"),
])  # fmt: skip
def test_impossible_jpegs_are_refused(channels: int, quality: int, chroma: str) -> None:
    with pytest.raises(ConfigError):
        jpeg(torch.rand(channels, 8, 8), quality, chroma=chroma)
