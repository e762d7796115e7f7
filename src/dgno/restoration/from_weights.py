"""From weights to a restorer: the only place of this package that knows networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.errors import ConfigError
from dgno.restoration.image import Normalizer, as_is, by_extremes, by_percentiles, by_range
from dgno.restoration.placed import Placed, choose_device
from dgno.weights.store import load_weights

NORMALIZERS: dict[str, Normalizer] = {
    "range": by_range,
    "percentile": by_percentiles,
    "minmax": by_extremes,
    "none": as_is,
}
DARK = 0.35  # of the range: colour images whose middle value lies below are fluorescence


def make_restorer(
    weights: str | Path, *, normalize: str = "auto", device: str = "auto", precision: str = "fp32"
) -> tuple[Placed, Normalizer]:
    """A restorer from weights, on its device, and how images are brought to [0, 1] for it.

    normalize : "auto" as the weights' card says, or a name of NORMALIZERS
    """
    if normalize != "auto" and normalize not in NORMALIZERS:
        raise ConfigError(f"normalisation {normalize!r}", hint=f"known: auto, {', '.join(NORMALIZERS)}")
    place = choose_device(device)
    network, card = load_weights(weights)
    kind = card.normalization if normalize == "auto" else normalize
    return Placed(network.to(place), place, precision), NORMALIZERS[kind]


def default_weights(image: Image) -> str:
    """Bright-field weights for colour images on a bright ground, fluorescence weights for all others."""
    if not image.is_colour:
        return "fluorescence-nano"
    low, high = image.value_range
    middle = float(np.median(next(image.planes())[::4, ::4].mean(-1)))
    return "brightfield-nano" if middle > low + DARK * (high - low) else "fluorescence-nano"
