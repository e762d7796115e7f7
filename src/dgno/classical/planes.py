"""Apply a method for single gray planes to a batch of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from dgno.errors import NonFiniteInput

Gray = Float64[np.ndarray, "h w"]


def on_planes(
    method: Callable[[Gray], Gray], images: Float[Tensor, "b c h w"], *, margin: int
) -> Float[Tensor, "b c h w"]:
    """`method` applied to every channel on its own, each continued by reflection over `margin` px and cut back after.

    The Fourier transform joins opposite borders of an image; the margin keeps them from disturbing each other. What
    comes back has the dtype of `images`. Raises NonFiniteInput.
    """
    check_finite_values(images)
    planes = []
    for plane in images.flatten(0, 1).double().numpy():
        padded = np.pad(plane, margin, mode="symmetric")
        planes.append(method(padded)[margin : margin + plane.shape[0], margin : margin + plane.shape[1]])
    return torch.from_numpy(np.stack(planes)).to(images.dtype).reshape(images.shape)


def check_finite_values(images: Float[Tensor, "*batch h w"]) -> None:
    """Refuse NaN and infinity, which a deconvolution would spread over the whole plane."""
    if bad := int((~torch.isfinite(images)).sum()):
        hint = "replace them before; `dgno restore` has --nonfinite"
        raise NonFiniteInput(f"{bad} values are NaN or infinite", hint=hint)
