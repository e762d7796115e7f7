"""Images as arrays: what pixels mean, and the only conversions between numpy and torch.

At the edges (files, the API) an image is a numpy array in its own dtype; inside, a float32 tensor (b, c, h, w) around
[0, 1]. Between the two stands an affine map, y = (x - offset) / scale. On the way back only the change is mapped,

    restored pixel = pixel + scale (restored unit value - given unit value),

so that a restorer that returns what it was given returns the very bytes of the file, whatever the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, Shaped

from dgno.errors import CheckpointError, ConfigError, InputOutOfRange
from dgno.stored import Stored
from dgno.value_ranges import Guess, ends_of, extremes, float_below, guess_value_range

if TYPE_CHECKING:
    from torch import Tensor  # imported on first use: reading and describing images does without

AlphaKind = Literal["straight", "premultiplied", "unspecified"]
Plane = Shaped[np.ndarray, "h w c"]
Opacity = Float[np.ndarray, "h w 1"]

SPREAD = 1e6  # how far beyond [0, 1] an outlier may lie after normalisation: float32 keeps a tenth of a unit there
SAMPLED = 2**22  # values that percentiles are taken of, in one channel
NOT_GIVEN = (math.nan, math.nan)  # the value range of an image of which no one said it
BAND = 512  # rows converted at a time, which bounds the float64 copies


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels, and what they mean.

    pixels : array in the dtype of its file; its axes are named by `axes`
    axes : one letter an axis, as tifffile has them: ... T, Z, C (channels) before Y, X, then S (colour samples)
    value_range : the values of black and white, for instance (0, 4095) for 12 bits in a 16-bit file; where it is not
        given, (0, 1) for floats, and for integers a guess, see `guess_value_range`
    pixel_size : (row, column) in um; None where the file does not say, or says nonsense
    channel_names : one name a channel, or none
    icc_profile : the colour profile of the file, unchanged
    alpha : opacity, in the shape of `pixels` without S and in its dtype; never changed by restoration
    alpha_kind : "premultiplied" if the colours are multiplied by it, "straight" if not, "unspecified" if the file
        does not say that it is an opacity at all
    notes : what reading changed or guessed, in words for the user
    stored : what else writing back needs
    limits : the values at which restored integers end, where these are not black and white: white may be guessed
    """

    pixels: np.ndarray
    axes: str = "YX"
    value_range: tuple[float, float] = NOT_GIVEN
    pixel_size: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    alpha: np.ndarray | None = None
    alpha_kind: AlphaKind = "straight"
    notes: tuple[str, ...] = ()
    stored: Stored = field(default_factory=Stored)
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.value_range is NOT_GIVEN:
            guess = guess_value_range(self.pixels) if self.pixels.dtype.kind in "ui" else Guess((0.0, 1.0))
            object.__setattr__(self, "value_range", guess.value_range)  # the way of a frozen dataclass
            object.__setattr__(self, "limits", self.limits or guess.limits)
        if not self.axes.removesuffix("S").endswith("YX") or len(self.axes) != self.pixels.ndim:
            hint = "name each axis by one letter; the last are YX, or YXS for colours"
            raise ConfigError(f"axes {self.axes!r} do not fit an array of shape {self.pixels.shape}", hint=hint)
        if self.alpha is not None and self.alpha.shape != self.shape_without_samples:
            raise ConfigError(f"alpha of shape {self.alpha.shape} with pixels of shape {self.pixels.shape}")

    @property
    def shape_without_samples(self) -> tuple[int, ...]:
        """Shape of the pixels less the colour samples: (..., h, w)."""
        return self.pixels.shape[:-1] if self.axes.endswith("S") else self.pixels.shape

    @property
    def samples(self) -> int:
        """Colour samples of a pixel, 1 for gray."""
        return int(self.pixels.shape[-1]) if self.axes.endswith("S") else 1

    @property
    def is_colour(self) -> bool:
        """Has the image red, green and blue samples?"""
        return self.samples >= 3

    @property
    def channels(self) -> int:
        """Length of the axis C, 1 without one."""
        return int(self.pixels.shape[self.axes.index("C")]) if "C" in self.axes else 1

    @property
    def ends(self) -> tuple[float, float]:
        """The values at which restored pixels end, see `ends_of`."""
        return ends_of(self.pixels.dtype, self.value_range, self.limits)

    @property
    def plane_count(self) -> int:
        """How many `planes` there are."""
        return math.prod(self.shape_without_samples[:-2])

    def planes(self) -> Iterator[Plane]:
        """Views (h, w, c) of every plane, the first axes slowest: one channel each, or the colour samples together."""
        for index in np.ndindex(*self.shape_without_samples[:-2]):
            yield self.pixels[index] if self.axes.endswith("S") else self.pixels[index][..., None]

    def channel_of(self, plane: int) -> int:
        """Which channel the plane of that number, in the order of `planes`, belongs to."""
        index = np.unravel_index(plane, self.shape_without_samples[:-2])
        return int(index[self.axes.index("C")]) if "C" in self.axes else 0

    def opacities(self) -> Iterator[Opacity | None]:
        """For every plane the share of a change that its pixels take, (h, w, 1) in [0, 1]; None: all of it.

        Pixels whose colours are premultiplied take the share of their alpha; others take all of it, or nothing where
        they are fully transparent.
        """
        for index in np.ndindex(*self.shape_without_samples[:-2]):
            if self.alpha is None or self.alpha_kind == "unspecified":
                yield None
            else:
                full = np.iinfo(self.alpha.dtype).max if self.alpha.dtype.kind in "ui" else 1.0
                share = (self.alpha[index][..., None].astype(np.float64) / full).clip(0, 1)
                yield share if self.alpha_kind == "premultiplied" else (share > 0).astype(np.float64)

    def with_pixels(self, pixels: np.ndarray) -> Image:
        """The same image with other pixels of the same shape and dtype."""
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            came, wanted = (f"{a.dtype} of shape {a.shape}" for a in (pixels, self.pixels))
            raise ConfigError(f"new pixels are {came}; the image has {wanted}")
        return replace(self, pixels=pixels)

    def with_planes(self, planes: Iterable[Plane]) -> Image:
        """The same image with other planes, in the order of `planes`."""
        new = self.with_pixels(np.empty_like(self.pixels, order="C"))
        for target, plane in zip(new.planes(), planes, strict=True):
            target[...] = plane
        return new


@dataclass(frozen=True)
class Affine:
    """The normalisation y = (x - offset) / scale."""

    offset: float
    scale: float


def identity_affine(image: Image) -> Affine:
    """Values are passed on as they are."""
    return Affine(0.0, 1.0)


def range_affine(image: Image) -> Affine:
    """Black and white of the image go to 0 and 1."""
    low, high = image.value_range
    return Affine(low, (high - low) or 1.0)


def percentile_affine(image: Image, *, channel: int | None = None, low: float = 0.1, high: float = 99.9) -> Affine:
    """The percentiles `low` and `high` of the finite values of the image, or of one channel, go to 0 and 1.

    Where they coincide, the smallest and the largest value do; a constant image goes to 0 with scale 1. Outliers end
    at most a million units away. Large images are sampled at equal steps.
    """
    pixels = image.pixels
    if channel is not None and "C" in image.axes:
        pixels = pixels.take(channel, axis=image.axes.index("C"))
    values = pixels.ravel()
    step = max(1, values.size // SAMPLED)
    while math.gcd(step, image.samples) > 1:
        step += 1  # else only some of the colours would count
    values = values[::step].astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return Affine(0.0, 1.0)
    bottom, top = extremes(pixels)
    black, white = (float(v) for v in np.percentile(values, [low, high]))
    if white <= black:
        black, white = bottom, top
    return Affine(black, max(white - black, (top - bottom) / SPREAD) or 1.0)


def to_tensor(
    plane: Plane, affine: Affine, *, opacity: Opacity | None = None, doubles: bool = False
) -> Float[Tensor, "1 c h w"]:
    """Plane -> float32 (or 64) tensor, normalised by `affine`; premultiplied colours are divided by their opacity."""
    import torch

    unit = np.empty((plane.shape[2], *plane.shape[:2]), np.float64 if doubles else np.float32)
    for rows in _bands(len(plane)):
        values = plane[rows].astype(np.float64)
        if opacity is not None:
            np.divide(values, opacity[rows], out=values, where=opacity[rows] > 0)
        unit[:, rows] = ((values - affine.offset) / affine.scale).transpose(2, 0, 1)
    return torch.from_numpy(unit)[None]


def from_tensor(tensor: Float[Tensor, "1 c h w"]) -> Float[np.ndarray, "h w c"]:
    """Tensor -> float32 array, values unchanged."""
    array: np.ndarray = tensor[0].detach().permute(1, 2, 0).float().cpu().numpy()
    return array


def restored_plane(
    plane: Plane,
    given: Float[Tensor, "1 c h w"],
    restored: Float[Tensor, "1 c h w"],
    *,
    affine: Affine,
    ends: tuple[float, float],
    opacity: Opacity | None = None,
) -> tuple[Plane, int]:
    """The plane with the change that a restorer made, in the plane's own dtype; and how many values it newly cut.

    given, restored : what the restorer got and gave, both normalised by `affine`
    ends : values end at these, or at those of the plane where it goes beyond
    Integers are rounded half to even. A value whose change is exactly 0 keeps its bits. A restorer that gives NaN or
    infinity is refused (CheckpointError; InputOutOfRange where what it got was far from light).
    """
    low, high = _limits(plane, ends)
    result, cut = np.empty(plane.shape, plane.dtype), 0
    before, after = from_tensor(given), from_tensor(restored)
    for rows in _bands(len(plane)):
        change = (after[rows].astype(np.float64) - before[rows]) * affine.scale
        if not np.isfinite(change).all():
            if (largest := float(np.abs(before).max())) > SPREAD:
                hint = "divide the image by a constant, or let its range be normalised (normalize='range')"
                raise InputOutOfRange(f"values up to {largest:.2g} at the restorer: it gave none", hint=hint)
            hint = "try --precision fp32, or other weights"
            raise CheckpointError("the restorer gave values that are NaN or infinite", hint=hint)
        if opacity is not None:
            change *= opacity[rows]
        values = plane[rows] + change
        values = values if plane.dtype.kind == "f" else np.rint(values)
        result[rows] = np.where(change == 0, plane[rows], values.clip(low, high).astype(plane.dtype))
        cut += _newly_at(low, high, plane[rows], result[rows])
    return result, cut


def newly_cut(before: Image, after: Image) -> int:
    """How many values of a restored image stand at an end of its range, and stood at none before."""
    pairs = zip(before.planes(), after.planes(), strict=True)
    return sum(
        _newly_at(*_limits(plane, before.ends), plane[rows], restored[rows])
        for plane, restored in pairs
        for rows in _bands(len(plane))
    )


def _newly_at(low: float, high: float, before: Plane, after: Plane) -> int:
    """How many values stand at one of the ends that stood between them."""
    return int(((before > low) & (before < high) & ((after == low) | (after == high))).sum())


def _bands(height: int) -> Iterator[slice]:
    return (slice(top, top + BAND) for top in range(0, height, BAND))


def _limits(plane: Plane, ends: tuple[float, float]) -> tuple[float, float]:
    """The values that a restored plane may take; a black above white counts as well."""
    largest = plane.max()
    top = float(largest) if plane.dtype.kind == "f" else float_below(int(largest))
    return min(*ends, float(plane.min())), max(*ends, top)
