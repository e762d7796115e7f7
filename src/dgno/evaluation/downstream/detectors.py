"""Detectors: functions from an image, (h, w, c) in [0, 1], to labels of its nuclei, (h, w), 0 for none.

Any such function can be compared by; these have names on the command line. StarDist and Cellpose are packages of
others, which are not installed with dgno.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import numpy as np

from dgno.errors import ConfigError
from dgno.evaluation.downstream.average_precision import Labels
from dgno.evaluation.downstream.nuclei import segment_nuclei
from dgno.evaluation.downstream.stains import Picture

Detector = Callable[[Picture], Labels]


def bright_nuclei(picture: Picture) -> Labels:
    """On a dark ground, as in fluorescence, by `nuclei.segment_nuclei`; colours are averaged."""
    return segment_nuclei(picture.astype(np.float64).mean(-1))


def stained_nuclei(picture: Picture) -> Labels:
    """Dark on a bright ground; of colours red, which hematoxylin takes away and eosin lets pass."""
    return segment_nuclei(picture[..., 0].astype(np.float64), bright=False)


def stardist() -> Detector:
    """StarDist (Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30): `2D_versatile_fluo`; for RGB `2D_versatile_he`.

    It downloads its models. Its input is mapped by the 1 and 99.8 percentiles of each channel. Raises ConfigError
    where it is not installed.
    """
    models = _installed("stardist.models", "StarDist", "pip install stardist tensorflow")
    loaded: dict[str, Callable[..., tuple[Labels, object]]] = {}

    def detect(picture: Picture) -> Labels:
        name = "2D_versatile_he" if picture.shape[-1] == 3 else "2D_versatile_fluo"
        if name not in loaded:
            loaded[name] = models.StarDist2D.from_pretrained(name).predict_instances
        values = by_percentiles(picture)
        labels, _ = loaded[name](values if values.shape[-1] == 3 else values[..., 0])
        return np.asarray(labels, np.int64)

    return detect


def cellpose() -> Detector:
    """Cellpose, version 4 (Pachitariu et al. 2025, doi:10.1101/2025.04.28.651001), with the model that it brings.

    It downloads its model and normalises by itself. Raises ConfigError where it is not installed.
    """
    model = _installed("cellpose.models", "Cellpose", "pip install 'cellpose>=4'").CellposeModel(gpu=False)

    def detect(picture: Picture) -> Labels:
        masks, *_ = model.eval(picture.astype(np.float32).squeeze(-1) if picture.shape[-1] == 1 else picture)
        return np.asarray(masks, np.int64)

    return detect


def by_percentiles(picture: Picture, low: float = 1.0, high: float = 99.8) -> Picture:
    """Each channel mapped so that these percentiles become 0 and 1; nothing is clipped, and flat channels become 0."""
    bottom, top = np.percentile(picture, (low, high), axis=(0, 1))
    return (picture - bottom) / np.where(top > bottom, top - bottom, 1.0)


def _installed(module: str, title: str, line: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{title} is not installed", why=str(error), hint=line) from error


DETECTORS: dict[str, Callable[[], Detector]] = {
    "nuclei": lambda: bright_nuclei,
    "stained-nuclei": lambda: stained_nuclei,
    "stardist": stardist,
    "cellpose": cellpose,
}
