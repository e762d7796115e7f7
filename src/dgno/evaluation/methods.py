"""What `dgno evaluate` can compare, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dgno.arrays import Image
from dgno.classical.richardson_lucy import richardson_lucy
from dgno.classical.wiener import unsupervised_wiener
from dgno.data.pairs import PairFiles
from dgno.errors import ConfigError
from dgno.evaluation.compare import Method, unchanged
from dgno.io.image import read_image
from dgno.optics.psf import PSF
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import Normalizer, Restorer, by_range, restore_image

Batch = Float[Tensor, "b c h w"]
Deconvolution = Callable[[Batch, PSF], Batch]
CLASSICAL: dict[str, Deconvolution] = {"wiener": unsupervised_wiener, "richardson-lucy": richardson_lucy}


def by_name(weights: Sequence[str], methods: Sequence[str], *, device: str = "auto") -> dict[str, Method]:
    """The blurred image itself, the classical methods, and the weights, of these names."""
    restorers = {name: make_restorer(name, device=device) for name in weights}
    chosen: dict[str, Method] = {"blurred": unchanged, **classical(methods)}
    return chosen | {Path(name).stem: by_restorer(*restorer) for name, restorer in restorers.items()}


def by_restorer(restorer: Restorer, normalize: Normalizer) -> Method:
    """A method that restores every image by one restorer."""
    return lambda image, pair: restore_image(image, restorer, normalize=normalize)


def with_true_mean_psf(deconvolve: Deconvolution) -> Method:
    """A method that is told the mean PSF of each simulated image, and works on the whole image at once."""

    def method(image: Image, pair: PairFiles) -> Image:
        if pair.psf is None:
            hint = "make the pairs with `dgno simulate`, or leave the classical methods out"
            raise ConfigError("no PSF is stored for the pair", path=pair.blurred, hint=hint)
        psf = next(read_image(pair.psf).planes())[..., 0].astype(np.float64)
        return restore_image(image, lambda x: deconvolve(x, psf / psf.sum()), tile_size=0, normalize=by_range)

    return method


def classical(names: Sequence[str]) -> dict[str, Method]:
    """The classical methods of these names."""
    unknown = [name for name in names if name not in CLASSICAL]
    if unknown:
        raise ConfigError(f"no method {unknown[0]!r}", hint=f"known: {', '.join(CLASSICAL)}")
    return {name: with_true_mean_psf(CLASSICAL[name]) for name in names}
