"""The blur that made a simulated pair, from the files that `dgno simulate` wrote beside it."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from dgno.data.records import Record
from dgno.data.simulated import MANIFEST
from dgno.errors import ConfigError
from dgno.io.image import read_image
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.simulate import FAMILIES, SigmaOptics

HINT = "make the pairs with `dgno simulate` and a blur in px, or take richardson-lucy, with the mean PSF"


def true_blur(record: Record) -> SpatiallyVaryingBlur:
    """The blur at every pixel, from the map in sigma/ and the line of the manifest.

    Raises ConfigError where there is none: pairs of other origin, or simulated without a map of sigma.
    """
    folder = record.target.parent.parent
    path = folder / "sigma" / f"{record.target.stem}.tif"
    facts = _facts(folder / MANIFEST, record.target.stem)
    if not path.is_file() or facts.get("psf") not in FAMILIES:
        raise ConfigError("no map of the blur is stored for the pair", path=record.target, hint=HINT)
    sigma = torch.from_numpy(next(read_image(path).planes())[..., 0].copy()).float()
    softness = float(facts.get("softness") or 0.25)
    optics = SigmaOptics(sigma, facts["psf"], softness, reading=facts["reading"], boundary=facts["boundary"])
    return optics.blur()


def _facts(manifest: Path, name: str) -> dict[str, str]:
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", errors="surrogateescape") as file:
        return next((row for row in csv.DictReader(file) if row.get("name") == name), {})
