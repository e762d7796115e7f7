"""Ring deconvolution."""

from __future__ import annotations

import functools

import pytest
import torch
from skimage import data

from dgno.classical.richardson_lucy import richardson_lucy
from dgno.classical.ring import ring_deconvolve
from dgno.classical.wiener import BALANCES, wiener
from dgno.errors import ConfigError
from dgno.metrics import psnr
from dgno.optics.diffraction import Microscope
from dgno.optics.ring_blur import RingBlur
from dgno.optics.seidel import Seidel, seidel

LENS = Microscope(numerical_aperture=0.5, wavelength=0.55, pixel_size=0.4)
SIDE = 96


def scene() -> torch.Tensor:
    return torch.from_numpy(data.camera()[100 : 100 + SIDE, 150 : 150 + SIDE] / 255.0)[None, None].float()


@functools.lru_cache(maxsize=4)
def ring_blur(coma: float, astigmatism: float) -> RingBlur:
    coefficients = Seidel(coma=coma, astigmatism=astigmatism)
    return RingBlur(functools.partial(seidel, LENS, coefficients), (SIDE, SIDE))


@pytest.mark.parametrize(("coma", "astigmatism"), [(0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_it_beats_the_one_psf_of_the_axis(coma: float, astigmatism: float) -> None:
    """By 5 dB over Wiener with its best balance, without noise, from half a wave on."""
    blur = ring_blur(coma, astigmatism)
    blurred = blur.apply(scene())
    axis = seidel(LENS, Seidel(coma=coma, astigmatism=astigmatism), (0.0, 0.0))
    single = max(float(psnr(wiener(blurred, axis, balance=b), scene())) for b in (1e-5, 5e-4, *BALANCES[:10:3]))
    assert psnr(ring_deconvolve(blurred, blur, num_iter=60), scene()) > single + 5


def test_richardson_lucy_takes_the_same_operator() -> None:
    blur = ring_blur(0.5, 0.0)
    blurred = blur.apply(scene())
    restored = richardson_lucy(blurred, blur, num_iter=30, accelerated=True)
    assert psnr(restored, scene()) > psnr(blurred, scene()) + 5


def test_the_estimate_keeps_its_scale_and_sign() -> None:
    """In the units of the image, not stretched to [0, 1]; nothing below 0."""
    blur = ring_blur(0.0, 0.5)
    dim = 0.1 + 0.3 * scene()
    restored = ring_deconvolve(blur.apply(dim), blur, num_iter=40, step=0.02)
    assert restored.min() >= 0
    assert float(restored.mean()) == pytest.approx(float(dim.mean()), rel=0.02)


def test_total_variation_and_sparseness_weigh_in() -> None:
    """More of either, less of it in the result."""
    blur = ring_blur(0.0, 0.5)
    blurred = blur.apply(scene())
    plain, calm, dark = (
        ring_deconvolve(blurred, blur, num_iter=30, **weight) for weight in ({}, {"tv": 0.1}, {"l1": 0.5})
    )

    def variation(x: torch.Tensor) -> float:
        return float((x[..., 1:] - x[..., :-1]).abs().sum())

    assert variation(calm) < 0.95 * variation(plain)
    assert dark.sum() < plain.sum()


def test_it_runs_where_gradients_are_off() -> None:
    blur = ring_blur(0.0, 0.5)
    with torch.no_grad():
        restored = ring_deconvolve(blur.apply(scene()), blur, num_iter=2)
    assert not restored.requires_grad


@pytest.mark.parametrize("options", [{"num_iter": 0}, {"step": 0.0}, {"tv": -1.0}, {"l2": float("nan")}])
def test_what_cannot_run_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))} is"):
        ring_deconvolve(scene(), ring_blur(0.0, 0.5), **options)  # type: ignore[arg-type]
