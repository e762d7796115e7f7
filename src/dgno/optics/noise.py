"""What a camera adds."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_number
from dgno.errors import ConfigError


def poisson_gaussian(
    x: Float[Tensor, "*shape"], *, photons: float, read_noise: float, generator: torch.Generator | None = None
) -> Float[Tensor, "*shape"]:
    """Photon noise and read noise; the mean stays x and the variance is x / photons + read_noise^2.

    x : intensities, 1 at full scale; negative values count as 0 photons
    photons : detected at intensity 1; infinite for light without photon noise
    read_noise : standard deviation in units of intensity
    """
    refuse_camera(photons, read_noise)
    x = x.contiguous()  # noise is drawn in the order of memory, and must not depend on it
    light = x if math.isinf(photons) else torch.poisson(x.clamp_min(0) * photons, generator=generator) / photons
    noise = torch.empty_like(x).normal_(generator=generator)
    return light + read_noise * noise


def refuse_camera(photons: float, read_noise: float) -> None:
    """ConfigError for no photons, and for noise that is none; infinitely many photons are allowed."""
    problems = refuse_number("read_noise", read_noise, 0)
    if not photons > 0:
        problems.append(f"photons is {photons}, wanted a positive number")
    if problems:
        raise ConfigError("there is no such camera", why="; ".join(problems))
