"""Total variation of an image: how much light changes from pixel to pixel, in all."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Plane = Float[Tensor, "*batch h w"]


def gradient(x: Plane) -> tuple[Plane, Plane]:
    """Differences to the next row and column; 0 across the border."""
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    down[..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    right[..., :-1] = x[..., 1:] - x[..., :-1]
    return down, right


def divergence(down: Plane, right: Plane) -> Plane:
    """Minus the transpose of `gradient`."""
    result = torch.zeros_like(down)
    result[..., :-1, :] += down[..., :-1, :]
    result[..., 1:, :] -= down[..., :-1, :]
    result[..., :-1] += right[..., :-1]
    result[..., 1:] -= right[..., :-1]
    return result


def total_variation(x: Plane, *, smoothing: float = 1e-6) -> Float[Tensor, ""]:
    """Sum of sqrt(|grad x|^2 + smoothing^2): isotropic, and differentiable where x is flat.

    Rudin, Osher and Fatemi 1992, doi:10.1016/0167-2789(92)90242-F.
    """
    down, right = gradient(x)
    return (down**2 + right**2 + smoothing**2).sqrt().sum()


def curvature(x: Plane, *, smoothing: float = 1e-6) -> Plane:
    """div(grad x / |grad x|), minus the derivative of the total variation; between -4 and 4."""
    down, right = gradient(x)
    length = (down**2 + right**2 + smoothing**2).sqrt()
    return divergence(down / length, right / length)
