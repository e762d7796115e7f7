"""What `dgno evaluate` can compare, by name."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dgno.arrays import Image
from dgno.classical.blind_sigma import blind_disk
from dgno.classical.convolution import LinearBlur
from dgno.classical.richardson_lucy import richardson_lucy
from dgno.classical.stopping import discrepancy
from dgno.classical.wiener import unsupervised_wiener, wiener
from dgno.data.records import Record
from dgno.errors import ChannelMismatch, ConfigError, about
from dgno.evaluation.compare import Method, unchanged
from dgno.evaluation.external import MINUTES, run_external
from dgno.evaluation.pairs import read_pair
from dgno.evaluation.protocols import Protocol
from dgno.evaluation.true_blur import true_blur
from dgno.io.image import read_image
from dgno.optics.psf import PSF
from dgno.restoration.from_classical import MOST_STEPS
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import Normalizer, Restorer, by_range, restore_image

SHARP = "sharp"

Batch = Float[Tensor, "b c h w"]
Deconvolution = Callable[[Batch, PSF], Batch]


def stopped_richardson_lucy(blurred: Batch, blur: PSF | LinearBlur) -> Batch:
    """Accelerated, until the estimate fits within the noise."""
    return richardson_lucy(blurred, blur, num_iter=MOST_STEPS, accelerated=True, stop=discrepancy())


CLASSICAL: dict[str, Deconvolution] = {  # told the mean PSF
    "wiener": wiener,
    "richardson-lucy": stopped_richardson_lucy,
    "wiener-unsupervised": unsupervised_wiener,
    "richardson-lucy-30": richardson_lucy,
}


def by_name(weights: Sequence[str], methods: Sequence[str], *, device: str = "auto") -> dict[str, Method]:
    """The blurred image itself, the classical methods, and the weights, of these names.

    Weights are called by the stem of their file, or as they were typed where two stems are equal.
    """
    chosen: dict[str, Method] = {"blurred": unchanged, **classical(methods)}
    names = titles(weights)
    if taken := sorted({"blurred", *METHODS} & set(names)):
        hint = "rename the file, so that lines of the table can be told apart"
        raise ConfigError(f"weights named {taken[0]!r}, which is the name of a method", hint=hint)
    return chosen | {name: _by_weights(given, device=device) for name, given in names.items()}


def with_external(
    methods: Mapping[str, Method], commands: Sequence[str], records: Sequence[Record], *, minutes: float = MINUTES
) -> dict[str, Method]:
    """The methods, and what external commands made of the records: "external", "external-2", ... in front of weights.

    Raises ConfigError if weights have such a name, before a command runs.
    """
    names = ["external", *(f"external-{i}" for i in range(2, len(commands) + 1))][: len(commands)]
    if taken := sorted(methods.keys() & set(names)):
        hint = "rename the file, so that lines of the table can be told apart"
        raise ConfigError(f"weights named {taken[0]!r}, which is the name of a method", hint=hint)
    own = {name: method for name, method in methods.items() if name == "blurred" or name in METHODS}
    made = {n: run_external(command, records, minutes=minutes) for n, command in zip(names, commands, strict=True)}
    return {**own, **made, **{name: method for name, method in methods.items() if name not in own}}


def with_sharp(methods: Mapping[str, Method], protocol: Protocol) -> dict[str, Method]:
    """The methods with the sharp image behind the blurred one: what a downstream measure is where nothing is blurred.

    Raises ConfigError if weights have this name.
    """
    if SHARP in methods:
        raise ConfigError(f"weights named {SHARP!r}, which is the name of a method", hint="rename the file")
    (first, blurred), *others = methods.items()
    return {first: blurred, SHARP: lambda image, record: read_pair(record, protocol).sharp, **dict(others)}


def titles(weights: Sequence[str]) -> dict[str, str]:
    """What to call weights in a table -> how they were given. Raises ConfigError if some are given twice."""
    _refuse_twice(weights)
    stems = Counter(Path(name).stem for name in weights)
    return {name if stems[Path(name).stem] > 1 else Path(name).stem: name for name in weights}


def _refuse_twice(names: Sequence[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ConfigError(f"{twice[0]!r} is given twice", hint="give each once")


def _by_weights(given: str, *, device: str) -> Method:
    """Weights as a method; what does not fit them is told in the words of `dgno evaluate`."""
    restored = by_restorer(*make_restorer(given, device=device))

    def method(image: Image, record: Record) -> Image:
        try:
            with about(record.input or record.target):
                return restored(image, record)
        except ChannelMismatch as error:
            if image.samples == 1:
                as_colour = f"dgno restore {{in}} -o {{out}} --weights {shlex.quote(given)} --channels replicate"
                error.hint = f'take weights for gray images, such as fluorescence-nano, or --external "{as_colour}"'
            raise

    return method


def by_restorer(restorer: Restorer, normalize: Normalizer) -> Method:
    """A method that restores every image by one restorer."""
    return lambda image, record: restore_image(image, restorer, normalize=normalize)


def with_true_mean_psf(deconvolve: Deconvolution) -> Method:
    """A method that is told the mean PSF of each simulated image, and works on the whole image at once.

    It sees the image by its range, which `pairs.read_pair` makes the sharp one's: simulated values as they are.
    """

    def method(image: Image, record: Record) -> Image:
        if record.psf is None:
            hint = "make the pairs with `dgno simulate`, or leave the classical methods out"
            raise ConfigError("no PSF is stored for the pair", path=record.input, hint=hint)
        psf = next(read_image(record.psf).planes())[..., 0].astype(np.float64)
        return restore_image(image, lambda x: deconvolve(x, psf / psf.sum()), tile_size=0, normalize=by_range)

    return method


def with_true_blur(image: Image, record: Record) -> Image:
    """Richardson-Lucy, told the blur at every pixel of a simulated image."""
    blur = true_blur(record)
    return restore_image(image, lambda x: stopped_richardson_lucy(x, blur), tile_size=0, normalize=by_range)


def told_nothing(image: Image, record: Record) -> Image:
    """Richardson-Lucy, with a width of blur estimated from each image."""
    return restore_image(image, blind_disk, tile_size=0, normalize=by_range)


METHODS: dict[str, Method] = {
    **{name: with_true_mean_psf(deconvolve) for name, deconvolve in CLASSICAL.items()},
    "richardson-lucy-varying": with_true_blur,
    "blind": told_nothing,
}


def classical(names: Sequence[str]) -> dict[str, Method]:
    """The classical methods of these names."""
    _refuse_twice(names)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ConfigError(f"no method {unknown[0]!r}", hint=f"known: {', '.join(METHODS)}")
    return {name: METHODS[name] for name in names}
