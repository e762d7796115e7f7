"""Sharp images alone: the input of every pair is simulated when it is needed (`dgno simulate`, `data.scenes`)."""

from __future__ import annotations

import os
from pathlib import Path

from dgno.data.records import NO_SET, Record, entries, images_in, split_folders
from dgno.errors import ConfigError
from dgno.io.output import FORMATS


def read_self_blur(folder: Path) -> list[Record]:
    """Every image below `folder`, or below its train, val and test; each is a group, and `input` is None.

    Raises ConfigError (no images), MissingInput, NotAFile.
    """
    splits = split_folders(folder)
    found = [(split, path) for split, place in splits.items() for path in _below(place)]
    if not found:
        hint = f"wanted files that end in {', '.join(FORMATS)}"
        raise ConfigError(NO_SET, path=folder, why="it holds no images", hint=hint)
    names = [path.relative_to(folder).as_posix() for _, path in found]
    return [Record(name, None, path, name, split) for name, (split, path) in zip(names, found, strict=True)]


def _below(folder: Path) -> list[Path]:
    entries(folder)  # raises for what is no folder
    found: list[Path] = []
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if any(Path(name).suffix.lower() in FORMATS and not name.startswith(".") for name in names):
            found += images_in(Path(place))
    return found
