"""What a table says: paper beside ours, marks only where seeds agree, nothing invented."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dgno.evaluation.bench.catalogue import SPEED, TABLES, listed
from dgno.evaluation.bench.columns import LPIPS, PSNR, SSIM
from dgno.evaluation.bench.datasets import DATASETS
from dgno.evaluation.bench.dbmid import TABLE_3
from dgno.evaluation.bench.experiment import Experiment, Row
from dgno.evaluation.bench.profiles import FULL, TINY, Profile, quarter
from dgno.evaluation.bench.studies import STUDIES
from dgno.evaluation.bench.table import (
    BILLIONS,
    MILLIONS,
    Cost,
    Result,
    clearly_best,
    make_table,
    write_csv,
    write_markdown,
)
from dgno.networks.presets import NETWORKS, PRESETS, build
from dgno.weights.store import parameters

CELL = NETWORKS["dgno-cell"]
EVERY_EXPERIMENT = [pytest.param(part, id=part.title) for parts in (*TABLES.values(), (TABLE_3,)) for part in parts]


def result(name: str, *psnrs: float, published: float | None = None) -> Result:
    row = Row(name, network=CELL, published={} if published is None else {"PSNR": published})
    return Result(row, {"PSNR": psnrs} if psnrs else {}, {"PSNR": 7} if psnrs else {}, Cost(12_794_888, 50 * 10**9))


def experiment(results: Sequence[Result]) -> Experiment:
    rows = tuple(r.row for r in results)
    return Experiment("Table 99: test", "s1-8-10", "s1-8-10", rows, (PSNR,), "nearly: of the split", tiny_steps=1)


@pytest.mark.parametrize(
    ("first", "second", "is_clear"),
    [
        ((30.0, 30.1, 30.2), (29.0, 29.1, 29.2), True),  # leads by 1.0, sd of the difference 0.14
        ((30.0, 30.1, 30.2), (29.8, 29.9, 30.0), False),  # leads by 0.2, twice the sd is 0.28
        ((30.0, 30.1, 30.2), (29.7, 29.8, 29.9), True),  # leads by 0.3
        ((30.0, 30.1), (29.0, 29.1), False),  # two seeds say nothing about a spread
        ((math.inf, 30.0, 30.0), (20.0, 20.0, 20.1), False),
    ],
)
def test_only_a_clear_lead_is_marked(first: tuple[float, ...], second: tuple[float, ...], is_clear: bool) -> None:
    results = [result("a", *second), result("b", *first), result("c")]
    assert clearly_best(PSNR, results) is (results[1] if is_clear else None)
    table = make_table(experiment(results), FULL, results, protocol="dgno")
    assert [line[3].startswith("**") for line in table.lines] == [False, is_clear, False]


def test_methods_without_seeds_are_not_ranked() -> None:
    blurred = Result(Row("blurred"), {"PSNR": (40.0,)}, {"PSNR": 7})
    assert clearly_best(PSNR, [blurred, result("a", 30.0, 30.1, 30.2)]) is None


def test_the_smallest_distance_is_marked() -> None:
    far, near = (
        replace(result(name), means={"LPIPS": values})
        for name, values in (("far", (0.3, 0.31, 0.32)), ("near", (0.1, 0.11, 0.12)))
    )
    assert clearly_best(LPIPS, [far, near]) is near


def test_a_shortened_run_is_not_the_papers() -> None:
    """What a profile says of its numbers holds for the steps that were really taken."""
    results = [result("a", 30.0, published=37.22)]
    lines = {}
    for steps in (2, 300_000, 400_000):
        table = make_table(experiment(results), FULL.with_steps(steps), results, protocol="dgno")
        lines[steps] = table.lines[0][-1]
        assert ("Comparable? no: 2 steps instead of 300,000." in table.notes) is (steps == 2)
    assert lines == {2: "no", 300_000: "nearly", 400_000: "nearly"}
    assert TINY.with_steps(2).note == TINY.note


def test_the_paper_stands_beside_ours() -> None:
    results = [
        result("a", 30.0, 31.0, 32.0, published=37.22),
        result("b", published=36.0),
        result("c", 20.0, 20.0, 20.5),
    ]
    table = make_table(experiment(results), FULL, results, protocol="dgno")
    assert table.header == ("", "M", "GMAC", "PSNR paper", "PSNR ours", "comparable?")
    assert table.lines[0] == ("a", "12.79", "50.00", "37.22", "**31.00 ± 1.00**", "nearly")
    assert table.lines[1] == ("b", "12.79", "50.00", "36.00", "-", "quoted only")
    assert table.lines[2][3:] == ("-", "20.17 ± 0.29", "-")
    tiny = make_table(experiment(results), TINY, results, protocol="dgno")
    assert tiny.lines[0][-1] == "no"
    assert any("tiny" in note for note in tiny.notes)


def test_what_was_not_measured_is_a_dash() -> None:
    nothing = replace(result("a", 30.0), means={"PSNR": (30.0,), "LPIPS": (math.nan,)})
    wider = replace(experiment([nothing]), columns=(PSNR, LPIPS, SSIM))
    assert make_table(wider, FULL, [nothing], protocol="dgno").lines[0][3:-1] == ("30.00", "-", "-")


def test_files_hold_the_table(tmp_path: Path) -> None:
    results = [result("a", 30.0, 31.0, published=37.22), result("b", published=36.0), result("c", math.nan)]
    table = make_table(experiment(results), FULL, results, protocol="dgno")
    write_markdown(tmp_path / "t.md", [table, table])
    lines = (tmp_path / "t.md").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("## Table 99") for line in lines) == 2
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    write_csv(tmp_path / "t.csv", results)
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"row": "a", "measure": "PSNR", "seed": "0", "images": "7", "ours": "30.0", "paper": "37.22"},
            {"row": "a", "measure": "PSNR", "seed": "1", "images": "7", "ours": "31.0", "paper": "37.22"},
            {"row": "b", "measure": "PSNR", "seed": "0", "images": "0", "ours": "", "paper": "36.0"},
            {"row": "c", "measure": "PSNR", "seed": "0", "images": "7", "ours": "", "paper": ""},
        ]


def test_every_table_of_the_paper_has_a_name() -> None:
    assert {*(f"table{i}" for i in range(1, 14)), "s1", "s2", "s3", "fig6"} <= set(listed())
    assert set(listed()) == {*TABLES, *STUDIES, SPEED}


@pytest.mark.parametrize("part", EVERY_EXPERIMENT)
def test_an_experiment_can_be_run(part: Experiment) -> None:
    """Its data are known, its rows differ, each is run or says why not, and published numbers have their columns."""
    assert {part.train, part.test} | {row.train for row in part.rows if row.train} <= set(DATASETS)
    names = [row.name for row in part.rows]
    assert len(set(names)) == len(names)
    titles = {column.title for column in part.columns}
    for row in part.rows:
        assert bool(row.network or row.method) != bool(row.why_not)
        assert set(row.published) <= titles | {MILLIONS, BILLIONS}
        if row.network:
            assert row.network.channels == DATASETS[part.train].channels == DATASETS[part.test].channels
    assert part.comparable.partition(":")[0] in ("no", "nearly")
    if part.maps:
        assert set(part.maps) <= set(names)


@pytest.mark.parametrize("part", EVERY_EXPERIMENT)
@pytest.mark.parametrize("profile", [TINY, FULL], ids=lambda profile: profile.name)
def test_all_networks_of_a_table_see_crops_of_one_size(part: Experiment, profile: Profile) -> None:
    networks = [profile.fit(row.network) for row in part.rows if row.network]
    crop = profile.crop_for(networks)
    assert crop >= profile.crop
    assert all(crop % network.multiple == 0 for network in networks)
    assert profile.batch_for(crop) >= 1


def test_the_tiny_network_is_a_quarter() -> None:
    small = quarter(CELL)
    assert (small.width, small.heads, small.width / small.heads) == (12, 4, CELL.width / CELL.heads)


@pytest.mark.parametrize("name", ["dbmid-5", "dbmid-plain-5", "blur-vgg16", "blur-reader"])
def test_other_families_are_smaller_too(name: str) -> None:
    whole = PRESETS[name]
    small = quarter(whole)
    assert small.family == whole.family and small.channels == whole.channels
    assert parameters(build(small)) < parameters(build(whole)) / 4
