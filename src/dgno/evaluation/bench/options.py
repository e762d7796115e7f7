"""Options of the bench that only some of its names heed."""

from __future__ import annotations

from collections.abc import Sequence

from dgno.errors import ConfigError
from dgno.evaluation.bench.run import Bench

WEIGHTS, DETECTOR = "weights", "detector"


def refuse_options(name: str, bench: Bench, takes: Sequence[str]) -> None:
    """Raise ConfigError for an option that a table would pass over in silence."""
    given = {WEIGHTS: bool(bench.weights), DETECTOR: bool(bench.detector)}
    if vain := [option for option, is_given in given.items() if is_given and option not in takes]:
        raise ConfigError(f"{name} takes no --{vain[0]}", hint=f"leave --{vain[0]} out")


def by_role(options: Sequence[str]) -> dict[str, str]:
    """What was given as ROLE=NAME or ROLE=FILE. Raises ConfigError."""
    found: dict[str, str] = {}
    for option in options:
        role, equals, weights = option.partition("=")
        if not (equals and role and weights):
            raise ConfigError(f"--weights {option!r} names no role", hint="give --weights ROLE=NAME or ROLE=FILE")
        if role in found:
            raise ConfigError(f"--weights {role} is given twice", hint="give each role once")
        found[role] = weights
    return found
