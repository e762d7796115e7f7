"""Splits that divide no group."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dgno.data.records import Record
from dgno.data.splits import NAMES, assign, by_field, official, read_splits, split_records, write_splits
from dgno.errors import ConfigError, MissingInput, OutputError, UnreadableInput


def records_of(sizes: list[int]) -> list[Record]:
    return [Record(f"{g}/{i}", None, Path(f"{g}_{i}.png"), f"g{g:03d}") for g, n in enumerate(sizes) for i in range(n)]


def counts(records: list[Record]) -> dict[str, int]:
    return dict(Counter(record.split for record in records))


PLATE = [
    Record(f"{well}{site}{i}", None, Path(f"{well}_{site}.tif"), f"w{well:03d}", meta={"site": str(site)})
    for well in range(384) for site in (1, 2) for i in range(3)
]  # fmt: skip


def test_bbbc006_by_field_and_by_well() -> None:
    """768 fields at 4 : 1 are 615 and 153, as published; by well the two sites stay together."""
    fields = split_records(PLATE, by=by_field)
    assert counts(fields) == {"train": 615 * 3, "test": 153 * 3}
    wells = split_records(PLATE)
    assert counts(wells) == {"train": 307 * 6, "test": 77 * 6}
    for made, by in ((fields, by_field), (wells, lambda record: record.group)):
        assert len({(by(record), record.split) for record in made}) == len({by(record) for record in made})


@pytest.mark.parametrize("seed", range(12))
def test_no_group_is_divided_and_shares_are_met(seed: int) -> None:
    """No split exceeds its share by a group or more; every record is in one, in its old place."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(1, 30, 40)]
    records = records_of(sizes)
    fractions = {"train": 0.7, "val": 0.1, "test": 0.2}
    made = split_records(records, fractions, seed=seed)
    assert [record.key for record in made] == [record.key for record in records]
    assert len({(record.group, record.split) for record in made}) == 40
    assert set(counts(made)) == set(NAMES)
    for name, share in fractions.items():
        assert counts(made)[name] < share * len(records) + 1 + max(sizes)
        assert abs(counts(made)[name] - share * len(records)) <= 3  # small groups fill the gaps: measured 0 to 2


def test_equal_groups_meet_their_shares_exactly() -> None:
    made = split_records(records_of([5] * 40), {"train": 0.7, "val": 0.15, "test": 0.15}, seed=3)
    assert counts(made) == {"train": 140, "val": 30, "test": 30}


def test_the_seed_alone_decides() -> None:
    """Not the order in which the files were found."""
    records = records_of([3] * 30)
    one = {record.key: record.split for record in split_records(records, seed=1)}
    assert one == {record.key: record.split for record in split_records(records[::-1], seed=1)}
    others = [{record.key: record.split for record in split_records(records, seed=s)} for s in range(2, 6)]
    assert all(other != one for other in others)


@pytest.mark.parametrize("sizes", [[100, 1], [1, 1], [50, 1, 1], [1000, 1000, 1]])
def test_no_wanted_split_stays_empty(sizes: list[int]) -> None:
    fractions = {"train": 0.9, "test": 0.1} if len(sizes) == 2 else {"train": 0.9, "val": 0.05, "test": 0.05}
    assert set(counts(split_records(records_of(sizes), fractions))) == set(fractions)


@pytest.mark.parametrize("fractions", [
    {"train": 0.8}, {"train": 0.8, "test": 0.3}, {"train": 1.2, "test": -0.2}, {"train": 0.8, "exam": 0.2},
    {"train": float("nan"), "test": 0.2}, {},
])  # fmt: skip
def test_fractions_that_make_no_split(fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="the fractions make no split"):
        split_records(records_of([1] * 9), fractions)


def test_fewer_groups_than_splits() -> None:
    with pytest.raises(ConfigError, match="1 groups for train, test"):
        split_records(records_of([9]))
    assert counts(split_records(records_of([9]), {"train": 1.0})) == {"train": 9}


def test_a_split_is_written_and_read(tmp_path: Path) -> None:
    records = split_records(records_of([2, 5, 1, 7]), {"train": 0.5, "val": 0.25, "test": 0.25})
    write_splits(tmp_path / "s.csv", records)
    assert assign(records_of([2, 5, 1, 7]), read_splits(tmp_path / "s.csv")) == records == official(records)
    with pytest.raises(OutputError, match=r"s\.csv"):
        write_splits(tmp_path / "s.csv", records)
    write_splits(tmp_path / "s.csv", records, overwrite=True)
    with pytest.raises(ConfigError, match="it lacks 1 groups, the first is 'g004'"):
        assign(records_of([2, 5, 1, 7, 1]), read_splits(tmp_path / "s.csv"))
    with pytest.raises(ConfigError, match="no image belongs to 1 of its groups, the first is 'g003'"):
        assign(records_of([2, 5, 1]), read_splits(tmp_path / "s.csv"))
    with pytest.raises(ConfigError, match="4 of 4 records name none"):
        official(records_of([4]))


@pytest.mark.parametrize("text", ["", "group,split\n", "a,b\n1,train\n", "group,split\na,exam\n", "group,split\na\n",
                                  "group,split\na,train\na,test\n"])  # fmt: skip
def test_lists_of_splits_that_do_not_work(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"no list of splits .*s\.csv"):
        read_splits(tmp_path / "s.csv")
    (tmp_path / "s.csv").write_bytes(b"\xff\xff")
    with pytest.raises(UnreadableInput):
        read_splits(tmp_path / "s.csv")
    with pytest.raises(MissingInput):
        read_splits(tmp_path / "t.csv")
