"""A PSF as it is given on the command line: a file, or a name with its numbers, to an object.

gaussian:2                                    sigma in px
disk:2   disk:sigma=2,softness=0.5            the Gaussian-like disk of defocus, sigma in px
motion:9   motion:length=9,angle=30           length in px, angle in degrees
defocus:z=3,na=0.5,wavelength=0.53,pixel=0.5  diffraction, lengths in um; index=1.5 for immersion
seidel:na=0.5,wavelength=0.53,pixel=0.5,coma=1,astigmatism=0.5    a lens, coefficients in waves
psf.tif                                       an image of odd side, its middle pixel the middle; any scale
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from dgno.classical.convolution import check_psf
from dgno.errors import ConfigError
from dgno.io.image import read_image
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.motion import linear_motion
from dgno.optics.psf import PSF, gaussian, gaussian_disk
from dgno.optics.ring_blur import FieldPSF
from dgno.optics.seidel import Seidel, seidel

HINT = "give gaussian:SIGMA, disk:SIGMA, motion:LENGTH, defocus:..., seidel:... (see docs/classical.md) or a file"
MICROSCOPE = ("na", "wavelength", "pixel")


def _microscope(na: float, wavelength: float, pixel: float, index: float = 1.0) -> Microscope:
    return Microscope(na, wavelength, pixel, index)


def _defocused(z: float, **optics: float) -> PSF:
    return defocused(_microscope(**optics), z)


def _lens(**numbers: float) -> FieldPSF:
    optics = {name: numbers.pop(name) for name in (*MICROSCOPE, "index") if name in numbers}
    return functools.partial(seidel, _microscope(**optics), Seidel(**numbers))


@dataclass(frozen=True)
class Family:
    """A kind of PSF: the numbers it needs, those it may be given, and what makes it of them."""

    needed: tuple[str, ...]
    optional: tuple[str, ...]
    make: Callable[..., PSF | FieldPSF]


FAMILIES = {
    "gaussian": Family(("sigma",), (), functools.partial(gaussian, integrated=True)),
    "disk": Family(("sigma",), ("softness",), gaussian_disk),
    "motion": Family(("length",), ("angle",), linear_motion),
    "defocus": Family(("z", *MICROSCOPE), ("index",), _defocused),
    "seidel": Family(MICROSCOPE, ("index", *(field.name for field in fields(Seidel))), _lens),
}


def given_psf(text: str) -> PSF | FieldPSF:
    """The PSF that `text` describes; for a lens, place in the field -> PSF. Raises ConfigError, InputError."""
    name, colon, rest = text.partition(":")
    if colon and name in FAMILIES:
        family = FAMILIES[name]
        return family.make(**_numbers(text, rest, family))
    if not Path(text).exists():
        raise ConfigError(f"no PSF {text!r}", hint=HINT)
    return _from_file(Path(text))


def _numbers(text: str, rest: str, family: Family) -> Mapping[str, float]:
    known = (*family.needed, *family.optional)
    words = rest.split(",") if "=" in rest else [f"{family.needed[0]}={rest}"]
    try:
        numbers = {key: float(value) for key, value in (word.split("=") for word in words)}
    except ValueError as error:
        raise ConfigError(f"no PSF {text!r}", why="wanted numbers, name=number, between commas", hint=HINT) from error
    problems = [f"unknown: {key}" for key in numbers if key not in known]
    problems += [f"missing: {key}" for key in family.needed if key not in numbers]
    problems += [f"{key} is {value:g}" for key, value in numbers.items() if not np.isfinite(value)]
    problems += [f"{key} is {numbers[key]:g}" for key in ("sigma", "length") if numbers.get(key, 0) < 0]
    if problems:
        raise ConfigError(f"no PSF {text!r}", why="; ".join(problems), hint=f"its numbers: {', '.join(known)}")
    return numbers


def _from_file(path: Path) -> PSF:
    image = read_image(path)
    planes = list(image.planes())
    if len(planes) != 1 or planes[0].shape[2] != 1:
        why = f"its axes are {image.axes}, its shape {image.pixels.shape}"
        raise ConfigError("a PSF is one gray plane", path=path, why=why, hint="take one channel of one plane")
    psf = planes[0][..., 0].astype(np.float64)
    total = float(psf.sum())
    try:
        check_psf(psf / total if total else psf)
    except ConfigError as error:
        raise ConfigError(error.what, path=path, why=error.why, hint="crop it around its middle") from error
    return psf / total
