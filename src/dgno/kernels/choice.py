"""Which version of a kernel was chosen, and why; what the environment asks for."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from dgno.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """A kernel's version, why it was taken, and whether it is taken where a gradient is wanted."""

    name: str
    reason: str
    has_gradient: bool = True


def asked_for(variable: str, known: Collection[str]) -> Choice | None:
    """What an environment variable asks for, if it does."""
    wanted = os.environ.get(variable)
    if wanted and wanted not in known:
        raise ConfigError(f"{variable}={wanted!r} names no version of the kernel", hint=f"known: {', '.join(known)}")
    return Choice(wanted, f"asked for by {variable}") if wanted else None
