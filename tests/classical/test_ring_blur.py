"""The blur of a lens with an axis, against the superposition of every point's PSF."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve
from skimage import data

from dgno.errors import ConfigError
from dgno.optics.diffraction import Microscope
from dgno.optics.psf import PSF
from dgno.optics.ring_blur import RingBlur
from dgno.optics.seidel import Seidel, seidel

LENS = Microscope(numerical_aperture=0.5, wavelength=0.55, pixel_size=0.4)
ABERRATIONS = {
    "coma": Seidel(coma=1.0, astigmatism=0.5),
    "astigmatism": Seidel(sphere=0.3, coma=0.5, astigmatism=1.0, field_curvature=0.5),
    "defocus": Seidel(coma=0.5, defocus=0.7),
}


def of_lens(coefficients: Seidel) -> Callable[[tuple[float, float]], PSF]:
    return functools.partial(seidel, LENS, coefficients)


@functools.lru_cache(maxsize=8)
def ring_blur(name: str, side: int = 128, margin: int = 0, dtype: torch.dtype = torch.float64) -> RingBlur:
    return RingBlur(of_lens(ABERRATIONS[name]), (side, side), margin=margin, dtype=dtype)


def superposed(psf: Callable[[tuple[float, float]], PSF], h: np.ndarray) -> np.ndarray:
    """Every point of `h` with the PSF of its own place, one after the other; dark beyond the border."""
    height, width = h.shape
    middle, half = (np.array(h.shape) - 1) / 2, max(h.shape) / 2
    far = max(h.shape)
    g = np.zeros((height + 2 * far, width + 2 * far))
    for row, column in np.argwhere(h):
        place = ((np.array([row, column]) - middle) / half).tolist()
        k = psf(tuple(place))
        r = min(len(k) // 2, max(h.shape))
        k = k[len(k) // 2 - r : len(k) // 2 + r + 1, len(k) // 2 - r : len(k) // 2 + r + 1]
        top, left = far + row - r, far + column - r
        g[top : top + 2 * r + 1, left : left + 2 * r + 1] += h[row, column] * k
    return g[far : far + height, far : far + width]


def points(side: int = 128, count: int = 60) -> np.ndarray:
    """Points all over the field, in its corners, around the axis; the farther off, the fewer meet."""
    rng = np.random.default_rng(0)
    h = np.zeros((side, side))
    h.flat[rng.permutation(side**2)[:count]] = rng.uniform(0.3, 1, count)
    h[0, 0] = h[-1, -1] = h[0, side // 2] = 1
    h[side // 2 - 1 : side // 2 + 1, side // 2 - 1 : side // 2 + 1] = 1
    return h


@pytest.mark.parametrize("name", ABERRATIONS)
def test_it_is_the_superposition_of_all_points(name: str) -> None:
    """At 128 px, 40 dB wanted, 60 dB reached; and no pixel is off by more than 1 % of the brightest."""
    expected = superposed(of_lens(ABERRATIONS[name]), points())
    error = ring_blur(name).apply(torch.from_numpy(points())).numpy() - expected
    assert 10 * math.log10(expected.max() ** 2 / (error**2).mean()) > 60
    assert np.abs(error).max() < 0.01 * expected.max()


@pytest.mark.parametrize("shape", [(20, 64), (63, 31), (1, 50)])
def test_other_shapes(shape: tuple[int, int]) -> None:
    """Oblong and odd; half the longer side is the unit of the field."""
    h = np.zeros(shape)
    h[0, 0], h[shape[0] // 2, -1], h[-1, shape[1] // 3] = 1, 0.5, 0.7
    psf = of_lens(ABERRATIONS["coma"])
    blur = RingBlur(psf, shape, dtype=torch.float64)
    expected = superposed(psf, h)
    np.testing.assert_allclose(blur.apply(torch.from_numpy(h)).numpy(), expected, atol=0.02 * expected.max())


@pytest.mark.parametrize("coefficients", [Seidel(sphere=0.5, defocus=1.0), Seidel()], ids=["sphere", "none"])
def test_the_same_everywhere_is_a_convolution(coefficients: Seidel) -> None:
    """Sphere and defocus do not know the field: one image is enough for all PSFs, and nothing is resampled: 100 dB."""
    psf = of_lens(coefficients)
    h = data.camera()[100:228, 150:278] / 255.0
    blur = RingBlur(psf, (128, 128), dtype=torch.float64)
    error = blur.apply(torch.from_numpy(h)).numpy() - fftconvolve(h, psf((0.0, 0.0)), mode="same")
    assert blur.count == 1
    assert -10 * math.log10((error**2).mean()) > 100


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("side", "margin"), [(64, 0), (64, 9), (30, 12)])
def test_adjoint(side: int, margin: int, dtype: torch.dtype, tolerance: float) -> None:
    """<A x, y> = <x, A^T y>, and A^T is what autograd makes of A."""
    blur = ring_blur("coma", side, margin, dtype)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, side + 2 * margin, side + 2 * margin, generator=generator, dtype=dtype)
    y = torch.rand(2, side, side, generator=generator, dtype=dtype)
    assert abs((blur.apply(x) * y).sum() - (x * blur.adjoint(y)).sum()) <= tolerance * x.norm() * y.norm()
    transpose = torch.func.vjp(blur.apply, x)[1]
    torch.testing.assert_close(blur.adjoint(y), transpose(y)[0])


def test_matter_beyond_the_border_is_seen_with_a_margin() -> None:
    """An object that ends within the image is blurred alike with and without one."""
    scene = torch.from_numpy(points(64, 20))
    near = ring_blur("coma", 64).apply(scene)
    wide = ring_blur("coma", 64, 9).apply(torch.nn.functional.pad(scene, (9,) * 4))
    torch.testing.assert_close(near, wide, atol=2e-3, rtol=0)
    lit = torch.zeros(82, 82, dtype=torch.float64)
    lit[8, 40] = 1  # the row before the first
    assert ring_blur("defocus", 64, 9).apply(lit).sum() > 0.05


def test_it_turns_with_the_image() -> None:
    """By quarters of a turn: revolution-invariant, but for the splines."""
    scene = torch.from_numpy(points(64, 20))
    blur = ring_blur("astigmatism", 64)
    for turns in (1, 2, 3):
        turned = torch.rot90(blur.apply(scene), turns)
        torch.testing.assert_close(blur.apply(torch.rot90(scene, turns)), turned, atol=1e-5, rtol=0)


def test_it_takes_a_tenth_of_the_memory() -> None:
    """Of one spectrum for each radius, (N, 4 N + 2, N) float32: at 128 px 34 MB, at 512 px 2.2 GB."""
    blur = ring_blur("coma", 128, 0, torch.float32)
    taken = sum(tensor.numel() * tensor.element_size() for tensor in (blur.weights, blur.spectra))
    assert taken < 34e6
    many = sum(math.prod(shape) * size for shape, size in (((blur.count, 512, 512), 4), ((blur.count, 612, 307), 8)))
    assert many < 2.2e9 / 10


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"rings": 3}, "rings is 3, wanted a whole number of at least 4"),
        ({"angles": 12}, "angles is 12, wanted a multiple of 8"),
        ({"margin": -1}, "margin is -1"),
        ({"tolerance": 2.0}, "tolerance is 2.0"),
    ],
)
def test_what_is_no_ring_blur_is_refused(options: dict[str, float], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        RingBlur(of_lens(Seidel()), (16, 16), **options)  # type: ignore[arg-type]
