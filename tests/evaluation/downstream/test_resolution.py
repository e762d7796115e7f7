"""What is resolved of a target, against what optics predicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter1d
from scipy.signal import fftconvolve

from dgno.errors import ConfigError
from dgno.evaluation.downstream.resolution import THRESHOLD, read_resolution
from dgno.evaluation.downstream.usaf import Element, Target, render_usaf
from dgno.optics.diffraction import Microscope, defocused

ELEMENTS = [Element(group, number) for group in range(4, 12) for number in range(1, 7)]


@pytest.fixture(scope="module")
def target() -> Target:
    return render_usaf((5, 6, 7, 8), pixel_size=0.55)


def below(line_pairs: float) -> int:
    """Number of the finest element that is not finer than this."""
    return max(i for i, element in enumerate(ELEMENTS) if element.resolution <= line_pairs)


@pytest.mark.parametrize("angle", [0.0, 17.0])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.3, 0.6), (0.5, 0.5)])
@pytest.mark.parametrize("pixel_size", [0.4, 0.55, 0.8])
def test_a_sharp_target_is_resolved_up_to_nyquist(pixel_size: float, offset: tuple[float, float], angle: float) -> None:
    """At most two elements are lost, where bars of about a pixel lie across two."""
    sharp = render_usaf((7, 8, 9, 10), pixel_size=pixel_size, offset=offset, angle=angle)
    finest = read_resolution(sharp.pixels, sharp).finest
    assert finest is not None
    assert 0 <= below(500 / pixel_size) - ELEMENTS.index(finest) <= 2


@pytest.mark.parametrize("sigma", [1.2, 2.0, 4.2])
@pytest.mark.parametrize("clear", [True, False])
def test_a_gaussian_cuts_where_it_must(sigma: float, clear: bool) -> None:
    """Within one element of where the first harmonic of the bars falls to the threshold.

    4/pi of a square wave, 0.90 for windows half a bar wide, and the pixel twice: once in the image, once in reading it.
    """
    sharp = render_usaf((4, 5, 6, 7, 8), pixel_size=0.55, clear_on_dark=clear)
    found = read_resolution(gaussian_filter(sharp.pixels, sigma, mode="nearest"), sharp)
    nu = np.linspace(0.005, 0.5, 5000)  # cycles per px
    transfer = np.exp(-2 * math.pi**2 * sigma**2 * nu**2) * np.sinc(nu) ** 2
    cut = nu[np.argmin(np.abs(4 / math.pi * np.sinc(0.25) * transfer - THRESHOLD))]
    assert found.finest is not None
    assert abs(ELEMENTS.index(found.finest) - below(1000 * cut / 0.55)) <= 1
    assert found.line_pairs == found.finest.resolution
    assert found.bar_width == found.finest.bar_width


def test_defocus_turns_contrast_over_beyond_the_first_zero(target: Target) -> None:
    """Of the transfer function of a wide-field microscope: just there the sign changes, and nothing finer counts."""
    microscope = Microscope(0.5, 0.53, 0.55)
    psf = defocused(microscope, 9.0)
    line = np.fft.rfft(np.fft.ifftshift(np.pad(psf.sum(0), (1000 - len(psf) // 2, 1000 - len(psf) // 2)))).real
    zero = 1000 * np.fft.rfftfreq(2001, 0.55)[np.argmax(line < 0)]  # line pairs per mm
    padded = np.pad(target.pixels, len(psf), mode="edge")
    blurred = fftconvolve(padded, psf, mode="same")[len(psf) : -len(psf), len(psf) : -len(psf)]
    found = read_resolution(blurred, target)
    first = below(zero)
    for one in found.curve:
        if ELEMENTS.index(one.element) <= first - 2:
            assert one.contrast > 0
        if first + 2 <= ELEMENTS.index(one.element) <= first + 4:
            assert one.contrast < 0
            assert one.dip < 0
    assert found.finest is not None
    assert found.finest.resolution < zero
    assert max(one.contrast for one in found.curve if one.element.resolution > zero) > 0, "it comes back further on"


def test_motion_counts_though_it_spares_one_orientation(target: Target) -> None:
    found = read_resolution(uniform_filter1d(target.pixels, 15, axis=1), target)
    across = {one.element: one.contrast for one in found.curve if one.angle == 0}
    along = {one.element: one.contrast for one in found.curve if one.angle == 90}
    assert found.finest is not None
    finer = [element for element in across if element > found.finest]
    assert across[finer[0]] < 0.2
    assert along[finer[0]] > 0.9
    assert found.bar_width == pytest.approx(15 * 0.55, rel=0.35)


@pytest.mark.parametrize("clear", [True, False])
def test_contrast_and_dip_of_the_target_itself(clear: bool) -> None:
    sharp = render_usaf((4,), pixel_size=0.8, clear_on_dark=clear, contrast=0.4)
    for one in read_resolution(3 * sharp.pixels, sharp).curve:
        assert one.contrast == pytest.approx(0.4, abs=1e-9)
        assert one.dip == pytest.approx(1 - 0.6 / 1.4, abs=1e-9)


def test_rayleigh_needs_a_dip_of_a_quarter(target: Target) -> None:
    """Seen with the other criterion, at a contrast of 0.15 no dip is deep enough, and of 0.16 all coarse ones are."""
    for contrast, resolved in ((0.15, False), (0.16, True)):
        sharp = render_usaf((5,), pixel_size=0.55, contrast=contrast)
        found = read_resolution(sharp.pixels, sharp, rayleigh=True)
        assert (found.finest is not None) is resolved


def test_nothing_is_resolved_of_nothing(target: Target) -> None:
    for value in (0.0, 0.7):
        found = read_resolution(np.full_like(target.pixels, value), target)
        assert (found.finest, found.line_pairs, found.bar_width) == (None, None, None)
    with pytest.raises(ConfigError, match="not of the target"):
        read_resolution(target.pixels[1:], target)


@pytest.mark.parametrize("offset", [(0.0, -60.0), (0.0, 60.0), (-60.0, 0.0), (500.0, 0.0), (-500.0, -500.0)])
def test_a_target_that_the_image_does_not_hold_is_refused(offset: tuple[float, float]) -> None:
    sharp = render_usaf((6,), pixel_size=1.0, offset=offset)
    with pytest.raises(ConfigError, match="ends before the target"):
        read_resolution(sharp.pixels, sharp)


def test_a_blur_that_reaches_the_coarsest_bars_resolves_nothing(target: Target) -> None:
    """Told the contrast in focus, a fifth of it is wanted, however faint the coarsest bars have become."""
    faint = gaussian_filter(target.pixels, 20.0, mode="nearest")
    assert read_resolution(faint, target).finest is not None
    assert read_resolution(faint, target, whole=1.0).finest is None
    assert read_resolution(target.pixels, target, whole=1.0) == read_resolution(target.pixels, target)
