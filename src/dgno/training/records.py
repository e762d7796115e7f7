"""Tables of a TOML file as the records of a configuration, with every problem noted."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dgno.checks import refuse_choice
from dgno.errors import ConfigError
from dgno.networks.config import DGNOConfig
from dgno.networks.presets import FAMILIES, PRESETS

SHOWN = 80  # characters of a wrong value
WANTED = {Path: "a path in quotes", str: "a text in quotes", bool: "true or false"}  # what TOML has for them


def with_preset(network: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """The fields of a [network] table, those of its preset filled in."""
    changed = {key: value for key, value in network.items() if key != "preset"}
    if "preset" not in network:
        return changed
    if wrong := refuse_choice("network.preset", network["preset"], PRESETS):
        problems.extend(wrong)
        return changed
    preset = PRESETS[network["preset"]]
    fields = {key: value for key, value in dataclasses.asdict(preset).items() if value is not None}
    lists = {key: list(value) for key, value in fields.items() if isinstance(value, tuple)}
    return fields | lists | {"family": preset.family} | changed


def read(kind: Any, value: Any, where: str, problems: list[str]) -> Any:
    """Convert a TOML value to the type that a field asks for; note what does not fit."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_record(kind, value, where, problems)
    if origin in (types.UnionType, typing.Union):
        members = [a for a in arguments if a is not type(None)]
        return read(members[0] if len(members) == 1 else _family(value, problems), value, where, problems)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is ... or len(value) == len(arguments):
            kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
            return tuple(
                read(k, v, f"{where}[{i}]", problems) for i, (k, v) in enumerate(zip(kinds, value, strict=True))
            )
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif (
        isinstance(kind, type)
        and origin is None
        and isinstance(value, kind)
        and (kind is bool or not isinstance(value, bool))
    ):
        return value
    wanted = _list_of(arguments) if origin is tuple else WANTED.get(kind, getattr(kind, "__name__", kind))
    problems.append(f"{where} is {repr(value)[:SHOWN]}, wanted {wanted}")
    return None


def _list_of(arguments: tuple[Any, ...]) -> str:
    """What a tuple of these types is in TOML, in words."""
    return "a list" if arguments[-1] is ... else f"a list of {len(arguments)}"


def _unknown(keys: list[str], known: Iterable[str], prefix: str) -> list[str]:
    """Keys that a table does not have: with the nearest that it has, or once with all of them."""
    known, problems = tuple(known), []
    for key in keys:
        nearest = difflib.get_close_matches(key, known, n=1)
        problems.append(f"unknown key {prefix + key!r}" + (f", did you mean {nearest[0]!r}?" if nearest else ""))
    far = [i for i, problem in enumerate(problems) if not problem.endswith("?")]
    if far:
        problems[far[-1]] += f", known: {', '.join(known)}"
    return problems


def _family(network: Any, problems: list[str]) -> type:
    """The record that a [network] table is read as: `family` names it, by default a DGNO."""
    name = network.pop("family", DGNOConfig.family) if isinstance(network, dict) else DGNOConfig.family
    problems += refuse_choice("network.family", name, FAMILIES)
    return FAMILIES.get(name, DGNOConfig)


def _read_record(kind: Any, value: Any, where: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{where} is {repr(value)[:SHOWN]}, wanted a table")
        return None
    known, types_ = {f.name: f for f in dataclasses.fields(kind)}, typing.get_type_hints(kind)
    prefix = f"{where}." if where else ""
    problems += _unknown([key for key in value if key not in known], known, prefix)
    required = [
        n for n, f in known.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    problems += [f"{prefix}{name} is missing" for name in required if name not in value]
    before = len(problems)
    found = {key: read(types_[key], value[key], prefix + key, problems) for key in value if key in known}
    if len(problems) > before or any(name not in value for name in required):
        return None
    try:
        return kind(**found)
    except ConfigError as error:
        problems.append(f"{where or 'configuration'}: {error}")
        return None
