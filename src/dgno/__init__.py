"""dgno: remove defocus and motion blur from microscopy and pathology images.

    import dgno
    restored = dgno.restore(image)               # numpy in, the same shape and dtype out
    found = dgno.assess(image)                   # where and how it is blurred
    network = dgno.load("fluorescence-nano")     # a torch.nn.Module in eval mode

Importing this package is light: torch is imported when something of it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dgno import networks
    from dgno.api import assess, load, restore, simulate
    from dgno.arrays import Image

__all__ = ["Image", "__version__", "assess", "load", "networks", "restore", "simulate"]

_HOMES = {name: "dgno.api" for name in ("assess", "load", "restore", "simulate")} | {"Image": "dgno.arrays"}


def __getattr__(name: str) -> object:
    if name == "networks":
        return importlib.import_module("dgno.networks")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dgno' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
