"""Richardson-Lucy: what its steps keep, and what they win."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from scenes import boxes, noisy, seen_through
from skimage.restoration import richardson_lucy as of_scikit_image

from dgno.classical.convolution import Convolution
from dgno.classical.richardson_lucy import Iteration, richardson_lucy
from dgno.classical.stopping import discrepancy, settled
from dgno.classical.total_variation import curvature, divergence, gradient, total_variation
from dgno.errors import ConfigError
from dgno.metrics import psnr
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.motion import linear_motion
from dgno.optics.psf import gaussian, gaussian_disk


@pytest.mark.parametrize("psf", [gaussian(2.0), gaussian_disk(2.0)], ids=["gaussian", "disk"])
@pytest.mark.parametrize("tv", [0.0, 1e-4])
def test_gain_without_noise(psf: np.ndarray, tv: float) -> None:
    """Knowing the PSF of sigma 2, 6 dB are won back on edges."""
    blurred, sharp = seen_through(psf, boxes())
    restored = richardson_lucy(blurred, psf, num_iter=150, accelerated=True, tv=tv)
    assert psnr(restored, sharp) > psnr(blurred, sharp) + 6


def test_agrees_with_scikit_image_far_from_the_border() -> None:
    """The same steps from the same beginning; only the border is treated otherwise."""
    psf = linear_motion(5.0, 30.0)  # not its own mirror image after a shift
    psf = np.pad(psf, 1)
    psf[0, 1] = 0.1
    psf /= psf.sum()
    blurred, _ = seen_through(psf, 0.1 + boxes((120, 120)))
    iteration = Iteration(blurred[0, 0].double(), Convolution(psf))
    x = torch.full_like(iteration.beginning(), 0.5)
    for _ in range(5):
        x = iteration.step(x, iteration.blur.apply(x))
    expected = of_scikit_image(blurred[0, 0].double().numpy(), psf, num_iter=5, clip=False)
    np.testing.assert_allclose(iteration.seen(x).numpy()[35:-35, 35:-35], expected[35:-35, 35:-35], atol=1e-6)


def test_light_and_sign_are_kept() -> None:
    """Exactly where no light leaves: on a torus. Within 2 % where the border is unknown. Never negative."""
    scene = boxes().double()
    torus = SpatiallyVaryingBlur(torch.zeros(scene.shape[-2:]), lambda _: gaussian(2.0), boundary="circular")
    for accelerated in (False, True):
        restored = richardson_lucy(torus.apply(scene), torus, accelerated=accelerated)
        assert restored.min() >= 0
        assert float(restored.sum()) == pytest.approx(float(scene.sum()), rel=1e-4)
    blurred, _ = seen_through(gaussian(2.0), boxes())
    restored = richardson_lucy(blurred, gaussian(2.0))
    assert restored.min() >= 0
    assert restored.mean() == pytest.approx(float(blurred.mean()), rel=0.02)


def divergence_of(measured: torch.Tensor, predicted: torch.Tensor) -> float:
    """Kullback-Leibler, what the steps descend."""
    return float((torch.xlogy(measured, measured / predicted) - measured + predicted).sum())


def test_every_step_fits_better_and_accelerated_ones_sooner() -> None:
    psf = gaussian(2.0)
    blurred, _ = seen_through(psf, 0.05 + boxes().double())
    fits: dict[bool, list[float]] = {False: [], True: []}

    class Watched(Convolution):
        def apply(self, h: torch.Tensor) -> torch.Tensor:
            predicted = super().apply(h)
            fits[accelerated].append(divergence_of(blurred[0, 0], predicted))
            return predicted

    for accelerated in fits:
        richardson_lucy(blurred, Watched(psf), num_iter=40, accelerated=accelerated)
    assert all(b <= a for a, b in zip(fits[False], fits[False][1:], strict=False))
    assert fits[True][20] < fits[False][-1]


def test_total_variation_calms_what_noise_has_raised() -> None:
    """Less of it with more weight, and nearer to the truth than without, after as many steps."""
    blurred, sharp = seen_through(gaussian(1.5), boxes())
    given = noisy(blurred)
    runs = [richardson_lucy(given, gaussian(1.5), num_iter=40, tv=tv) for tv in (0.0, 0.002, 0.02)]
    variations = [float(total_variation(run)) for run in runs]
    assert variations == sorted(variations, reverse=True)
    assert psnr(runs[2], sharp) > psnr(runs[1], sharp) > psnr(runs[0], sharp)


def test_divergence_is_minus_the_transpose_of_the_gradient() -> None:
    x, a, b = (torch.rand(9, 7, dtype=torch.float64) for _ in range(3))
    down, right = gradient(x)
    torch.testing.assert_close((down * a + right * b).sum(), -(x * divergence(a, b)).sum())


def test_curvature_is_minus_the_slope_of_the_total_variation() -> None:
    x = torch.rand(9, 7, dtype=torch.float64, requires_grad=True)
    total_variation(x).backward()
    torch.testing.assert_close(curvature(x.detach()), -x.grad)


def test_the_border_does_not_ring() -> None:
    """Bright matter right outside the image: near the border the error is no more than twice that of the middle."""
    psf = gaussian_disk(2.5)
    blurred, sharp = seen_through(psf, 0.2 + boxes((140, 140), 60, seed=3))
    error = (richardson_lucy(blurred, psf, num_iter=60) - sharp)[0, 0].square()
    middle = error[12:-12, 12:-12].mean()
    for band in (error[:6], error[-6:], error[:, :6], error[:, -6:]):
        assert band.mean() < 4 * middle


def test_a_blur_that_varies_is_undone_where_it_is() -> None:
    """Told the blur at every pixel, 2 dB better than with the mean PSF, and 5 above the blurred image."""
    scene = boxes((100, 110)).double()
    steps = torch.where(torch.arange(110) < 50, 0.8, 3.0).double().expand(100, 110)
    blur = SpatiallyVaryingBlur(steps, functools.lru_cache(gaussian_disk), levels=[0.8, 3.0])
    blurred = blur.apply(scene)
    known = richardson_lucy(blurred, blur, num_iter=60, accelerated=True)
    mean = richardson_lucy(blurred, blur.mean_psf().numpy(), num_iter=60, accelerated=True)
    assert psnr(known, scene) > max(psnr(mean, scene) + 2, psnr(blurred, scene) + 5)


def test_more_light_is_more_light() -> None:
    """A scaled image gives the scaled estimate."""
    blurred, _ = seen_through(gaussian(1.5), boxes().double())
    once, thrice = (richardson_lucy(k * blurred, gaussian(1.5), accelerated=True) for k in (1, 3))
    torch.testing.assert_close(3 * once, thrice, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("stop", [discrepancy(), settled(0.02)], ids=["noise", "rest"])
def test_rules_stop_what_would_go_on(stop: object) -> None:
    """Allowed 200 steps, it ends where more of them would only raise the noise."""
    blurred, sharp = seen_through(gaussian(1.5), boxes())
    given = noisy(blurred)
    run = functools.partial(richardson_lucy, given, gaussian(1.5), num_iter=200, accelerated=True)
    stopped, endless = run(stop=stop), run()
    assert psnr(stopped, sharp) > max(psnr(endless, sharp), psnr(given, sharp)) + 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"num_iter": -1}, "num_iter is -1, wanted a whole number of at least 0"),
        ({"tv": 0.25}, r"tv is 0.25, wanted a finite number of at least 0 and at most 0.2499"),
        ({"tv": float("nan")}, "tv is nan"),
    ],
)
def test_what_cannot_run_is_refused(options: dict[str, float], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        richardson_lucy(boxes(), gaussian(1.0), **options)  # type: ignore[arg-type]
