"""What the products of compiled kernels multiply: floats, or the two bfloat16 that each is nearly the sum of.

Three products of bfloat16 in tiles (AMX) stand for one of float32: 17 bits of it, several times as fast. That is one of
the ways to multiply that `torch.set_float32_matmul_precision("high")` allows, and is taken where that was said, or the
environment variable DGNO_PRODUCTS asks for it (floats or pairs); `multiplied_as` overrules both. See
`products_tiles.h`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

from dgno.errors import ConfigError
from dgno.kernels.choice import Choice, asked_for
from dgno.kernels.compiled import CompiledKernel
from dgno.kernels.packing import MOST_INPUTS

FLOATS, PAIRS = "floats", "pairs"
PARTS = {FLOATS: 0, PAIRS: 2}  # of bfloat16 that a float is cut into
FEWEST = 32  # inputs of which the cut pays
NO_TILES = "no tiles (AMX) that may be used here"
_TOLD: ContextVar[str | None] = ContextVar("_TOLD", default=None)


@contextlib.contextmanager
def multiplied_as(products: str) -> Iterator[None]:
    """Meanwhile float32 is multiplied so, FLOATS or PAIRS, by this thread; as pairs where the processor can."""
    token = _TOLD.set(products)
    try:
        yield
    finally:
        _TOLD.reset(token)


def choose_products(kernel: CompiledKernel) -> Choice:
    """How a kernel multiplies float32."""
    has_tiles, told = kernel.has_tiles(), _TOLD.get()
    if told is None and (wanted := asked_for("DGNO_PRODUCTS", PARTS)):
        if wanted.name == PAIRS and not has_tiles:
            raise ConfigError("DGNO_PRODUCTS='pairs'", why=NO_TILES, hint="leave it out")
        return wanted
    if told == FLOATS or (told is None and not _torch_allows_pairs()):
        return Choice(FLOATS, "all bits are asked for")
    return Choice(PAIRS, "sums of two bfloat16, in tiles (AMX)") if has_tiles else Choice(FLOATS, NO_TILES)


def _torch_allows_pairs() -> bool:
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # some backend was set by its own name
        return torch.backends.mkldnn.matmul.fp32_precision not in ("none", "ieee")  # type: ignore[attr-defined]


def parts_of(kernel: CompiledKernel, *inputs: int, half: bool = False) -> int:
    """The bfloat16 that a kernel cuts the factors of its linear maps into, of so many inputs each; 0: none.

    half : one, to which they are rounded, where the processor can
    """
    if max(inputs) > MOST_INPUTS:
        return 0
    if half and kernel.has_half():
        return 1
    return PARTS[choose_products(kernel).name] if min(inputs) >= FEWEST else 0
