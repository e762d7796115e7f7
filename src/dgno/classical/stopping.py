"""When an iteration has done enough. A rule is given the image and answers with a test of every step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_number
from dgno.classical.noise_level import Noise, estimate_noise
from dgno.errors import ConfigError

Plane = Float[Tensor, "h w"]
Test = Callable[[Plane, float], bool]  # the blurred estimate, the relative change of the last step -> is it enough?
StopRule = Callable[[Plane], Test]  # the blurred image -> its test


def never(measured: Plane) -> Test:
    """As many steps as were asked for."""
    return lambda predicted, change: False


def discrepancy(noise: Noise | None = None, *, factor: float = 1.0, progress: float = 0.01) -> StopRule:
    """Enough when the blurred estimate fits the image as well as the truth would:

        mean (y - A x)^2 / variance(A x) <= factor

    What is fitted beyond that is noise. Morozov 1966, with the variance of Poisson noise as in Bertero et al. 2010,
    doi:10.1088/0266-5611/26/10/105004. A PSF that is not quite the true one may never fit so well; that a step lowers
    the misfit by a share below `progress` is enough, too (ours).

    noise : of the camera; by default estimated from every image, see `estimate_noise`
    factor : larger ones stop earlier
    """
    if problems := refuse_number("factor", factor, 0, above_lowest=True) + refuse_number("progress", progress, 0, 1):
        raise ConfigError("no rule can be made of this", why="; ".join(problems))

    def begin(measured: Plane) -> Test:
        level = estimate_noise(measured) if noise is None else noise
        misfits = [math.inf]

        def test(predicted: Plane, change: float) -> bool:
            misfits.append(float(((measured - predicted).square() / level.variance(predicted)).mean()))
            return misfits[-1] <= factor or 0 <= 1 - misfits[-1] / misfits[-2] < progress

        return test

    return begin


def settled(tolerance: float = 1e-3) -> StopRule:
    """Enough when a step changes the estimate by no more than this share of its norm."""
    if problems := refuse_number("tolerance", tolerance, 0, above_lowest=True):
        raise ConfigError(problems[0])
    return lambda measured: lambda predicted, change: change <= tolerance


def relative_change(new: Plane, old: Plane) -> float:
    """|new - old| / |new|."""
    return float((new - old).norm() / new.norm().clamp(min=torch.finfo(new.dtype).tiny))
