"""Plug-in detectors: any function `detect(image)` to points or boxes, and how what it finds is judged.

The image is (h, w, c) in [0, 1]; points are (row, column), boxes (top, left, bottom, right), one a line, in px. DBMID
counts cancerous cells by a detector that is not published; a function of one's own takes its place.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from dgno.errors import ConfigError
from dgno.evaluation.downstream.detectors import DETECTORS, Detector
from dgno.evaluation.downstream.matching import Boxes, Matches, Points, match_boxes, match_points
from dgno.evaluation.downstream.stains import Picture

Detections = Float[np.ndarray, "_ _"]  # of two columns points, of four boxes
Plugin = Callable[[Picture], Detections]
HINT = f"known: {', '.join(DETECTORS)}; or module:function of your own, where Python finds it"


def load_plugin(name: str) -> Plugin:
    """The detector of a name of `DETECTORS`, or the function of "module:function". Raises ConfigError."""
    if name in DETECTORS:
        return boxes_of(DETECTORS[name]())
    module, colon, function = name.partition(":")
    if not (colon and module and function):
        raise ConfigError(f"no detector {name!r}", hint=HINT)
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"no detector {name!r}", why=str(error), hint=HINT) from error
    if not callable(found):
        raise ConfigError(f"{name!r} is no function", why=f"it is a {type(found).__name__}", hint=HINT)
    return checked(found, name)


def checked(detect: Callable[[Picture], object], name: str) -> Plugin:
    """A function whose answers are looked at: points or boxes, finite. It raises ConfigError for others."""

    def plugin(picture: Picture) -> Detections:
        found = np.asarray(detect(picture), dtype=np.float64)
        if found.size == 0:
            return found.reshape(0, found.shape[1] if found.ndim == 2 and found.shape[1] in (2, 4) else 2)
        if found.ndim != 2 or found.shape[1] not in (2, 4) or not np.isfinite(found).all():
            came = f"an array of shape {found.shape}" + ("" if np.isfinite(found).all() else " with NaN or infinity")
            hint = "give one line of (row, column), or (top, left, bottom, right), for each"
            raise ConfigError(f"the detector {name} gives no points nor boxes", why=came, hint=hint)
        return found

    return plugin


def boxes_of(detect: Detector) -> Plugin:
    """A detector of labels as one of boxes; a box ends behind the last pixel of its instance."""

    def plugin(picture: Picture) -> Detections:
        places = [place for place in ndimage.find_objects(detect(picture)) if place is not None]
        return np.array([(r.start, c.start, r.stop, c.stop) for r, c in places], np.float64).reshape(-1, 4)

    return plugin


def middles(found: Detections) -> Points:
    """Points as they are; of boxes the pixel in their middle."""
    if found.shape[1] == 2:
        return found
    boxes: Boxes = found
    return (boxes[:, :2] + boxes[:, 2:] - 1) / 2


def judge(found: Detections, truth: Detections, *, radius: float, overlap: float = 0.5) -> Matches:
    """Boxes matched with boxes by their overlap; anything else by its middle, at most `radius` px away."""
    if found.shape[1] == truth.shape[1] == 4:
        return match_boxes(found, truth, overlap)
    return match_points(middles(found), middles(truth), radius)
