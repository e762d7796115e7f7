"""The Galerkin-type kernel integral inside an element, and its traces on the faces.

Keys and values are normalised token by token and contracted over the tokens: the coefficients of a kernel integral
k(x, y) = q(x) . K(y) in a basis that lives in one element (DGNO paper, Eq. 9-15; Galerkin attention, Cao 2021,
arXiv:2105.14995, in the form of SRNO, Wei and Zhang 2023). The products themselves are `kernels/dg_operator.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgno.kernels import backends
from dgno.kernels.dg_operator import Operators


class HeadNorm(nn.Module):
    """Weight and bias of the normalisation of keys or values, per head and channel."""

    def __init__(self, heads: int, d: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, 1, d))
        self.bias = nn.Parameter(torch.zeros(heads, 1, d))

    def stacked(self) -> Float[Tensor, "2 heads d"]:
        return torch.stack([self.weight[:, 0], self.bias[:, 0]])


class Traces(NamedTuple):
    """The operators of every element as its four faces see them."""

    left: Operators
    right: Operators
    top: Operators
    bottom: Operators


class Integral(NamedTuple):
    """The operator of every element, Eq. 11, and what its faces see of it; no traces where there are no fluxes."""

    volume: Operators
    traces: Traces | None


def no_traces(kv: Tensor, key_norm: Tensor, value_norm: Tensor, size: tuple[int, int]) -> Integral:
    """Uncoupled elements (LG), or one element that is the whole plane (GG)."""
    volume, _ = backends.integrate(kv, key_norm, value_norm, size, sides=False)
    return Integral(volume, None)


def cell_traces(kv: Tensor, key_norm: Tensor, value_norm: Tensor, size: tuple[int, int]) -> Integral:
    """P0DG (variant Cell), Eq. 15: constant in the element, so every face sees the element's own operator."""
    volume, _ = backends.integrate(kv, key_norm, value_norm, size, sides=False)
    return Integral(volume, Traces(volume, volume, volume, volume))


def face_traces(kv: Tensor, key_norm: Tensor, value_norm: Tensor, size: tuple[int, int]) -> Integral:
    """Variant Face, Eq. 14: every side has an operator from the tokens of the row or column that touches it."""
    volume, sides = backends.integrate(kv, key_norm, value_norm, size, sides=True)
    assert sides is not None
    return Integral(volume, Traces(*sides))
