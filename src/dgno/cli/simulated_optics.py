"""What `dgno simulate` was told of the blur, by name, and the objects that it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dgno.checks import refuse_choice
from dgno.cli.blur_options import PSFS, BlurOptions, CameraOptions, flag, said
from dgno.errors import ConfigError

if TYPE_CHECKING:
    from dgno.optics.diffraction import Microscope
    from dgno.optics.exposure import ExposureRange, OpticsRange

_SIGMA = {"sigma", "spread", "softness"}
_LENS = {"numerical_aperture", "wavelength", "pixel_size", "refractive_index"}
_MAP = {"field", "edge_softness"}
USED = {  # by each kind of PSF, besides reading and boundary
    "disk": _SIGMA | _MAP,
    "gaussian": (_SIGMA | _MAP) - {"softness"},
    "diffraction": {"defocus"} | _LENS | _MAP,
    "motion": {"motion", "angle"} | _MAP,
    "mixed": {"defocus", "motion", "angle", "order"} | _SIGMA | _LENS | _MAP,
    "seidel": {"seidel"} | _LENS,
}


def optics_of(options: BlurOptions) -> OpticsRange:
    """The optics that the options speak of. Raises ConfigError for options that do not belong together."""
    name = options.psf or _spoken_of(options)
    problems = refuse_choice("psf", name, PSFS)
    if not problems:
        astray = sorted(said(options) - USED[name] - {"psf", "reading", "boundary"})
        problems = [f"{flag(option)} has no meaning with --psf {name}" for option in astray]
    if problems:
        raise ConfigError("options that do not fit", why="; ".join(problems))
    return _MAKERS[name](options)


def _spoken_of(options: BlurOptions) -> str:
    """The kind of PSF that the other options are for."""
    if options.motion:
        return "mixed" if options.defocus or options.sigma else "motion"
    if options.seidel:
        return "seidel"
    return "diffraction" if options.defocus else "disk"


def _reading(options: BlurOptions) -> str:
    return options.reading or "gather"


def _boundary(options: BlurOptions) -> str:
    return options.boundary or "reflect"


def _fields(options: BlurOptions, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(options.field) if options.field else default


def _needed(options: BlurOptions, psf: str, *names: str) -> None:
    missing = [flag(name) for name in names if getattr(options, name) is None]
    if missing:
        raise ConfigError(f"--psf {psf} needs {' and '.join(missing)}", hint="lengths in um, but motion in px")


def _by_sigma(options: BlurOptions) -> OpticsRange:
    from dgno.optics.simulate import BlurRange

    default = BlurRange()
    softness = default.softness if options.softness is None else (options.softness, options.softness)
    return BlurRange(
        sigma=options.sigma or default.sigma,
        spread=default.spread if options.spread is None else options.spread,
        softness=softness,
        fields=_fields(options, default.fields),
        psf="gaussian" if options.psf == "gaussian" else "disk",
        edge_softness=options.edge_softness or 0.0,
        reading=_reading(options),
        boundary=_boundary(options),
    )


def _diffraction(options: BlurOptions) -> OpticsRange:
    from dgno.optics.brightfield import WAVELENGTHS
    from dgno.optics.out_of_focus import DefocusRange
    from dgno.optics.simulate import BlurRange

    _needed(options, "diffraction", "defocus", "numerical_aperture", "pixel_size")
    return DefocusRange(
        options.defocus or (0.0, 0.0),
        _microscope(options),
        bands=WAVELENGTHS if options.wavelength is None else None,
        fields=_fields(options, BlurRange().fields),
        edge_softness=options.edge_softness or 0.0,
        reading=_reading(options),
        boundary=_boundary(options),
    )


def _microscope(options: BlurOptions) -> Microscope:
    from dgno.optics.diffraction import Microscope

    index = 1.0 if options.refractive_index is None else options.refractive_index
    wavelength = 0.53 if options.wavelength is None else options.wavelength
    return Microscope(options.numerical_aperture or 0.0, wavelength, options.pixel_size or 0.0, index)


def _motion(options: BlurOptions) -> OpticsRange:
    from dgno.optics.moving import MotionRange

    _needed(options, "motion", "motion")
    return MotionRange(
        options.motion or (1.0, 1.0),
        (0.0, 180.0) if options.angle is None else (options.angle, options.angle),
        fields=_fields(options, ("constant",)),
        edge_softness=options.edge_softness or 0.0,
        reading=_reading(options),
        boundary=_boundary(options),
    )


def _mixed(options: BlurOptions) -> OpticsRange:
    """Maps are those of the defocus; a stage moves all of the specimen alike."""
    from dgno.optics.mixed import ORDERS, MixedRange

    defocus = _diffraction(options) if options.defocus else _by_sigma(options)
    return MixedRange(defocus, _motion(replace(options, field=None)), options.order or ORDERS[0])


def _seidel(options: BlurOptions) -> OpticsRange:
    from dgno.optics.lens import LensRange
    from dgno.optics.seidel import Seidel

    _needed(options, "seidel", "seidel", "numerical_aperture", "pixel_size")
    return LensRange(
        _microscope(options), Seidel(*(options.seidel or ())), reading=_reading(options), boundary=_boundary(options)
    )


_MAKERS: dict[str, Callable[[BlurOptions], OpticsRange]] = {
    "disk": _by_sigma,
    "gaussian": _by_sigma,
    "diffraction": _diffraction,
    "motion": _motion,
    "mixed": _mixed,
    "seidel": _seidel,
}


def exposures_of(options: BlurOptions, camera: CameraOptions) -> ExposureRange:
    """Optics and camera. Optics in um acts on light, other blurs on the values of the file, unless told otherwise."""
    from dgno.optics.exposure import CameraRange, PairRange

    default = CameraRange()
    photons = default.photons if camera.photons is None else (camera.photons, camera.photons)
    noise = default.read_noise if camera.read_noise is None else (camera.read_noise, camera.read_noise)
    in_um = options.defocus is not None or options.seidel is not None
    linear_light = in_um if camera.linear_light is None else camera.linear_light
    return PairRange(optics_of(options), CameraRange(photons, noise, camera.bits, camera.jpeg), linear_light)
