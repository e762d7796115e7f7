"""What torch makes new tensors of while dgno runs, whatever its user has set for programs of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def own_defaults() -> Iterator[None]:
    """Meanwhile, or in a function that this decorates, new tensors are float32 and in the machine's memory.

    Nothing is touched where they are so anyway: the default dtype is one for all threads.
    """
    dtype = torch.get_default_dtype()
    device = torch.device("cpu") if torch.get_default_device().type != "cpu" else contextlib.nullcontext()
    if dtype != torch.float32:
        torch.set_default_dtype(torch.float32)
    try:
        with device:
            yield
    finally:
        if dtype != torch.float32:
            torch.set_default_dtype(dtype)
