"""What is wrong, or odd, with the numbers of weights; and the cast to float32, in which networks compute."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dgno.errors import CheckpointMismatch, CorruptCheckpoint, DgnoWarning, printable

SMALLEST = torch.finfo(torch.float32).tiny  # smaller numbers than this have fewer digits


def as_float32(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors in float32; float16 and bfloat16 fit exactly.

    Warns (DgnoWarning) of float64, which is rounded, of weights that are all zero, and of numbers so small that float32
    keeps only some of their digits. Raises CheckpointMismatch for what is no floating-point number, CorruptCheckpoint
    for values beyond float32.
    """
    others = [f"{name} is {tensor.dtype}" for name, tensor in tensors.items() if not tensor.is_floating_point()]
    if others:
        raise CheckpointMismatch("the weights are no floating-point numbers", path=path, why=others[0])
    cast = {name: tensor.float() for name, tensor in tensors.items()}
    beyond = [name for name, tensor in cast.items() if not tensor.isfinite().all()]
    if beyond:
        raise CorruptCheckpoint(
            "the weights hold values that are NaN, infinite or beyond float32", path=path, why=f"in {beyond[0]}"
        )
    for remark in _remarks(tensors, cast):
        warnings.warn(f"{printable(path)}: {remark}", DgnoWarning, stacklevel=3)
    return cast


def _remarks(tensors: Mapping[str, Tensor], cast: Mapping[str, Tensor]) -> list[str]:
    remarks = []
    if any(tensor.dtype == torch.float64 for tensor in tensors.values()):
        remarks.append("the weights are float64; they are rounded to float32")
    if not any(tensor.any() for tensor in cast.values()):
        remarks.append("all weights are zero; this is no trained network")
    if tiny := sum(int(((t != 0) & (t.abs() < SMALLEST)).sum()) for t in cast.values()):
        remarks.append(
            f"denormal numbers among the weights: {tiny}, below {SMALLEST:.1e}; this is hardly a trained network"
        )
    return remarks
