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
    """`method` applied to every channel on its own, each continued over `2 * margin` px and cut back after.

    The Fourier transform joins opposite borders of an image; over the margin one's mirror image fades into the other's.
    What comes back has the dtype of `images`. Raises NonFiniteInput.
    """
    check_finite_values(images)
    planes = []
    for plane in images.flatten(0, 1).double().numpy():
        joined = _joined(_joined(plane, margin).T, margin).T
        planes.append(method(joined)[: plane.shape[0], : plane.shape[1]])
    return torch.from_numpy(np.stack(planes)).to(images.dtype).reshape(images.shape)


def _joined(plane: Gray, margin: int) -> Float64[np.ndarray, "h2 w"]:
    """The plane, and below it rows that lead from its last back to its first one."""
    after = np.pad(plane, ((0, 2 * margin), (0, 0)), mode="symmetric")[len(plane) :]
    before = np.pad(plane, ((2 * margin, 0), (0, 0)), mode="symmetric")[: 2 * margin]
    share = (1 - np.cos(np.pi * (np.arange(2 * margin) + 0.5) / (2 * margin)))[:, None] / 2
    return np.concatenate([plane, (1 - share) * after + share * before])


def check_finite_values(images: Float[Tensor, "*batch h w"]) -> None:
    """Refuse NaN and infinity, which a deconvolution would spread over the whole plane."""
    if bad := int((~torch.isfinite(images)).sum()):
        hint = "replace them before; `dgno restore` has --nonfinite"
        raise NonFiniteInput(f"{bad} values are NaN or infinite", hint=hint)
