"""What the products of compiled kernels multiply: floats, or the two bfloat16 that each is nearly the sum of.

Three products of bfloat16 in tiles (AMX) stand for one of float32: 17 bits of it, several times as fast. That is one of
the ways to multiply that `torch.set_float32_matmul_precision("high")` allows, and is taken where that was said, or the
environment variable DGNO_PRODUCTS asks for it (floats or pairs). See `products_tiles.h`.
"""

from __future__ import annotations

import torch

from dgno.errors import ConfigError
from dgno.kernels.choice import Choice, asked_for
from dgno.kernels.compiled import CompiledKernel
from dgno.kernels.packing import MOST_INPUTS

PARTS = {"floats": 0, "pairs": 2}  # of bfloat16 that a float is cut into
FEWEST = 32  # inputs of which the cut pays


def choose_products(kernel: CompiledKernel) -> Choice:
    """How a kernel multiplies float32."""
    no_tiles = "" if kernel.has_tiles() else "this processor has no tiles (AMX)"
    if wanted := asked_for("DGNO_PRODUCTS", PARTS):
        if wanted.name == "pairs" and no_tiles:
            raise ConfigError("DGNO_PRODUCTS='pairs'", why=no_tiles, hint="leave it out")
        return wanted
    if torch.get_float32_matmul_precision() == "highest":
        return Choice("floats", "torch's float32_matmul_precision is highest")
    return Choice("floats", no_tiles) if no_tiles else Choice("pairs", "sums of two bfloat16, in tiles (AMX)")


def parts_of(kernel: CompiledKernel, *inputs: int, half: bool = False) -> int:
    """The bfloat16 that a kernel cuts the factors of its linear maps into, of so many inputs each; 0: none.

    half : one, to which they are rounded, where the processor can
    """
    if max(inputs) > MOST_INPUTS:
        return 0
    if half and kernel.has_half():
        return 1
    return PARTS[choose_products(kernel).name] if min(inputs) >= FEWEST else 0
