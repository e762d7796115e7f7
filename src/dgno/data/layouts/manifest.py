"""Pairs listed in a CSV file: columns input, target and, where wanted, mask, labels, meta, group, split.

Paths are relative to the file. An empty input means that it is simulated from the target; meta is a JSON object.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from dgno.data.records import SPLITS, Record
from dgno.errors import ConfigError, MissingInput, UnreadableInput

COLUMNS = ("input", "target", "mask", "labels", "meta", "group", "split")


def read_manifest(path: Path) -> list[Record]:
    """The pairs of a manifest, a CSV file or the only one in a folder; the group defaults to the target's path.

    Raises MissingInput, ConfigError (columns, an empty list, one pair twice, meta), UnreadableInput. All name the file
    and the line.
    """
    path = _only_csv(path) if path.is_dir() else path
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            _refuse_columns(path, list(reader.fieldnames or []))
            lines = [(reader.line_num, line) for line in reader]
    except FileNotFoundError as error:
        raise MissingInput("there is no such manifest", path=path, hint="check the name") from error
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        hint = "save it as CSV in UTF-8, with commas"
        raise UnreadableInput("the manifest cannot be read", path=path, why=str(error)[:200], hint=hint) from error
    if not lines:
        raise ConfigError("the manifest lists nothing", path=path, hint="one line a pair, below the header")
    records = [_record(path, number, line) for number, line in lines]
    seen: dict[str, int] = {}
    for (number, _), record in zip(lines, records, strict=True):
        if record.key in seen:
            why = f"line {number} says again what line {seen[record.key]} says"
            raise ConfigError("the manifest lists a pair twice", path=path, why=why, hint="remove one")
        seen[record.key] = number
    return records


def is_manifest(path: Path) -> bool:
    """Has this CSV file the columns input and target?"""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {"input", "target"} <= set(next(csv.reader(file), []))
    except (OSError, csv.Error, UnicodeDecodeError):
        return False


def _only_csv(folder: Path) -> Path:
    found = [path for path in sorted(folder.glob("*.csv")) if is_manifest(path)]
    if len(found) != 1:
        why = f"it has {len(found)} CSV files with the columns input and target"
        raise ConfigError("the folder has no manifest", path=folder, why=why, hint="name the file itself")
    return found[0]


def _refuse_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in COLUMNS[:2] if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS]
    if missing or unknown or len(set(columns)) < len(columns):
        why = f"it has {', '.join(columns) or 'none'}; wanted input, target and, if need be, {', '.join(COLUMNS[2:])}"
        is_one = any(mark in column for column in columns for mark in ";\t")
        hint = "separate the columns by commas" if is_one else "put what else there is into meta"
        raise ConfigError("the manifest has other columns", path=path, why=why, hint=hint)


def _record(path: Path, number: int, line: Mapping[str, str | None]) -> Record:
    if None in line or any(value is None for value in line.values()):
        raise ConfigError("a line has not as many fields as the header", path=path, why=f"line {number}")
    given = {name: (value or "").strip() for name, value in line.items()}
    if not given["target"]:
        raise ConfigError("a line names no target", path=path, why=f"line {number}")
    files = {name: path.parent / given[name] for name in ("input", "target", "mask", "labels") if given.get(name)}
    for name, file in files.items():
        if not file.is_file():
            why = f"line {number} of {path.name} names it as {name}"
            raise MissingInput("there is no such file", path=file, why=why, hint="paths are relative to the manifest")
    split = given.get("split", "")
    if split and split.casefold() not in SPLITS:
        raise ConfigError(f"split is {split!r}", path=path, why=f"line {number}; wanted train, val or test")
    return Record(
        f"{given['input']} -> {given['target']}" if given["input"] else given["target"],
        files.get("input"),
        files["target"],
        given.get("group") or given["target"],
        SPLITS.get(split.casefold(), ""),
        mask=files.get("mask"),
        labels=files.get("labels"),
        meta=_meta(path, number, given.get("meta", "")),
    )


def _meta(path: Path, number: int, text: str) -> dict[str, str]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise ConfigError("meta is no JSON", path=path, why=f"line {number}: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError("meta is no JSON object", path=path, why=f"line {number}", hint='wanted {"name": "value"}')
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}
