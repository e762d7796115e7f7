"""What a checkpoint belongs to: the configuration and the data of its run; and which changes a run can go on with.

A run may be made longer or shorter, and what changes no step may be changed. Anything else would be another run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dgno.errors import ResumeError, printable
from dgno.training.batches import Listed
from dgno.training.config import Stage, TrainConfig

CONFIGURATION, DATA = "configuration", "list of data files"
HARMLESS = ("checkpoint_every", "validate_every", "image")  # they change no step
NAMED, SHOWN = 6, 60  # keys of another configuration that are told, and characters of a value


@dataclass(frozen=True)
class Belonging:
    """The configuration without its places, so that folders may be moved, and names and sizes of the data files."""

    config: TrainConfig
    listed: Listed

    @classmethod
    def of(cls, config: TrainConfig, listed: Listed) -> Belonging:
        init = config.init and Path(config.init.name)
        pairs = config.pairs and replace(config.pairs, split_file=None)  # what it says is in the list
        return cls(replace(config, out=Path(), data=Path(), init=init, pairs=pairs, skip_bad=False), listed)

    @property
    def digests(self) -> dict[str, str]:
        """What both are known by."""
        return {CONFIGURATION: _sha256(repr(self.config)), DATA: _sha256(repr(self.listed))}

    def facts(self) -> dict[str, Any]:
        """What a checkpoint is to keep of it; Any: as JSON has it."""
        return {"belongs to": self.digests, "settings": _settings(self.config)}

    def refuse_other(self, begun: Mapping[str, Any], place: Path) -> list[str]:
        """Refuse a checkpoint with facts of another run, and say what is wrong. Returns harmless changes, in words.

        Raises ResumeError.
        """
        digests, now = begun.get("belongs to", {}), self.facts()
        differing = [name for name, digest in now["belongs to"].items() if digests.get(name) != digest]
        if not differing:
            return []
        then = begun.get("settings")  # no checkpoint of earlier versions has them
        if differing == [CONFIGURATION] and then and self._continues(then, begun):
            return _changes(then, now["settings"])
        why = ""
        if CONFIGURATION in differing:
            why = "which of its keys differ is not kept there" if then is None else _in_words(then, now["settings"])
        raise ResumeError(
            f"the checkpoint belongs to {' and '.join(f'another {name}' for name in differing)}",
            path=place,
            why=why,
            hint=f"resume as the run was begun, or give another `out`{_start(place)}",
        )

    def _continues(self, then: Mapping[str, Any], begun: Mapping[str, Any]) -> bool:
        """Is this the configuration of the checkpoint, but for what is harmless and where stages end?"""
        now = _settings(self.config)
        if any(then.get(key) != now[key] for key in now if key not in (*HARMLESS, "stages")):
            return False
        stages = tuple(Stage(**stage) for stage in then["stages"])
        as_begun = replace(self.config, stages=stages, **{key: then[key] for key in HARMLESS})
        may_go_on = _end_elsewhere(stages, self.config.stages, begun["step"])
        return may_go_on and _sha256(repr(as_begun)) == begun["belongs to"].get(CONFIGURATION)


def _end_elsewhere(then: tuple[Stage, ...], now: tuple[Stage, ...], step: int) -> bool:
    """Do stages differ in where they end alone, no end being before this step or having been passed by it?"""
    if any(replace(one, until=other.until) != other for one, other in zip(then, now, strict=False)):
        return False
    return now[-1].until >= step and [s.until for s in then if s.until < step] == [
        s.until for s in now if s.until < step
    ]


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs where a run goes on, a line for each."""
    lines = [f"{key} was {then[key]} and is {now[key]}" for key in HARMLESS if then[key] != now[key]]
    if then["stages"] != now["stages"]:
        before, after = (settings["stages"][-1]["until"] for settings in (then, now))
        rate = f"the learning rate goes on as in one of {after}"
        if after == before:
            lines.append("the stages that are to come end at other steps")
        else:
            length = "longer" if after > before else "shorter"
            lines.append(f"the run is {length}, {after} steps, not {before}: {rate}")
    return lines


def _in_words(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The keys that differ, with their values."""
    old, new = _flat(then), _flat(now)
    keys = [key for key in old | new if key not in old or key not in new or old[key] != new[key]]
    said = [f"{key} was {_shown(old, key)} and is {_shown(new, key)}" for key in keys[:NAMED]]
    more = [f"{len(keys) - NAMED} more"] if len(keys) > NAMED else []
    return "; ".join(said + more)


def _shown(settings: Mapping[str, Any], key: str) -> str:
    text = json.dumps(settings[key], ensure_ascii=False) if settings.get(key) is not None else "not given"
    return printable(text if len(text) <= SHOWN else text[:SHOWN] + "...")


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Tables within each other as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return flat


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON has it."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config), default=os.fspath))
    return settings


def _start(place: Path) -> str:
    """How a new run starts from what the old one has learnt."""
    return f', with `init = "{printable(place.absolute())}"` to start from what was learnt'


def _sha256(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()
