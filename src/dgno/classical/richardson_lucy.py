"""Richardson-Lucy deconvolution, for any blur that has `apply` and `adjoint`.

With A the blur, s = A^T 1 the share of a point's light that the image catches, and y the image:

    x <- x / s * A^T(y / A x)

Richardson 1972, doi:10.1364/JOSA.62.000055; Lucy 1974, doi:10.1086/111605. The weight 1 / s, and an object that
reaches beyond the image, keep the border from ringing: Bertero and Boccacci 2005, doi:10.1051/0004-6361:20052717.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_count, refuse_number
from dgno.classical.convolution import LinearBlur, as_blur
from dgno.classical.planes import check_finite_values
from dgno.classical.stopping import StopRule, Test, never, relative_change
from dgno.classical.total_variation import curvature
from dgno.errors import ConfigError
from dgno.optics.psf import PSF

Plane = Float[Tensor, "h w"]
Object = Float[Tensor, "h2 w2"]
CAUGHT = 1e-5  # points of which the image catches a smaller share keep its mean
DARKEST = 1e-6  # of the brightest pixel: what is divided by is no smaller
FAINTEST = 1e-20  # less becomes 0: numbers below the normal ones are slow, and transforms leave -1e-7 for 0


def richardson_lucy(
    blurred: Float[Tensor, "b c h w"],
    blur: PSF | LinearBlur,
    *,
    num_iter: int = 30,
    accelerated: bool = False,
    tv: float = 0.0,
    stop: StopRule = never,
) -> Float[Tensor, "b c h w"]:
    """Restore images blurred by a known blur under photon noise; every plane on its own.

    blurred : values around [0, 1], 0 where there is no light; negative ones count as 0
    blur : a PSF sampled at the pixel size of `blurred`, or an operator, such as a spatially varying blur
    num_iter : steps at most; more sharpen more, and raise the noise
    accelerated : extrapolate each step along the last ones, so that a few times fewer do (Biggs and Andrews 1997,
        doi:10.1364/AO.36.001766)
    tv : weight of the total variation, below 0.25, which keeps flat parts flat: x / (1 - tv div(grad x / |grad x|)) in
        place of x (Dey et al. 2006, doi:10.1002/jemt.20294, where 0.002 is recommended)
    stop : when a plane has had enough, see `dgno.classical.stopping`

    Raises ConfigError, NonFiniteInput.
    """
    problems = refuse_count("num_iter", num_iter, 0) + refuse_number("tv", tv, 0, 0.2499)
    if problems:
        raise ConfigError("Richardson-Lucy cannot run like this", why="; ".join(problems))
    check_finite_values(blurred)
    known = as_blur(blur)
    planes = [
        Iteration(plane.clamp(min=0), known, tv).run(num_iter, accelerated=accelerated, stop=stop)
        for plane in blurred.flatten(0, 1)
    ]
    return torch.stack(planes).reshape(blurred.shape)


class Iteration:
    """The steps on one plane, whose values are not negative; `beginning` and `step` are for those that mix them."""

    def __init__(self, measured: Plane, blur: LinearBlur, tv: float = 0.0) -> None:
        self.measured, self.blur, self.tv = measured, blur, tv
        caught = blur.adjoint(torch.ones_like(measured))
        self.is_caught, self.weight = caught > CAUGHT, 1 / caught.clamp(min=CAUGHT)
        self.margin = (caught.shape[-2] - measured.shape[-2]) // 2
        self.smoothing = 8 * tv * float(measured.max()) + DARKEST  # with less, steps overshoot where x is almost flat
        self.darkest = max(DARKEST * float(measured.max()), torch.finfo(measured.dtype).tiny)

    def run(self, num_iter: int, *, accelerated: bool, stop: StopRule) -> Plane:
        test: Test = stop(self.measured)
        last = x = self.beginning()
        direction, momentum, change = torch.zeros_like(x), 0.0, float("inf")
        for _ in range(num_iter):
            start = (x + momentum * (x - last)).clamp(min=0)
            predicted = self.blur.apply(start)
            if test(predicted, change):
                x = start
                break
            last, x = x, self.step(start, predicted)
            newest = x - start
            if accelerated:
                momentum = _momentum(newest, direction)
            direction, change = newest, relative_change(x, last)
        return self.seen(x)

    def beginning(self) -> Object:
        """Smooth and positive: what A never shows of an object, no step would remove."""
        mean = (self.weight * self.blur.adjoint(self.measured)).clamp(min=0)
        return torch.where(self.is_caught, mean, self.measured.mean())

    def seen(self, x: Object) -> Plane:
        """The part of the object that the image shows."""
        height, width = self.measured.shape
        return x[self.margin : self.margin + height, self.margin : self.margin + width]

    def step(self, x: Object, predicted: Plane) -> Object:
        """x / (s (1 - tv div(grad x / |grad x|))) * A^T(y / predicted)."""
        ratio = self.measured / predicted.clamp(min=self.darkest)
        new = F.threshold(x * self.weight * self.blur.adjoint(ratio), FAINTEST, 0.0)
        if self.tv:
            new = new / (1 - self.tv * curvature(x, smoothing=self.smoothing))
        return torch.where(self.is_caught, new, x)


def _momentum(newest: Object, before: Object) -> float:
    """How far to go on along the last change: the correlation of the last two directions, in [0, 1]."""
    norm = float((before * before).sum())
    return min(max(float((newest * before).sum()) / norm, 0.0), 1.0) if norm else 0.0
