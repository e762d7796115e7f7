"""Which images can be restored: finite, within float32, and light rather than labels or a mask."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from dgno.arrays import Image, Plane
from dgno.errors import InputOutOfRange, NonFiniteInput, UnsupportedInput

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
MASKED = 64  # values: fewer are points


def check_restorable(
    image: Image,
    planes: Collection[int] | None = None,
    *,
    allow_labels: bool = False,
    allow_nonfinite: bool = False,
) -> None:
    """Refuse pixels that cannot be restored: NaN, infinity, values beyond float32, label images and masks.

    planes : numbers of those to restore; the others may be labels or masks, or hold NaN and infinity. None: all
    """
    if not allow_nonfinite:
        check_finite(image, planes)
    check_float32(image)
    if not allow_labels:
        check_light(image, planes)


def check_light(image: Image, planes: Collection[int] | None = None) -> None:
    """Refuse label images and masks (UnsupportedInput). planes : numbers of those to look at; None: all"""
    hint = "restore the image that {} made from, or say --allow-labels (allow_labels=True)"
    for i, plane in enumerate(image.planes()):
        if planes is not None and i not in planes:
            continue
        if is_mask_plane(plane):
            low, high = int(plane.min()), int(plane.max())
            what = f"{_of_plane(image, i)}the only values are {low} and {high}: they look like a mask, not like light"
            raise UnsupportedInput(what, hint=hint.format("the mask was") + _without(image, i))
        if is_label_plane(plane):
            what = f"{_of_plane(image, i)}the values look like labels, not like light"
            raise UnsupportedInput(what, hint=hint.format("the labels were") + _without(image, i))


def _of_plane(image: Image, plane: int) -> str:
    """Which plane is meant, where there are several."""
    if image.plane_count == 1:
        return ""
    if image.channels == 1:
        return f"plane {plane}: "
    channel = image.channel_of(plane)
    return f"channel {channel} {image.channel_names[channel]!r}: " if image.channel_names else f"channel {channel}: "


def _without(image: Image, plane: int) -> str:
    """How the other channels are restored."""
    others = [str(c) for c in range(image.channels) if c != image.channel_of(plane)]
    return f"; --channels {','.join(others)} restores the others and copies this one" if others else ""


def check_finite(image: Image, planes: Collection[int] | None = None) -> None:
    """Refuse NaN and infinity (NonFiniteInput names how many, and where the first is).

    planes : numbers of those to look at; None: all
    """
    if image.pixels.dtype.kind != "f":
        return
    bad = ~np.isfinite(image.pixels)
    if planes is not None:
        others = [i for i in range(image.plane_count) if i not in planes]
        bad.reshape(image.plane_count, -1)[others] = False
    if count := int(bad.sum()):
        first = np.unravel_index(int(bad.argmax()), bad.shape)
        where = ", ".join(f"{axis} {int(i)}" for axis, i in zip(image.axes, first, strict=True))
        kind = "values that are" if count > 1 else "value that is"
        plane = int(bad.argmax()) // (bad.size // image.plane_count)
        hint = "replace them, or say --nonfinite inpaint or mask (nonfinite='inpaint')" + _without(image, plane)
        raise NonFiniteInput(f"{count} {kind} NaN or infinite, the first at {where}", hint=hint)


def check_float32(image: Image) -> None:
    """Refuse finite values that float32 cannot hold (InputOutOfRange)."""
    if image.pixels.dtype.kind != "f" or image.pixels.dtype.itemsize <= 4:
        return
    with np.errstate(invalid="ignore"):
        largest = np.abs(image.pixels).max(initial=0.0, where=np.isfinite(image.pixels))
    if largest > LARGEST_FLOAT32:
        why = f"float32, in which networks compute, ends at {LARGEST_FLOAT32:.2g}"
        shown = np.format_float_scientific(largest, precision=1, trim="-")  # a longdouble may be no float
        raise InputOutOfRange(f"values up to {shown}", why=why, hint="divide the image by a constant")


def is_label_plane(plane: Plane) -> bool:
    """Is this a segmentation, whose values are the numbers of objects or classes?

    True only if all of these hold, so that photographs, constants, test squares, ramps and blurred images of few gray
    levels pass; for two values see `is_mask_plane`:
    1. integers, one sample, from 3 values on, and these nearly consecutive from near 0, as numbers of objects are
       (gray values of drawn squares are not);
    2. of neighbours that are both not the commonest value, at least 85 % are equal (noise is not flat);
    3. where neighbours differ, at least 30 % differ by more than 1 (a smooth image of few levels goes step by step).
    """
    if plane.dtype.kind not in "ui" or plane.shape[2] != 1:
        return False
    values = plane[:4096, :4096, 0].astype(np.int64)
    if not values.size or values.min() < -1 or values.max() > 2 * values.size:
        return False
    counts = np.bincount(values.ravel() + 1)  # no longer than twice the plane, and much faster than sorting it
    distinct = np.flatnonzero(counts) - 1
    if len(distinct) < 3 or distinct[-1] > 2 * len(distinct):
        return False
    background = counts.argmax() - 1
    pairs = [(values[:, 1:], values[:, :-1]), (values[1:], values[:-1])]
    inside = [(a != background) & (b != background) for a, b in pairs]
    equal = sum(int(((a == b) & both).sum()) for (a, b), both in zip(pairs, inside, strict=True))
    differ = sum(int((a != b).sum()) for a, b in pairs)
    jumps = sum(int((np.abs(a - b) > 1).sum()) for a, b in pairs)
    return equal >= 64 and equal >= 0.85 * sum(int(both.sum()) for both in inside) and jumps >= 0.3 * differ


def is_mask_plane(plane: Plane) -> bool:
    """Is this black and white without any gray: a segmentation, a drawing, a thresholded image?

    True only if all of these hold, so that points, hot pixels, tiny images and the noise of a dark camera pass:
    1. integers or bool, of two values in all samples together, each of them at least MASKED times;
    2. the two differ by more than 1 or are bool, or of the neighbours where one is the rarer value at least half are
       equal (noise of 0 and 1 is not flat: a third at most).
    """
    if plane.dtype.kind not in "uib" or not plane.size:
        return False
    low, high = plane.min(), plane.max()
    bright = plane == high
    if low == high or not (bright | (plane == low)).all():
        return False
    rare = bright if 2 * int(bright.sum()) <= bright.size else ~bright
    if int(rare.sum()) < MASKED:
        return False
    if plane.dtype.kind == "b" or int(high) - int(low) > 1:
        return True
    pairs = [(rare[:, 1:], rare[:, :-1]), (rare[1:], rare[:-1])]
    both, either = (sum(int(of(a, b).sum()) for a, b in pairs) for of in (np.logical_and, np.logical_or))
    return 2 * both >= either
