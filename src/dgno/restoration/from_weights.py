"""From weights to a restorer: the only place of this package that knows networks."""

from __future__ import annotations

from pathlib import Path

from dgno.arrays import Image
from dgno.errors import ConfigError, UnknownWeights
from dgno.optics.blur_types import DEFOCUS, MIXED, MOTION
from dgno.restoration import READER
from dgno.restoration.blur_maps import Reader
from dgno.restoration.image import Normalizer, as_is, by_extremes, by_percentiles, by_range
from dgno.restoration.placed import Placed, choose_device
from dgno.restoration.tissue import is_bright_field
from dgno.weights.store import load_weights

NORMALIZERS: dict[str, Normalizer] = {
    "range": by_range,
    "percentile": by_percentiles,
    "minmax": by_extremes,
    "none": as_is,
}
BRIGHT_FIELD = {
    DEFOCUS: "brightfield-nano",
    MOTION: "brightfield-motion-nano",
    MIXED: "brightfield-mixed-nano",
}
FLUORESCENCE = {
    DEFOCUS: "fluorescence-nano",
    MOTION: "fluorescence-motion-nano",
    MIXED: "fluorescence-mixed-nano",
}


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
    return weights_by_type(image)[DEFOCUS]


def weights_by_type(image: Image) -> dict[str, str]:
    """Weights by type of blur: of bright field for colour images on a bright ground, else of fluorescence."""
    return BRIGHT_FIELD if is_bright_field(image) else FLUORESCENCE


def make_reader(name: str | Path = READER, device: str = "auto") -> Reader:
    """The reader of blur from weights, on its device; see `dgno.restoration.blur_maps`. Raises UnknownWeights."""
    choose_device(device)
    raise UnknownWeights(f"no reader of blur named {str(name)!r}", hint="this version comes without one")
