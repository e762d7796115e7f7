"""The power spectrum of an image, for questions to the image as a whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

Frequencies = Float64[np.ndarray, "s1 s2"]  # of a real transform: half of them


class Spectrum(NamedTuple):
    """power : of the image; white noise has its variance in each
    weight : how often each counts, so that sum(weight * power) / n is the mean square
    square : (2 pi nu)^2, nu in cycles per px
    """

    power: Frequencies
    weight: Frequencies
    square: Frequencies


def faded_spectrum(plane: Float64[np.ndarray, "h w"]) -> Spectrum:
    """Of a plane that is faded out towards its border by a Hann window, so that opposite borders make no edge."""
    height, width = plane.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    window /= np.sqrt((window**2).mean())
    power = np.abs(np.fft.rfft2((plane - (plane * window**2).mean()) * window)) ** 2 / plane.size
    columns = np.arange(power.shape[1])
    weight = np.where((columns == 0) | (2 * columns == width), 1.0, 2.0) * np.ones_like(power)
    square = (2 * np.pi) ** 2 * (np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width) ** 2)
    return Spectrum(power, weight, square)
