"""What a microscope resolves of a USAF-1951 target: contrast with its sign, element by element, in both orientations.

DBMID (Fig. 3e) gives neither criterion nor unit; these are ours. Where defocus turns bars into gaps, contrast is
negative: such lines are seen but not resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dgno.errors import ConfigError
from dgno.evaluation.downstream.coverage import Polygons, coverage
from dgno.evaluation.downstream.usaf import Element, Target, Triplet

WIDTH, LENGTH = 0.5, 3.0  # bar widths: windows are the middle half of a bar or gap, and 60 % of its length
THRESHOLD = 0.2  # of the contrast of the coarsest element
FAINTEST = 1e-6  # contrast of the coarsest element below which there is no target
RAYLEIGH = 0.264  # dip between two points at Rayleigh's distance


@dataclass(frozen=True)
class Contrast:
    """One element in one orientation.

    angle : degrees, direction across the bars
    contrast : (bright - dark) / (bright + dark) of bars and gaps, negative where bars and gaps are exchanged
    dip : the least drop between neighbouring extrema, as a part of the higher one; negative likewise
    """

    element: Element
    angle: float
    contrast: float
    dip: float


@dataclass(frozen=True)
class Resolution:
    """The finest resolved element, None if none is, and the contrast-transfer curve from coarse to fine."""

    finest: Element | None
    curve: tuple[Contrast, ...]

    @property
    def line_pairs(self) -> float | None:
        """R of the finest resolved element, line pairs per mm."""
        return None if self.finest is None else self.finest.resolution

    @property
    def bar_width(self) -> float | None:
        """Of the finest resolved element, um."""
        return None if self.finest is None else self.finest.bar_width


def read_resolution(
    image: Float[np.ndarray, "h w"], target: Target, *, rayleigh: bool = False, whole: float | None = None
) -> Resolution:
    """Read an image of a target, aligned with it.

    image : light, in any unit
    rayleigh : an element is resolved if its dip is 26.4 %, instead of a fifth of the coarsest one's contrast
    whole : contrast of coarse bars in focus, instead of the coarsest ones' here, which a strong blur may reach
    An element counts if it is resolved in both orientations, if all coarser ones are, and if it is not beyond Nyquist's
    frequency: bars below a pixel keep or lose their contrast by how they happen to lie. Raises ConfigError.
    """
    if image.shape != target.pixels.shape:
        raise ConfigError("the image is not of the target", why=f"{image.shape} against {target.pixels.shape}")
    curve = tuple(_contrast(image, triplet, 1 if target.clear_on_dark else -1) for triplet in target.triplets)
    coarsest = min(one.element for one in curve)
    reached = max(one.contrast for one in curve if one.element == coarsest) if whole is None else whole
    least = THRESHOLD * max(FAINTEST, reached)
    resolved = [one.dip >= RAYLEIGH if rayleigh else one.contrast >= least for one in curve]
    sampled = [one.element.bar_width >= target.pixel_size for one in curve]
    return Resolution(_finest(curve, [a and b for a, b in zip(resolved, sampled, strict=True)]), curve)


def _finest(curve: Sequence[Contrast], resolved: Sequence[bool]) -> Element | None:
    finest = None
    for element in sorted({one.element for one in curve}):
        if not all(is_so for one, is_so in zip(curve, resolved, strict=True) if one.element == element):
            break
        finest = element
    return finest


def _contrast(image: Float[np.ndarray, "h w"], triplet: Triplet, sign: int) -> Contrast:
    bars = [_mean(image, triplet.rectangle(place, WIDTH, LENGTH)) for place in (-2, 0, 2)]
    gaps = [_mean(image, triplet.rectangle(place, WIDTH, LENGTH)) for place in (-1, 1)]
    bar, gap = sum(bars) / 3, sum(gaps) / 2
    contrast = sign * (bar - gap) / (bar + gap) if bar + gap else 0.0
    return Contrast(triplet.element, triplet.angle, contrast, _dip(bars, gaps, sign))


def _dip(bars: Sequence[float], gaps: Sequence[float], sign: int) -> float:
    """1 - low / high of each gap and the bar beside it that stands out less."""
    dips = []
    for i, gap in enumerate(gaps):
        beside = (min if sign > 0 else max)(bars[i], bars[i + 1])
        high = max(beside, gap)
        dips.append(sign * (beside - gap) / high if high > 0 else 0.0)
    return min(dips)


def _mean(image: Float[np.ndarray, "h w"], window: Polygons) -> float:
    """Mean of the image over a window, pixels weighted by what it covers of them."""
    (top, left), (bottom, right) = np.floor(window[0].min(0)), np.ceil(window[0].max(0))
    if top < 0 or left < 0 or bottom > image.shape[0] or right > image.shape[1]:
        raise ConfigError("the image ends before the target", hint="render it with a smaller offset")
    part = image[int(top) : int(bottom), int(left) : int(right)]
    weights = coverage(window - np.array([top, left]), part.shape)
    return float((weights * part).sum() / weights.sum())
