"""The options of `dgno simulate` that speak of blur and camera."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import typer

MAPS = "constant, tilted, smooth, voronoi, blocks, folded, mixture, radial"
PSFS = ("disk", "gaussian", "diffraction", "motion", "mixed", "seidel")
Two = tuple[float, float]
Six = tuple[float, float, float, float, float, float]


def _option(text: str, lowest: float | None = None, *names: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text, min=lowest)
    return option


Psf = Annotated[str | None, _option(f"{', '.join(PSFS)}; by default what the other options are for, or disk.")]
Sigma = Annotated[Two | None, _option("Smallest and largest blur, px; 0 0 adds noise alone. Default 0.6 4.")]
Spread = Annotated[float | None, _option("Largest ratio of sigma inside one image. Default 3.", 1.0)]
Softness = Annotated[float | None, _option("Of the disk's edge; 1.5 is almost a Gaussian. Default 0.25.", 0.0)]
Defocus = Annotated[Two | None, _option("Smallest and largest distance from focus, um; for diffraction.")]
Aperture = Annotated[float | None, _option("Of the objective.")]
Wavelength = Annotated[float | None, _option("um. Default 0.53; for colours 0.62 0.54 0.46 (red, green, blue).")]
PixelSize = Annotated[float | None, _option("um in the specimen.")]
Index = Annotated[float | None, _option("Of refraction, in front of the objective. Default 1.")]
Motion = Annotated[Two | None, _option("Smallest and largest length of a straight motion, px.")]
Angle = Annotated[float | None, _option("Its direction in degrees: 0 right, 90 down. Default random.")]
Order = Annotated[str | None, _option("Of both blurs: motion-last (default) or motion-first.")]
SixWaves = Annotated[Six | None, _option("Waves of sphere, coma, astigmatism, field curvature, distortion, defocus.")]
Fields = Annotated[list[str] | None, _option(f"Maps, by default the first four; constant for motion: {MAPS}.")]
EdgeSoftness = Annotated[float | None, _option("Of steps in maps, px. Default 0.", 0.0)]
Reading = Annotated[str | None, _option("Whose strength counts: gather, the target's (default), or scatter.")]
Boundary = Annotated[str | None, _option("Beyond the border: reflect (default), replicate, zero, circular.")]
Photons = Annotated[float | None, _option("Detected at full scale. Default 2000.", 1.0)]
ReadNoise = Annotated[float | None, _option("Standard deviation, in units of full scale. Default 0.005.", 0.0)]
Bits = Annotated[int | None, _option("Of the camera: 8, 10, 12, 14 or 16. Default none, float values.")]
Jpeg = Annotated[int | None, _option("Through a JPEG file of this quality, 1 to 100.")]
LinearLight = Annotated[
    bool | None,
    _option("Colours: blur the light or the values. Default light for um.", None, "--linear-light/--code-values"),
]


@dataclass(frozen=True)
class BlurOptions:
    """What was said of the blur, None where nothing was; see `dgno simulate --help`."""

    psf: str | None = None
    sigma: Two | None = None
    spread: float | None = None
    softness: float | None = None
    defocus: Two | None = None
    numerical_aperture: float | None = None
    wavelength: float | None = None
    pixel_size: float | None = None
    refractive_index: float | None = None
    motion: Two | None = None
    angle: float | None = None
    order: str | None = None
    seidel: Six | None = None
    field: list[str] | None = None
    edge_softness: float | None = None
    reading: str | None = None
    boundary: str | None = None


@dataclass(frozen=True)
class CameraOptions:
    """What was said of the camera, None where nothing was."""

    photons: float | None = None
    read_noise: float | None = None
    bits: int | None = None
    jpeg: int | None = None
    linear_light: bool | None = None


def said(options: BlurOptions | CameraOptions) -> set[str]:
    """The names of the options that were given."""
    return {f.name for f in fields(options) if getattr(options, f.name) is not None}


def flag(name: str) -> str:
    """How an option is written."""
    return "--" + name.replace("_", "-")
