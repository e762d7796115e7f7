"""Optics that are drawn and recorded: every kind blurs as its own PSFs say, and tells all that makes it again."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from dgno.errors import ConfigError
from dgno.optics.bank_error import at_one_pixel
from dgno.optics.brightfield import WAVELENGTHS
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.exposure import NO_NOISE, CameraRange, Exposure, Optics, OpticsRange, PairRange
from dgno.optics.lens import LensOptics, LensRange
from dgno.optics.mixed import MixedOptics, MixedRange
from dgno.optics.motion import linear_motion
from dgno.optics.moving import MotionOptics, MotionRange
from dgno.optics.out_of_focus import DefocusOptics, DefocusRange
from dgno.optics.seidel import Seidel
from dgno.optics.simulate import BlurRange, SigmaOptics
from dgno.optics.srgb import srgb_decode, srgb_encode

SHAPE = (37, 46)
LENS = Microscope(numerical_aperture=0.4, wavelength=0.53, pixel_size=0.5)
SIGMA = BlurRange(sigma=(0.6, 3.0), fields=("smooth",), whole_range=True)
Z = DefocusRange((-4.0, 6.0), LENS, fields=("tilted",))
MOTION = MotionRange((1.0, 9.0), (20.0, 20.0), fields=("smooth",))
RANGES: dict[str, OpticsRange] = {
    "sigma": SIGMA,
    "gaussian, scatter": BlurRange(psf="gaussian", reading="scatter", fields=("voronoi",)),
    "z": Z,
    "motion": MOTION,
    "uniform motion": MotionRange((7.0, 7.0), (0.0, 180.0)),
    "defocus, then motion": MixedRange(Z, MOTION),
    "motion, then sigma": MixedRange(SIGMA, MOTION, "motion-first"),
    "lens": LensRange(LENS, Seidel(coma=0.5, astigmatism=0.3), nodes=5),
}
every = pytest.mark.parametrize("name", RANGES)


def drawn(name: str, seed: int = 0) -> Optics:
    return RANGES[name].draw_optics(SHAPE, np.random.default_rng(seed))


def image(channels: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(channels, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every
@pytest.mark.parametrize("channels", [1, 3])
def test_adjoint(name: str, channels: int) -> None:
    x, y, blur = image(channels), image(channels, 1), drawn(name).blur(channels)
    difference = (blur.apply(x) * y).sum() - (x * blur.adjoint(y)).sum()
    assert abs(difference) <= 1e-12 * x.norm() * y.norm()


@every
def test_what_is_drawn_comes_back_and_is_told(name: str) -> None:
    """From the same generator; maps are of the size of the image, facts are text and numbers."""
    a, b = drawn(name), drawn(name)
    torch.testing.assert_close(a.blur(1).apply(image(1)), b.blur(1).apply(image(1)), atol=0, rtol=0)
    for channels in (1, 3):
        psf = a.mean_psf(channels)
        assert psf.shape[0] % 2 == 1
        assert psf.sum() == pytest.approx(1, abs=1e-6)
        assert a.facts(channels) == b.facts(channels)
    assert all(values.shape[1:] == SHAPE for values in a.maps().values())
    assert {"psf", "reading", "boundary"} <= a.facts(1).keys()


@every
def test_the_bank_is_close_to_the_exact_blur(name: str) -> None:
    """And says how close: below 1/256 for white noise, but where aberrations turn between nodes."""
    scene = image(1).float()
    error = drawn(name).bank_error(scene, np.random.default_rng(0))
    assert 0 <= error < (0.05 if name == "lens" else 1 / 256)


@pytest.mark.parametrize("name", ["sigma", "z", "motion", "lens"])
def test_the_error_is_that_of_pixels_summed_one_by_one(name: str) -> None:
    """Against correlations written here; no pixel of a small image is missed by more than the largest error found."""
    optics, scene = drawn(name), image(1)
    exact = {
        "z": lambda q: defocused(LENS, float(optics.maps()["z"][0][q])),
        "motion": lambda q: linear_motion(float(optics.maps()["motion"][0][q]), 20.0),
        "sigma": lambda q: SigmaOptics(torch.full((1, 1), float(optics.maps()["sigma"][0][q]))).mean_psf(),
        "lens": lambda q: optics.psf_at(*q) if isinstance(optics, LensOptics) else None,
    }[name]
    blurred = optics.blur(1).apply(scene)[0]
    for q in [(0, 0), (36, 45), (18, 23), (5, 40)]:
        psf = exact(q)
        r = len(psf) // 2
        padded = np.pad(scene[0].numpy(), r, mode="symmetric") if r else scene[0].numpy()
        expected = (padded[q[0] : q[0] + 2 * r + 1, q[1] : q[1] + 2 * r + 1] * psf[::-1, ::-1]).sum()
        assert float(blurred[q]) == pytest.approx(expected, abs=0.05 if name == "lens" else 1 / 128)


@pytest.mark.parametrize("boundary", ["reflect", "replicate", "zero", "circular"])
def test_one_pixel_computed_exactly(boundary: str) -> None:
    """As a convolution of the whole image has it, at corners too, by a PSF larger than the image."""
    rng = np.random.default_rng(0)
    psf, scene = rng.random((9, 9)), rng.random((7, 5))
    mode = {"reflect": "reflect", "replicate": "nearest", "zero": "constant", "circular": "wrap"}[boundary]
    whole = convolve(scene, psf, mode=mode)
    for place in np.ndindex(7, 5):
        value = at_one_pixel(torch.from_numpy(scene)[None], psf, (place[0], place[1]), boundary)
        assert float(value) == pytest.approx(whole[place], abs=1e-12)


def test_a_coarse_bank_says_so() -> None:
    """Two nodes for a whole field of coma are much worse than nine."""
    scene = (image(1) > 0.5).float()
    few, many = (LensOptics(SHAPE, LENS, Seidel(coma=2.0), nodes=n) for n in (2, 9))
    errors = [optics.bank_error(scene, np.random.default_rng(0)) for optics in (few, many)]
    assert errors[0] > 2 * errors[1]


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_motion_between_levels_is_exact_along_the_grid(angle: float) -> None:
    """L psf is linear in L between odd lengths; of any length from no motion on."""
    length = torch.linspace(0.5, 14, SHAPE[0] * SHAPE[1], dtype=torch.float64).reshape(SHAPE)
    assert MotionOptics(length, angle).bank_error(image(1), np.random.default_rng(0)) < 1e-9


def test_colours_are_blurred_by_their_own_wavelengths() -> None:
    """Gray by the microscope's; and all by that one, where no bands are wanted."""
    z, x = torch.full(SHAPE, 5.0), image(3)
    colours = DefocusOptics(z, LENS)
    blurred = colours.blur(3).apply(x)
    one = DefocusOptics(z, LENS, bands=None)
    torch.testing.assert_close(one.blur(3).apply(x)[0], one.blur(1).apply(x[:1])[0])
    for channel, wavelength in enumerate(WAVELENGTHS):
        band = DefocusOptics(z, replace(LENS, wavelength=wavelength), bands=None).blur(1)
        torch.testing.assert_close(blurred[channel], band.apply(x[channel : channel + 1])[0])
        assert (blurred[channel] - one.blur(3).apply(x)[channel]).abs().max() > 1e-3
    assert colours.facts(3)["wavelength"] == "0.62 0.54 0.46"
    assert colours.facts(1)["wavelength"] == one.facts(3)["wavelength"] == "0.53"


def test_colours_are_blurred_as_light() -> None:
    """Decoded before, coded again after the camera; gray stays as it is."""
    optics = SigmaOptics(torch.full(SHAPE, 2.0))
    exposure = Exposure(optics, NO_NOISE, 0, linear_light=True)
    x = image(3).float()
    expected = srgb_encode(optics.blur().apply(srgb_decode(x)).clamp(0, 1))
    torch.testing.assert_close(exposure.of(x), expected)
    torch.testing.assert_close(exposure.of(x[:1]), optics.blur().apply(x[:1]))
    assert (exposure.facts(3)["light"], exposure.facts(1)["light"]) == ("linear", "as stored")


def test_the_order_of_defocus_and_motion_matters_only_where_they_vary() -> None:
    constant = SigmaOptics(torch.full(SHAPE, 2.0), boundary="circular")
    varying = SigmaOptics(torch.linspace(0.6, 4, SHAPE[1]).expand(SHAPE), boundary="circular")
    motion = MotionOptics(torch.full(SHAPE, 8.0), boundary="circular")
    for defocus, same in ((constant, True), (varying, False)):
        a, b = (
            MixedOptics(defocus, motion, order).blur(1).apply(image(1)) for order in ("motion-last", "motion-first")
        )
        assert ((a - b).abs().max() < 1e-6) == same
    first = motion.blur().apply(varying.blur().apply(image(1)))
    torch.testing.assert_close(MixedOptics(varying, motion).blur(1).apply(image(1)), first)


def test_the_lens_is_exact_at_its_nodes_and_blends_between() -> None:
    """Shares sum to 1; of one coefficient that is the same everywhere nothing is left to blend."""
    optics = LensOptics((33, 41), LENS, Seidel(coma=1.0), nodes=5)
    blur = optics.blur()
    torch.testing.assert_close(blur.weights.sum(0), torch.ones(33, 41))
    assert blur.weights.min() >= 0
    point = torch.zeros(1, 33, 41, dtype=torch.float64)
    point[0, 8, 30] = 1  # a node: (33 - 1) / 4, 3 (41 - 1) / 4
    image_of_point = LensOptics((33, 41), LENS, Seidel(coma=1.0), nodes=5, reading="scatter").blur().apply(point)[0]
    psf = optics.psf_at(8, 30)[len(optics.psf_at(8, 30)) // 2 :][:20, len(optics.psf_at(8, 30)) // 2 :][:, :10]
    np.testing.assert_allclose(image_of_point[8:28, 30:40].numpy(), psf, atol=2e-3 * psf.max())
    same = LensOptics(SHAPE, LENS, Seidel(sphere=0.5))
    assert same.bank_error(image(1), np.random.default_rng(0)) < 1e-6


def test_a_camera_with_steps_and_a_file() -> None:
    """2^bits steps, then JPEG; both are told."""
    ranges = PairRange(SIGMA, CameraRange((500.0, 500.0), bits=10))
    x = image(1).float()
    exposure = ranges.draw(SHAPE, np.random.default_rng(0))
    steps = exposure.of(x) * 1023
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    assert (exposure.facts(1)["bits"], exposure.facts(1)["quality"]) == (10, "")
    rough = PairRange(SIGMA, CameraRange((500.0, 500.0), quality=10)).draw(SHAPE, np.random.default_rng(0))
    assert (rough.of(x) - exposure.of(x)).abs().mean() > 0.005


@pytest.mark.parametrize(("make", "message"), [
    (lambda: DefocusRange((3.0, 1.0), LENS), "defocus is (3.0, 1.0)"),
    (lambda: DefocusRange((0.0, 1.0), LENS, reading="scater"), "did you mean 'scatter'"),
    (lambda: DefocusRange((0.0, 1.0), LENS, boundary="valid"), "boundary is 'valid'"),
    (lambda: MotionRange((-1.0, 4.0)), "length is (-1.0, 4.0)"),
    (lambda: MotionRange((1.0, 4000.0)), "at most 200"),
    (lambda: MotionRange((1.0, 4.0), edge_softness=-1.0), "edge_softness is -1.0"),
    (lambda: MotionRange((1.0, 4.0), (0.0, math.nan)), "angle is (0.0, nan)"),
    (lambda: MixedRange(SIGMA, MOTION, "motion"), "order is 'motion'"),
    (lambda: LensRange(LENS, Seidel(), nodes=1).draw_optics(SHAPE, np.random.default_rng(0)), "nodes is 1"),
    (lambda: CameraRange(bits=9), "bits is 9"),
    (lambda: CameraRange(quality=0), "quality is 0"),
])  # fmt: skip
def test_impossible_optics_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)
