"""What stands in the catalogue beside tables of trained rows: it measures and draws in a way of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dgno.errors import ConfigError
from dgno.evaluation.bench.run import Bench, Progress, Remark
from dgno.evaluation.bench.table import Table

Findings = tuple[list[Table], list[str]]  # tables, and the names of the files beside table.md


@dataclass(frozen=True)
class Study:
    """A name of the catalogue.

    title : what it compares
    run : measures it, and writes files into the folder that it is given
    takes : options of the bench that it heeds, of "weights" and "detector"
    """

    title: str
    run: Callable[[Bench, Path, Progress, Remark], Findings]
    takes: tuple[str, ...] = ()


def refuse_options(name: str, bench: Bench, takes: tuple[str, ...]) -> None:
    """Raise ConfigError for an option that a table would pass over in silence."""
    given = {"weights": bool(bench.weights), "detector": bool(bench.detector)}
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
