"""Arrays that users give, as images and back: which axis is which, and no array that could be two things."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Image
from dgno.errors import ConfigError, InputTooLarge
from dgno.io.limits import DEFAULT_LIMITS
from dgno.value_ranges import guess_value_range

Pixels = Shaped[np.ndarray, "..."]  # numbers; (h, w), (h, w, c), or as `axes` names them

COLOURS, WITH_OPACITY = 3, 4  # lengths of an axis of colours
FEW = 8  # channels; what has more must also be wide and high for so many, else it may be a stack
TIMES = 4  # as wide and high as there are channels, at least
NAMED = 'axes="ZYX" for a stack of planes, "CYX" for channels that come first, "YXC" for channels that come last'


def named_axes(pixels: Pixels, axes: str = "") -> str:
    """A letter for each axis of the array, in its order: `axes` in capitals, or what its shape can only mean.

    Without `axes`, (h, w) is "YX", (h, w, 3) and (h, w, 4) are "YXS", other (h, w, c) "YXC". Raises ConfigError for
    what is no image, could be a stack as well, or has other axes; InputTooLarge for too many channels.
    """
    if isinstance(pixels, np.ma.MaskedArray):
        hint = 'fill it: image.filled(0), or of floats image.filled(numpy.nan) with nonfinite="inpaint" or "mask"'
        raise ConfigError("a masked array", why="a mask is not kept, and what is below it counts as light", hint=hint)
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "uifb" or pixels.ndim < 2:
        raise _no_image(pixels)
    if 0 in pixels.shape:
        raise ConfigError(f"an image of shape {pixels.shape}", hint="give one with pixels")
    if not axes:
        return _unnamed_axes(pixels)
    letters, shape = axes.upper(), pixels.shape
    if len(letters) != len(shape) or len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
        raise ConfigError(f"axes {axes!r} for an array of shape {shape}", hint=f"name each axis once: {NAMED}")
    lengths = dict(zip(letters, shape, strict=True))
    if lengths.get("S", COLOURS) not in (COLOURS, WITH_OPACITY):
        hint = "S are the 3 colours, or 4 with an opacity; name channels C and planes Z"
        raise ConfigError(f"an axis S of length {lengths['S']}", hint=hint)
    if (channels := lengths.get("C", 1)) > DEFAULT_LIMITS.channels:
        raise InputTooLarge(f"{channels} channels; the limit is {DEFAULT_LIMITS.channels}", hint="name planes Z or T")
    return letters


def as_image(pixels: Pixels, axes: str = "") -> Image:
    """The record of an array, with guessed values of black and white; see `named_axes`."""
    letters, pixels = named_axes(pixels, axes), np.asarray(pixels)  # a matrix has two axes whatever is taken of it
    values, alpha = pixels.transpose(_order(letters)), None
    guess = guess_value_range(pixels)
    if "S" in letters:
        alpha = values[..., COLOURS] if values.shape[-1] == WITH_OPACITY else None
        values = values[..., :COLOURS]
    ordered = "".join(letters[i] for i in _order(letters))
    return Image(values, ordered, guess.value_range, alpha=alpha, notes=guess.notes, limits=guess.limits)


def as_pixels(image: Image, axes: str) -> Pixels:
    """The inverse of `as_image`. axes : as of `named_axes`"""
    pixels = image.pixels if image.alpha is None else np.concatenate([image.pixels, image.alpha[..., None]], axis=-1)
    return pixels.transpose(np.argsort(_order(axes)))


def _order(axes: str) -> list[int]:
    """The places of the axes as an `Image` has them: others, rows and columns, colours."""
    last = [axes.index(letter) for letter in "YXS" if letter in axes]
    return [i for i in range(len(axes)) if i not in last] + last


def _unnamed_axes(pixels: Pixels) -> str:
    if pixels.ndim == 2:
        return "YX"
    if pixels.ndim > 3:
        raise _no_image(pixels)
    height, width, channels = pixels.shape
    if channels > DEFAULT_LIMITS.channels:
        why = f"it would be an image of {channels} channels, and the limit is {DEFAULT_LIMITS.channels}"
    elif channels > FEW and min(height, width) < TIMES * channels:
        why = f"it may be a stack of {height} planes, or an image of {channels} channels"
    else:
        return "YXS" if channels in (COLOURS, WITH_OPACITY) else "YXC"
    raise ConfigError(f"an array of shape {pixels.shape} without names of its axes", why=why, hint=f"say {NAMED}")


def _no_image(pixels: object) -> ConfigError:
    came = f"{pixels.dtype} of shape {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
    hint = f"give a numpy array (h, w) or (h, w, c) of numbers, or name its axes: {NAMED}"
    return ConfigError(f"an image that is {came}", hint=hint)
