"""Derivatives that only plain tensor code has: along a direction (forward mode), and the transforms of torch.func.

The compiled kernels read memory. What a tensor carries beside its numbers, a tangent or the level of a transform, would
be lost without a word, or is refused by torch: such tensors go through the references.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad


def is_transformed(*tensors: Tensor) -> bool:
    """Does a tensor carry a tangent, or is it inside a transform of torch.func (grad, jvp, vmap, ...)?

    Inside grad and jvp every new tensor is of the transform, so that no kernel could write its results.
    """
    if torch.compiler.is_compiling():  # torch differentiates what it compiles
        return False
    unwrap, unpack = torch.func.debug_unwrap, forward_ad.unpack_dual
    new = torch.empty(0, device="cpu")
    return any(unwrap(t, recurse=False) is not t or unpack(t).tangent is not None for t in (new, *tensors))
