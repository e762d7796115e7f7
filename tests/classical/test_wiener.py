"""Wiener deconvolution."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from scenes import boxes, noisy, seen_through

from dgno.classical.planes import on_planes
from dgno.classical.wiener import BALANCES, balance_of_noise, unsupervised_wiener, wiener
from dgno.errors import ConfigError
from dgno.metrics import psnr
from dgno.optics.psf import gaussian, gaussian_disk


def dark_around(scene: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(scene, (40,) * 4)


@pytest.mark.parametrize("method", [unsupervised_wiener, wiener, functools.partial(wiener, balance=5e-4)])
def test_gain_without_noise(method: functools.partial[torch.Tensor]) -> None:
    """Knowing the PSF of sigma 2, 2 dB are won back on edges; no light near the border."""
    blurred, sharp = seen_through(gaussian(2.0), dark_around(boxes()))
    assert psnr(method(blurred, gaussian(2.0)), sharp) > psnr(blurred, sharp) + 2


def test_six_decibels_are_won_with_little_balance() -> None:
    """With sigma 2, without noise, and no light near the border."""
    blurred, sharp = seen_through(gaussian(2.0), dark_around(boxes().double()))
    assert psnr(wiener(blurred, gaussian(2.0), balance=1e-9), sharp) > psnr(blurred, sharp) + 6


@pytest.mark.parametrize("balance", [5e-4, 0.02, 0.5])
def test_it_is_the_formula(balance: float) -> None:
    """conj(H) Y / (|H|^2 + balance |L|^2), written anew; of an image that is periodic, so that no border counts."""
    h = np.random.default_rng(0).random((32, 32))
    psf = gaussian_disk(1.5)
    laplacian = np.zeros((32, 32))
    laplacian[[0, 0, 0, 1, -1], [0, 1, -1, 0, 0]] = np.array([4, -1, -1, -1, -1])
    placed = np.zeros((32, 32))
    placed[: len(psf), : len(psf)] = psf
    H = np.fft.fft2(np.roll(placed, (-(len(psf) // 2),) * 2, (0, 1)))
    blurred = np.fft.ifft2(H * np.fft.fft2(h)).real
    X = H.conj() * np.fft.fft2(blurred) / (np.abs(H) ** 2 + balance * np.abs(np.fft.fft2(laplacian)) ** 2)
    tiled = torch.from_numpy(np.tile(blurred, (5, 5)))[None, None]
    restored = wiener(tiled, psf, balance=balance)[0, 0, 64:96, 64:96]
    np.testing.assert_allclose(restored.numpy(), np.fft.ifft2(X).real, atol=2e-3)


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_the_chosen_balance_is_nearly_the_best(sigma: float) -> None:
    """Within 1 dB of the best of all, which only the truth tells."""
    blurred, sharp = seen_through(gaussian(sigma), boxes((120, 130), 40))
    given = noisy(blurred)
    best = max(psnr(wiener(given, gaussian(sigma), balance=balance), sharp) for balance in BALANCES[::2])
    assert psnr(wiener(given, gaussian(sigma)), sharp) > best - 1


def test_more_noise_wants_more_balance() -> None:
    blurred, _ = seen_through(gaussian(1.5), boxes())
    chosen = [
        balance_of_noise(noisy(blurred, photons=photons, read_noise=0)[0, 0].double().numpy(), gaussian(1.5))
        for photons in (3000, 300, 30)
    ]
    assert chosen[0] < chosen[1] < chosen[2]


def test_what_is_sampled_is_the_same_every_time() -> None:
    a, b = (unsupervised_wiener(boxes(), gaussian(1.0), seed=3) for _ in range(2))
    assert torch.equal(a, b)


def test_planes_come_back_where_they_were() -> None:
    """Whatever is continued at their borders is cut again, and the continuation closes without a step."""
    given = torch.rand(2, 3, 9, 14)
    joined = []

    def look(plane: np.ndarray) -> np.ndarray:
        joined.append(plane)
        return plane

    torch.testing.assert_close(on_planes(look, given, margin=20), given)
    ramp = torch.arange(20.0).expand(1, 1, 20, 20) / 20
    on_planes(look, ramp, margin=20)
    steps = np.abs(np.diff(np.concatenate([joined[-1], joined[-1][:, :1]], 1), axis=1))
    assert steps.max() <= 0.11


@pytest.mark.parametrize("balance", [0.0, -1.0, float("inf")])
def test_a_balance_without_sense_is_refused(balance: float) -> None:
    with pytest.raises(ConfigError, match=rf"balance is {balance}, wanted a finite number above 0"):
        wiener(boxes(), gaussian(1.0), balance=balance)
