"""How a data set is read from disk: its layout, what is taken of it, and how it is divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgno.checks import refuse_choice, refuse_count, refuse_number
from dgno.data.focus import MEASURES
from dgno.data.layouts import LAYOUTS, guess_layout
from dgno.data.layouts.dpdd import VIEWS
from dgno.data.records import Record
from dgno.data.splits import NAMES, GroupOf, assign, by_field, by_group, official, read_splits, split_records
from dgno.errors import ConfigError

SPLIT_BY: dict[str, GroupOf] = {"group": by_group, "field": by_field}
NOT_GIVEN: dict[str, object] = {
    "planes": (), "sharp_plane": None, "view": "", "key": "", "group": "", "per_target": 1, "measure": "",
    "step": None, "register": True, "blur": "",
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """How a data set is read from disk. What is not given is as its layout has it.

    layout : "auto", or a name of `layouts.LAYOUTS`
    channel : only this one; the split is drawn before, so it is the same for every channel
    planes, sharp_plane : numbers of the blurred planes and of the sharp one
    view : of DPDD, "c", "l" or "r"
    key, group : regular expressions for what pairs images, and what must stay together, in their names
    per_target : how many blurred images every sharp one has; 0: one or more
    measure, step, register : of focus, um between planes, and whether planes are moved onto the sharp one
    blur : of DBMID, "defocus", "motion" or "mixed"
    split_file : CSV list of splits by group; goes before the split that the data set may have of its own
    split_by, seed : how a data set without a split is divided, 4 : 1: no group parted, or no "field" (one site of a
        well of BBBC006); and what the draw starts from. The planes that are read change nothing
    """

    layout: str = "auto"
    channel: str = ""
    planes: tuple[int, ...] = ()
    sharp_plane: int | None = None
    view: str = ""
    key: str = ""
    group: str = ""
    per_target: int = 1
    measure: str = ""
    step: float | None = None
    register: bool = True
    blur: str = ""
    split_file: Path | None = None
    split_by: str = "group"
    seed: int = 0

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise ConfigError("the data set cannot be read so", why="; ".join(problems))

    def _problems(self) -> list[str]:
        problems = refuse_choice("layout", self.layout, ("auto", *LAYOUTS))
        problems += refuse_choice("view", self.view, ("", *VIEWS))
        problems += refuse_choice("measure", self.measure, ("", *MEASURES))
        problems += refuse_choice("split_by", self.split_by, SPLIT_BY)
        problems += refuse_count("seed", self.seed, 0) + refuse_count("per_target", self.per_target, 0)
        for i, plane in enumerate(self.planes):
            problems += refuse_count(f"planes[{i}]", plane, 0)
        return problems + ([] if self.step is None else refuse_number("step", self.step, 0, above_lowest=True))

    def records(self, folder: Path, split: str = "") -> list[Record]:
        """The pairs of a data set, or of one split of it.

        split : "train", "val" or "test", drawn where the data set has none; "": all pairs, and nothing is drawn
        Raises what the reader does, and ConfigError: an option that the layout does not know, a split or a channel
        that is not there.
        """
        if problems := refuse_choice("split", split, ("", *NAMES)):
            raise ConfigError(problems[0])
        return only_split(self.divided(folder) if split else self._all(folder, draw=False), split, folder)

    def divided(self, folder: Path) -> list[Record]:
        """All pairs, each with a split. Raises as `records` does, and ConfigError where only some name theirs."""
        return official(self._all(folder, draw=True))

    def layout_of(self, folder: Path) -> str:
        """The name of the layout: as it was given, or guessed."""
        return guess_layout(folder) if self.layout == "auto" else self.layout

    def _read(self, folder: Path) -> list[Record]:
        name = self.layout_of(folder)
        layout = LAYOUTS[name]
        given = {key: value for key, none in NOT_GIVEN.items() if (value := getattr(self, key)) != none}
        if unknown := given.keys() - set(layout.options):
            known = ", ".join(option for option in layout.options if option in NOT_GIVEN) or "none"
            why = f"it was given {', '.join(sorted(unknown))}; it takes {known}"
            raise ConfigError(f"layout {name} does not know the option", path=folder, why=why, hint="leave it out")
        if given.get("per_target") == 0:
            given["per_target"] = None
        return layout.read(folder, **given)

    def _all(self, folder: Path, *, draw: bool) -> list[Record]:
        records = self._read(folder)
        if self.split_file is not None:
            records = assign(records, read_splits(self.split_file), by=SPLIT_BY[self.split_by])
        elif draw and not any(record.split for record in records):
            records = self._drawn(records)
        return _only_channel(records, self.channel, folder)

    def _drawn(self, records: Sequence[Record]) -> list[Record]:
        """The records, each with a split: every sharp image counts once, however many blurred ones it has."""
        by = SPLIT_BY[self.split_by]
        targets = {(record.target, record.target_plane): record for record in records}
        drawn = split_records(list(targets.values()), seed=self.seed, by=by)
        return assign(records, {by(record): record.split for record in drawn}, by=by)


def only_split(records: list[Record], split: str, folder: Path) -> list[Record]:
    """The records of one split, all if it is "". Raises ConfigError if there is none."""
    there = dict.fromkeys(record.split for record in records)
    if split and split not in there:
        why = f"it has {', '.join(name or 'pairs without one' for name in there)}"
        raise ConfigError(f"the data set has no split {split}", path=folder, why=why, hint="ask for one that it has")
    return [record for record in records if split in ("", record.split)]


def _only_channel(records: list[Record], channel: str, folder: Path) -> list[Record]:
    there = dict.fromkeys(record.channel for record in records)
    if channel and channel not in there:
        why = f"it has {', '.join(name for name in there if name) or 'channels without names'}"
        raise ConfigError(f"the data set has no channel {channel!r}", path=folder, why=why, hint="name one that it has")
    return [record for record in records if channel in ("", record.channel)]
