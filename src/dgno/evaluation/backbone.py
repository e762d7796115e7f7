"""LPIPS with a backbone that the user brings as one TorchScript file; nothing is downloaded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from dgno.errors import ConfigError, MissingInput
from dgno.metrics import lpips


def load_lpips(path: Path) -> Callable[[Tensor, Tensor, float], float]:
    """LPIPS of two images (1, c, h, w) and their range, by the backbone in a TorchScript file.

    The module takes images (b, 3, h, w), shifted and scaled as `metrics.lpips` says, and gives the list of its maps;
    its buffers linear0, linear1, ... are the learnt weights of each map. TorchScript is a program: load files of
    people whom you trust. Raises MissingInput, ConfigError.
    """
    if not path.is_file():
        raise MissingInput("there is no such backbone", path=path, hint="check the name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript: no other format holds a program
            module = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        raise ConfigError(
            "the backbone of LPIPS cannot be read", path=path, why=why, hint="save TorchScript"
        ) from error
    buffers = dict(module.named_buffers())
    weights = [buffers[name].flatten() for i in range(len(buffers)) if (name := f"linear{i}") in buffers]
    if not weights:
        hint = "register the weights of each map as buffers linear0, linear1, ..."
        raise ConfigError("the backbone of LPIPS has no linear weights", path=path, hint=hint)

    def distance(image: Tensor, reference: Tensor, data_range: float) -> float:
        try:
            return lpips(image.float(), reference.float(), module, weights, data_range=data_range)
        except (RuntimeError, ValueError) as error:
            why = " ".join(str(error).split())[-200:]
            raise ConfigError("the backbone of LPIPS cannot take the image", path=path, why=why) from error

    return distance
