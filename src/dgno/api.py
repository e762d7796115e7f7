"""The functions of the package: what `import dgno` offers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.arrays import Affine, Image, Plane, from_tensor, range_affine, to_tensor
from dgno.checks import refuse_count, refuse_flag, refuse_number
from dgno.errors import ConfigError, NonFiniteInput
from dgno.kernels.defaults import own_defaults
from dgno.networks.dbmid import DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.optics.blur_types import DEFOCUS
from dgno.optics.diffraction import Microscope
from dgno.optics.exposure import NO_NOISE, Exposure, ExposureRange
from dgno.optics.out_of_focus import DefocusOptics
from dgno.optics.psf import standard_deviation
from dgno.optics.simulate import BlurRange
from dgno.restorable import check_finite, check_float32, check_restorable
from dgno.restoration import READER, TILE_SIZE
from dgno.restoration.assessment import Assessment, assess_image, worst_of
from dgno.restoration.blur_maps import Reader
from dgno.restoration.from_weights import DBMID, NETWORK_METHODS, LoadedWeights, make_reader, weights_by_type
from dgno.restoration.from_weights import DGNO as DGNO_METHOD
from dgno.restoration.image import restore_image
from dgno.restoration.nonfinite import fill, mark
from dgno.restoration.options import IMAGE, OFF, chosen_route
from dgno.restoration.route import Routing
from dgno.restoration.tiling import refuse_tiling
from dgno.user_arrays import Pixels, as_image, as_pixels, named_axes
from dgno.weights.store import find_weights, load_weights

WAVELENGTH, AIR = 0.53, 1.0  # um, green; index of refraction
ELSEWHERE = "wiener, richardson-lucy, blind and ring are functions of dgno.classical, and methods of `dgno restore`"


def load(name: str | Path) -> DGNO | DBMIDNet:
    """The network of weights, in eval mode.

    name : of weights that come with the package ("fluorescence-nano"), or a path to a safetensors file
    The network maps (b, channels, h, w) in [0, 1] to the same shape. Raises UnknownWeights, CorruptCheckpoint.
    """
    return load_weights(name)[0]


@own_defaults()
def restore(  # noqa: PLR0913  # as the command has options
    image: Pixels,
    *,
    axes: str = "",
    weights: str | Path = "auto",
    normalize: str = "auto",
    tile_size: int = TILE_SIZE,
    overlap: int | None = None,
    device: str = "auto",
    precision: str = "fp32",
    tta: bool = False,
    allow_labels: bool = False,
    nonfinite: str = "refuse",
    method: str = DGNO_METHOD,
    route: str | Routing = "",
) -> Pixels:
    """The restored image: same shape and dtype as `image`.

    image : (h, w) gray; (h, w, 3) colour; (h, w, 4) colour and opacity; other (h, w, c) are c separate channels. All
        others, stacks above all, with their `axes`
    axes : a letter for each axis, in the order of the array: Y, X, S (3 colours, or 4 with an opacity), C (channels),
        and Z, T or any other, along which planes are restored one by one: "ZYX", "CYX", "TZYXS"
    weights : a name, a path, or "auto": bright-field weights for bright colour images, else fluorescence weights
    normalize : "auto" as the weights ask; "range", "percentile", "minmax", or "none" to pass values as they are
    tile_size, overlap : px; see `dgno.restoration.image.restore_image`
    device, precision : "auto", "cpu", "cuda", "cuda:1"; "fp32", "high" or "bf16"
    tta : average over the 8 flips and quarter turns of the image: a little better, in 8 times the time. Sides that are
        no multiples of 32 px are extended at the bottom and the right before the image is turned
    allow_labels : restore also what looks like a label image or a mask
    nonfinite : what to do with NaN and infinite pixels, "refuse", "inpaint" or "mask"; see `dgno.restoration.nonfinite`
    method : "dgno", or "dbmid": its classifier chooses among its networks (Jiang et al. 2020, arXiv:2011.11879).
        Classical methods are functions of `dgno.classical`
    route : "off", dgno's own, restores all of the image; "auto" only what is blurred, each region by the weights for
        its type of blur (`weights`, if given, for all types); "image", dbmid's own, chooses one type for the whole. Or
        a `Routing`, with a reader of blur of one's own

    Raises ConfigError (no image, a stack without axes, wrong option), InputTooLarge (more than 64 channels),
    UnsupportedInput (labels, masks), NonFiniteInput, InputOutOfRange, CheckpointError (weights), ChannelMismatch,
    DeviceUnavailable, OutOfMemory.
    """
    refuse_tiling(_plain(tile_size), _plain(overlap))
    _refuse_flags(tta=tta, allow_labels=allow_labels)
    if weights != "auto":
        find_weights(weights)  # refuses what is no name, before it is taken for one
    axes = named_axes(image, axes)
    record = as_image(image, axes)
    check_restorable(record, allow_labels=allow_labels, allow_nonfinite=nonfinite != "refuse")
    if method not in NETWORK_METHODS:
        raise ConfigError(f"method {method!r}", hint=f"known here: {', '.join(NETWORK_METHODS)}; {ELSEWHERE}")
    routing = _routing(route, method, str(weights), device)
    if normalize == "none" and image.dtype.kind == "f":
        record = replace(record, pixels=record.pixels.astype(np.float32))
    filled, bad = fill(record, nonfinite)
    made = LoadedWeights(normalize=normalize, device=device, precision=precision, tta=tta, method=method)
    names = weights_by_type(record, weights, method)
    if routing is None:
        remedy = made.of(names[DEFOCUS], record)
        restored = restore_image(
            filled, remedy.restorer, tile_size=tile_size, overlap=overlap, normalize=remedy.normalize
        )
    else:
        remedies = {blur: made.of(chosen, record) for blur, chosen in names.items()}
        restored = routing.restore(filled, remedies, tile_size=tile_size, overlap=overlap, replicate=method == DBMID)
    return as_pixels(mark(restored, record, bad, nonfinite), axes)


def _routing(route: str | Routing, method: str, weights: str, device: str) -> Routing | None:
    """What is meant by `route`; None: nothing is looked for."""
    if isinstance(route, Routing):
        return route
    route = chosen_route(route, method, weights)
    return None if route == OFF else Routing(make_reader(READER, device), as_one=route == IMAGE)


@own_defaults()
def assess(
    image: Pixels,
    *,
    axes: str = "",
    reader: str | Path | Reader = READER,
    min_confidence: float = 0.0,
    tile_size: int = TILE_SIZE,
    device: str = "auto",
    allow_labels: bool = False,
    nonfinite: str = "refuse",
) -> Assessment:
    """Where and how the image is blurred: `.type`, `.in_focus`, and maps in squares of 8 px, `.strength` above all.

    image, axes : as of `restore`. Of several channels or planes, every square is told of the one where it is blurred
        most; `dgno.restoration.assessment.assess_image` tells them apart
    reader : weights that find the blur, by name or path; or a function, see `dgno.restoration.blur_maps`
    min_confidence : a blur that is less likely than this counts as in focus
    tile_size, device, allow_labels, nonfinite : as of `restore`

    Raises ConfigError (no image, a stack without axes, wrong option), InputTooLarge (more than 64 channels),
    UnsupportedInput (labels, masks), NonFiniteInput, InputOutOfRange, CheckpointError (reader), ChannelMismatch,
    DeviceUnavailable, OutOfMemory.
    """
    refuse_tiling(_plain(tile_size))
    _refuse_flags(allow_labels=allow_labels)
    record = as_image(image, axes)
    check_restorable(record, allow_labels=allow_labels, allow_nonfinite=nonfinite != "refuse")
    read = make_reader(reader, device) if isinstance(reader, str | Path) else reader
    filled, _ = fill(record, nonfinite)
    found = assess_image(filled, read, min_confidence=min_confidence, tile_size=tile_size)
    return worst_of(list(found.values()))


@dataclass(frozen=True, repr=False)
class Truth:
    """How an image was blurred.

    psf : the mean PSF
    sigma : px, the standard deviation of the optical blur at every pixel; of other blurs than by a map of sigma, that
        of the mean PSF
    maps : what varied, (c, h, w) each: "sigma" in px, "z" in um, or "motion", length in px and angle in degrees
    """

    psf: Float[np.ndarray, "k k"]
    sigma: Float[np.ndarray, "h w"]
    maps: Mapping[str, Float[np.ndarray, "_ h w"]]

    def __repr__(self) -> str:
        """In one line; notebooks print it."""
        widths = f"sigma {self.sigma.min():.3g} to {self.sigma.max():.3g} px"
        return f"Truth({widths}; psf of {len(self.psf)} x {len(self.psf)} px; maps: {', '.join(self.maps)})"


@own_defaults()
def simulate(
    sharp: Pixels,
    *,
    axes: str = "",
    defocus: float | None = None,
    numerical_aperture: float | None = None,
    wavelength: float = WAVELENGTH,
    pixel_size: float | None = None,
    refractive_index: float = AIR,
    ranges: ExposureRange | None = None,
    seed: int = 0,
) -> tuple[Pixels, Truth]:
    """A blurred image of a sharp one, and how it was blurred; in the shape and dtype of `sharp`.

    axes : as of `restore`; all planes of a stack are blurred alike
    defocus, numerical_aperture, wavelength, pixel_size, refractive_index : with a defocus (um), the image of a
        wide-field microscope by scalar diffraction, the same everywhere and without noise; lengths in um
    ranges : without a defocus, a random spatially varying blur from these ranges, with camera noise, drawn with `seed`:
        a `BlurRange`, or anything else that draws exposures, see `dgno.optics.exposure`

    Raises ConfigError (no image, a stack without axes, arguments that do not fit), InputTooLarge (more than 64
    channels), NonFiniteInput, InputOutOfRange.
    """
    axes = named_axes(sharp, axes)
    image = as_image(sharp, axes)
    _refuse_unusable(image)
    height, width = image.shape_without_samples[-2:]
    lens = {"numerical_aperture": numerical_aperture, "pixel_size": pixel_size}
    lens |= {"wavelength": wavelength, "refractive_index": refractive_index}
    if defocus is None:
        usual = {"wavelength": WAVELENGTH, "refractive_index": AIR}
        said = [name for name, value in lens.items() if value != usual.get(name)]
        exposure = _drawn(ranges, seed, (height, width), said)
    else:
        _refuse_defocus(defocus, lens, ranges)
        microscope = Microscope(numerical_aperture or 0.0, wavelength, pixel_size or 0.0, refractive_index)
        exposure = Exposure(DefocusOptics(torch.full((height, width), defocus), microscope, bands=None), NO_NOISE, 0)
    affine = range_affine(image)
    planes = [_in_dtype(exposure.of(to_tensor(p, affine)[0], i), image, affine) for i, p in enumerate(image.planes())]
    psf = exposure.optics.mean_psf(image.samples)
    maps = {name: values.numpy() for name, values in exposure.optics.maps().items()}
    sigma = maps["sigma"][0] if "sigma" in maps else np.full((height, width), standard_deviation(psf), np.float32)
    return as_pixels(image.with_planes(planes), axes), Truth(psf, sigma, maps)


def _refuse_unusable(image: Image) -> None:
    """Refuse what no camera can expose. Raises NonFiniteInput, InputOutOfRange."""
    try:
        check_finite(image)
        check_float32(image)
    except NonFiniteInput as error:
        error.hint = "replace them: a sharp image is light, with a value at every pixel"
        raise


def _drawn(ranges: ExposureRange | None, seed: int, shape: tuple[int, int], lens: list[str]) -> Exposure:
    """A random exposure. lens : names of arguments that were given and are for a defocus in um"""
    if lens:
        why = "a defocus in um is seen through a lens; the blur of ranges is in px"
        raise ConfigError(f"{' and '.join(lens)} without defocus", why=why, hint="give defocus too, or leave them out")
    if problems := refuse_count("seed", _plain(seed), 0):
        raise ConfigError("nothing can be drawn so", why=problems[0])
    drawn_from = BlurRange() if ranges is None else ranges
    if not isinstance(drawn_from, ExposureRange) or isinstance(drawn_from, type):
        hint = "give a dgno.optics.simulate.BlurRange(...), or another object with a method draw(shape, rng)"
        raise ConfigError(f"ranges is {ranges!r}", hint=hint)
    return drawn_from.draw(shape, np.random.default_rng([seed, 0]))


def _refuse_defocus(defocus: object, lens: Mapping[str, object], ranges: ExposureRange | None) -> None:
    """Refuse a defocus and a lens that are no numbers, what is missing of the lens, and ranges beside it."""
    if missing := [name for name, value in lens.items() if value is None]:
        raise ConfigError(f"a defocus in um needs {' and '.join(missing)}", hint="give them, or no defocus")
    problems = refuse_number("defocus", _plain(defocus), -math.inf)
    problems += [p for name, value in lens.items() for p in refuse_number(name, _plain(value), 0, above_lowest=True)]
    if problems:
        raise ConfigError("no such defocus", why="; ".join(problems), hint="give lengths in um")
    if ranges is not None:
        why = "a defocus in um is the same everywhere and without noise; from ranges, the blur is drawn at random"
        raise ConfigError("defocus and ranges at once", why=why, hint="give one of them")


def _refuse_flags(**flags: object) -> None:
    """Refuse what is neither True nor False. Raises ConfigError."""
    if problems := [problem for name, value in flags.items() for problem in refuse_flag(name, _plain(value))]:
        raise ConfigError("no such option", why="; ".join(problems))


def _plain(value: object) -> object:
    """A number of numpy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


def _in_dtype(values: Float[Tensor, "c h w"], image: Image, affine: Affine) -> Plane:
    """Simulated values in the dtype of the image; integers are rounded and end where the image's do."""
    plane = from_tensor(values[None]).astype(np.float64) * affine.scale + affine.offset
    if image.pixels.dtype.kind != "f":
        plane = np.rint(plane).clip(*image.ends)
    return plane.astype(image.pixels.dtype)
