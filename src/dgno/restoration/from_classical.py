"""From the name of a classical method, and what is told of the blur, to a restorer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_count, refuse_number
from dgno.classical.blind_sigma import blind_disk
from dgno.classical.richardson_lucy import richardson_lucy
from dgno.classical.stopping import StopRule, discrepancy, never
from dgno.errors import ConfigError
from dgno.optics.psf import PSF
from dgno.optics.ring_blur import FieldPSF, RingBlur
from dgno.restoration.psf_given import HINT, given_psf

Batch = Float[Tensor, "b c h w"]
MOST_STEPS = 100  # of Richardson-Lucy, if the noise does not stop it sooner


@dataclass(frozen=True)
class Deconvolution:
    """A classical method as a restorer, see `dgno.restoration.image`.

    restore : what it does to the images
    halo : px; what lies farther away hardly matters
    is_whole : it must see whole planes: one blur is estimated for all, or the blur belongs to a place

    None is local to the last digit: noise is estimated from what is seen, so tiles are faded into each other.
    """

    restore: Callable[[Batch], Batch]
    halo: int = 0
    is_whole: bool = False
    is_local: bool = False
    bytes_per_pixel: int = 400

    def __call__(self, x: Batch) -> Batch:
        return self.restore(x)


@dataclass(frozen=True)
class Told:
    """What is told of the blur and how to undo it.

    psf : see `dgno.restoration.psf_given`
    num_iter : steps of Richardson-Lucy, exactly; by default until the estimate fits within the noise
    balance : of Wiener; by default chosen from the noise
    """

    psf: str | None = None
    num_iter: int | None = None
    balance: float | None = None

    def __post_init__(self) -> None:
        problems = [] if self.num_iter is None else refuse_count("num_iter", self.num_iter, 1)
        problems += [] if self.balance is None else refuse_number("balance", self.balance, 0, above_lowest=True)
        if problems:
            raise ConfigError("no deconvolution like this", why="; ".join(problems))

    @property
    def steps(self) -> tuple[int, StopRule]:
        """Steps of Richardson-Lucy at most, and what ends them."""
        return (MOST_STEPS, discrepancy()) if self.num_iter is None else (self.num_iter, never)

    def uniform(self) -> PSF:
        """The PSF, the same everywhere."""
        psf = given_psf(self.psf or "")
        if not isinstance(psf, np.ndarray):
            raise ConfigError(f"{self.psf!r} changes over the field", hint="say --method ring")
        return psf

    def lens(self) -> FieldPSF:
        """The PSF at every place of the field."""
        psf = given_psf(self.psf or "")
        if isinstance(psf, np.ndarray):
            raise ConfigError(f"{self.psf!r} is the same everywhere", hint="give seidel:..., or another method")
        return psf


def _wiener(told: Told) -> Deconvolution:
    from dgno.classical.wiener import wiener  # here: scikit-image takes a tenth of a second, and networks do without

    psf = told.uniform()
    return Deconvolution(lambda x: wiener(x, psf, balance=told.balance), halo=2 * len(psf))


def _richardson_lucy(told: Told) -> Deconvolution:
    psf, (num_iter, stop) = told.uniform(), told.steps
    method = functools.partial(richardson_lucy, blur=psf, num_iter=num_iter, accelerated=True, stop=stop)
    return Deconvolution(method, halo=2 * len(psf))


def _blind(told: Told) -> Deconvolution:
    num_iter, stop = told.steps
    return Deconvolution(functools.partial(blind_disk, num_iter=num_iter, stop=stop), is_whole=True)


def _ring(told: Told) -> Deconvolution:
    lens, (num_iter, stop) = told.lens(), told.steps

    @functools.lru_cache(maxsize=1)
    def blur(shape: tuple[int, int]) -> RingBlur:
        return RingBlur(lens, shape, margin=max(8, max(shape) // 16))

    def restore(x: Batch) -> Batch:
        known = blur((x.shape[-2], x.shape[-1]))
        return richardson_lucy(x, known, num_iter=num_iter, accelerated=True, stop=stop)

    return Deconvolution(restore, is_whole=True, bytes_per_pixel=2000)


@dataclass(frozen=True)
class Classical:
    """A method, and which of the fields of `Told` it needs and may be given."""

    make: Callable[[Told], Deconvolution]
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


METHODS = {
    "wiener": Classical(_wiener, ("psf",), ("balance",)),
    "richardson-lucy": Classical(_richardson_lucy, ("psf",), ("num_iter",)),
    "blind": Classical(_blind, (), ("num_iter",)),
    "ring": Classical(_ring, ("psf",), ("num_iter",)),
}


def refuse_told(method: str, told: Told) -> None:
    """Raise ConfigError where a method is not told what it needs, or told what it does not take.

    Every name that is not in METHODS takes nothing.
    """
    known = METHODS.get(method)
    takes = (*known.needed, *known.optional) if known else ()
    flags = {name: "--" + name.replace("_", "-") for name in vars(told)}
    if extra := [flags[name] for name, value in vars(told).items() if value is not None and name not in takes]:
        hint = f"it takes {' and '.join(flags[name] for name in takes) or 'none of these'}"
        raise ConfigError(f"{extra[0]} with method {method}", hint=hint)
    if known and (missing := [name for name in known.needed if getattr(told, name) is None]):
        raise ConfigError(f"method {method} without {flags[missing[0]]}", hint=HINT)


def make_classical(method: str, told: Told) -> Deconvolution:
    """The restorer of this name. Raises ConfigError, InputError (a PSF that cannot be read)."""
    refuse_told(method, told)
    return METHODS[method].make(told)
