"""Ring deconvolution: restore images of a lens whose PSF changes from the axis to the corner."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_count, refuse_number
from dgno.classical.convolution import LinearBlur
from dgno.classical.planes import check_finite_values
from dgno.classical.total_variation import total_variation
from dgno.errors import ConfigError

Plane = Float[Tensor, "h w"]
Object = Float[Tensor, "h2 w2"]


def ring_deconvolve(
    blurred: Float[Tensor, "b c h w"],
    blur: LinearBlur,
    *,
    num_iter: int = 150,
    step: float = 5e-2,
    tv: float = 1e-10,
    l2: float = 1e-10,
    l1: float = 0.0,
) -> Float[Tensor, "b c h w"]:
    """Minimise, over x >= 0,    |A x - y|^2 + tv TV(x) + l2 |x| + l1 |x|_1    by Adam, beginning at the image.

    blurred : values around [0, 1], of the shape that `blur` was made for
    blur : A, usually a `RingBlur`
    step : of Adam; falls to 0 along half a cosine, without which the last steps are noise
    tv, l2, l1 : weights of total variation, norm and sum; larger ones smooth and darken

    The estimate comes back as it is, in the units of `blurred`: the reference (Kohli et al. 2025, Nature Methods 22,
    1311), whose objective and numbers these are, stretches input and result to the range [0, 1].
    Raises ConfigError, NonFiniteInput.
    """
    problems = refuse_count("num_iter", num_iter, 1) + refuse_number("step", step, 0, above_lowest=True)
    for name, weight in (("tv", tv), ("l2", l2), ("l1", l1)):
        problems += refuse_number(name, weight, 0)
    if problems:
        raise ConfigError("ring deconvolution cannot run like this", why="; ".join(problems))
    check_finite_values(blurred)

    def objective(x: Object, y: Plane) -> Float[Tensor, ""]:
        fit = (blur.apply(x) - y).square().sum()
        return fit + tv * total_variation(x) + l2 * x.norm() + l1 * x.abs().sum()

    def restored(y: Plane) -> Plane:
        height, width = y.shape
        margin = (blur.adjoint(torch.zeros_like(y)).shape[-2] - height) // 2
        x = F.pad(y[None, None], (margin,) * 4, mode="replicate")[0, 0].clamp(min=0).requires_grad_()
        adam = torch.optim.Adam([x], lr=step)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, num_iter)
        for _ in range(num_iter):
            adam.zero_grad()
            objective(x, y).backward()
            adam.step()
            schedule.step()
            with torch.no_grad():
                x.clamp_(min=0)
        return x.detach()[margin : margin + height, margin : margin + width]

    with torch.enable_grad():  # restorers run without gradients
        return torch.stack([restored(plane) for plane in blurred.flatten(0, 1)]).reshape(blurred.shape)
