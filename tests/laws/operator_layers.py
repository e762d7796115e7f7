"""Operator layers for the tests of their laws: all choices by name, parameters away from their start values."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from dgno.networks.config import CHOICES, DGNOConfig
from dgno.networks.presets import make_operator
from dgno.operators.dg import DGOperator

FLUXES, BOUNDARIES = CHOICES["flux"], CHOICES["boundary"]
TRACES, CONVENTIONS = CHOICES["traces"], CHOICES["convention"]
SYMMETRIC = ("central", "upwind", "upwind_frobenius")  # fluxes that are the same seen from both sides
TAU, ELEMENT = 0.3125, 4  # a tau that float32 holds exactly


def make_layer(
    *, dim: int = 16, heads: int = 4, element_size: int = ELEMENT, tau: float = TAU, **choices: str
) -> DGOperator:
    """A layer in convention `paper` unless said. All layers have the same parameters, named alike: random, but tau."""
    settings = {"convention": "paper", **choices}
    config = DGNOConfig(width=dim, heads=heads, element_size=element_size, tau=tau, **settings)
    layer = make_operator(config, dim)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if parameter.ndim:  # not tau
                random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                spread = 0.5 if "norm" in name else parameter.shape[-1] ** -0.5
                offset = 1.0 if "norm.weight" in name else 0.0
                parameter.copy_(offset + spread * torch.randn(parameter.shape, generator=random))
    return layer


def operators_of(layer: DGOperator, z: Tensor) -> Tensor:
    """The matrix K of every element and head: (b, rows, columns, heads, d, d)."""
    return layer.operators(layer.project(z)[1])


@dataclass(frozen=True)
class Precision:
    """A dtype, and how closely laws hold in it. float64 runs in plain tensor code, float32 in the compiled kernels."""

    dtype: torch.dtype
    tolerance: float

    def layer(self, **choices: object) -> DGOperator:
        return make_layer(**choices).to(self.dtype)  # type: ignore[arg-type]

    def field(
        self, rows: int = 3, columns: int = 4, *, b: int = 2, element_size: int = ELEMENT, dim: int = 16
    ) -> Tensor:
        """A random map of rows x columns elements."""
        random = torch.Generator().manual_seed(rows * 100 + columns)
        shape = (b, dim, rows * element_size, columns * element_size)
        return torch.randn(shape, generator=random, dtype=torch.float64).to(self.dtype)

    def equal(self, a: Tensor, b: Tensor) -> bool:
        """Equal up to the tolerance, relative to the largest value."""
        assert a.shape == b.shape
        return bool((a - b).abs().max() <= self.tolerance * b.abs().max())

    def differ(self, a: Tensor, b: Tensor) -> bool:
        """Different by more than rounding could explain."""
        assert a.shape == b.shape
        return bool((a - b).abs().max() > 100 * self.tolerance * b.abs().max())
