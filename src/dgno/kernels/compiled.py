"""Find and load the libraries that were compiled when dgno was installed."""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
from pathlib import Path

import torch
from torch import Tensor


@functools.cache
def load_library(name: str) -> ctypes.CDLL:
    """Load a compiled kernel by name; an OSError says why that cannot be done."""
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(__file__).parent / f"_{name}{suffix}"
        if path.exists():
            return ctypes.CDLL(str(path))
    raise OSError("not compiled: no C compiler was found when dgno was installed")


class Arguments(ctypes.Structure):
    """Base of the structures that mirror those of the C sources: lengths first, then pointers to float32 tensors."""

    def point(self, **tensors: Tensor | None) -> None:
        """Let the named fields point to the tensors' memory; the caller keeps the tensors alive and contiguous."""
        for name, tensor in tensors.items():
            setattr(self, name, None if tensor is None else tensor.data_ptr())


def fields(lengths: tuple[str, ...], pointers: tuple[str, ...]) -> list[tuple[str, type]]:
    """The `_fields_` of a structure of C longs and pointers."""
    return [(name, ctypes.c_long) for name in lengths] + [(name, ctypes.c_void_p) for name in pointers]


def check_plain(**tensors: Tensor) -> None:
    """Refuse tensors that the C code would misread: it takes float32 in the machine's memory."""
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ValueError(f"{name} is {tensor.dtype} on {tensor.device.type}, wanted float32 on the CPU")


def check_no_gradient(*tensors: Tensor) -> None:
    """Refuse tensors whose gradient is wanted, where there would be none."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise RuntimeError("this kernel has no gradient: call it under torch.no_grad(), or use its layers")


def channels_last(x: Tensor) -> Tensor:
    """The map without its history, the channels of a pixel side by side in memory."""
    return x.detach().contiguous(memory_format=torch.channels_last)
