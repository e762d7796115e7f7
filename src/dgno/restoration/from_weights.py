"""From weights to a restorer: the only place of this package that knows networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from dgno.arrays import Image
from dgno.errors import CheckpointMismatch, ConfigError
from dgno.networks.blur_reader import BlurReader
from dgno.networks.orientations import AllOrientations
from dgno.optics.blur_types import DEFOCUS, MIXED, MOTION
from dgno.restoration import READER
from dgno.restoration.assessment import BLURRED
from dgno.restoration.blur_maps import Reader
from dgno.restoration.image import Normalizer, Restorer, as_is, by_extremes, by_percentiles, by_range
from dgno.restoration.placed import Placed, PlacedReader, choose_device
from dgno.restoration.route import InTurn, Remedy
from dgno.restoration.tissue import is_bright_field
from dgno.weights.store import load_classifier, load_weights

NORMALIZERS: dict[str, Normalizer] = {
    "range": by_range,
    "percentile": by_percentiles,
    "minmax": by_extremes,
    "none": as_is,
}
DGNO, DBMID = NETWORK_METHODS = ("dgno", "dbmid")
Names = tuple[str, ...]  # of weights that restore an image one after the other
BRIGHT_FIELD: Mapping[str, Names] = {
    DEFOCUS: ("brightfield-nano",),
    MOTION: ("brightfield-motion-nano",),
    MIXED: ("brightfield-mixed-nano",),
}
FLUORESCENCE: Mapping[str, Names] = {
    DEFOCUS: ("fluorescence-small",),
    MOTION: ("fluorescence-motion-nano",),
    MIXED: ("fluorescence-mixed-nano",),
}
DBMID_NETS: Mapping[str, Names] = {  # Jiang et al. 2020, arXiv:2011.11879
    DEFOCUS: ("dl-defocus",),
    MOTION: ("dl-motion",),
    MIXED: ("dl-motion", "dl-defocus"),
}


def make_restorer(
    weights: str | Path, *, normalize: str = "auto", device: str = "auto", precision: str = "fp32", tta: bool = False
) -> tuple[Placed, Normalizer]:
    """A restorer from weights, on its device, and how images are brought to [0, 1] for it.

    normalize : "auto" as the weights' card says, or a name of NORMALIZERS
    tta : the mean of the answers in all orientations, see `dgno.networks.orientations`
    """
    if normalize != "auto" and normalize not in NORMALIZERS:
        raise ConfigError(f"normalisation {normalize!r}", hint=f"known: auto, {', '.join(NORMALIZERS)}")
    place = choose_device(device)
    network, card = load_weights(weights)
    kind = card.normalization if normalize == "auto" else normalize
    asked = AllOrientations(network) if tta else network
    return Placed(asked.to(place), place, precision), NORMALIZERS[kind]


def default_weights(image: Image) -> str:
    """Bright-field weights for colour images on a bright ground, fluorescence weights for all others."""
    return weights_by_type(image)[DEFOCUS][0]


def weights_by_type(image: Image, weights: str | Path = "auto", method: str = DGNO) -> Mapping[str, Names]:
    """Weights by type of blur: those of DBMID; `weights` for every type; or, "auto", as of `default_weights`."""
    if method == DBMID:
        return DBMID_NETS
    if weights != "auto":
        return dict.fromkeys(BLURRED, (str(weights),))
    return BRIGHT_FIELD if is_bright_field(image) else FLUORESCENCE


class LoadedWeights:
    """Weights that are loaded once, and the remedies that they make.

    normalize, device, precision, tta : as of `make_restorer`
    method : "dbmid" brings images to [0, 1] by what they are, since its networks are for all of them
    """

    def __init__(
        self,
        *,
        normalize: str = "auto",
        device: str = "auto",
        precision: str = "fp32",
        tta: bool = False,
        method: str = DGNO,
    ) -> None:
        self.normalize, self.device, self.precision, self.method = normalize, device, precision, method
        self.tta = tta
        self.loaded: dict[str, tuple[Placed, Normalizer]] = {}

    def load(self, name: str) -> tuple[Placed, Normalizer]:
        """The restorer of these weights, loaded once; see `make_restorer`."""
        if name not in self.loaded:
            how = {"normalize": self.normalize, "device": self.device, "precision": self.precision}
            self.loaded[name] = make_restorer(name, **how, tta=self.tta)
        return self.loaded[name]

    def of(self, names: Names, image: Image) -> Remedy:
        """What these weights do to an image, one after the other."""
        restorers, normalizers = zip(*map(self.load, names), strict=True)
        normalize: Normalizer = normalizers[0]
        if self.method == DBMID and self.normalize == "auto":
            normalize = by_range if is_bright_field(image) else by_percentiles
        return Remedy(restorers[0] if len(restorers) == 1 else InTurn(restorers), normalize)


def on_cpu(restorer: Restorer) -> Restorer:
    """The same restorer on the CPU: where to go when not even the smallest tile fits on the device."""
    if isinstance(restorer, InTurn):
        return InTurn(tuple(map(on_cpu, restorer.restorers)))
    if not isinstance(restorer, Placed) or not isinstance(restorer.restorer, torch.nn.Module):
        return restorer
    return Placed(restorer.restorer.to("cpu"), torch.device("cpu"), restorer.precision)


def make_reader(name: str | Path = READER, device: str = "auto") -> Reader:
    """The reader of blur from weights, on its device; see `dgno.restoration.blur_maps`.

    Raises UnknownWeights, CheckpointMismatch (weights that restore, or tell the type of whole crops alone).
    """
    place = choose_device(device)
    network, _ = load_classifier(name)
    if not isinstance(network, BlurReader):
        why, hint = "they tell the type of whole crops", "give those of a blur-reader, see `dgno models`"
        raise CheckpointMismatch("the weights do not read the blur of places", path=Path(name), why=why, hint=hint)
    return PlacedReader(network.to(place), place)
