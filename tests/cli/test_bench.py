"""`dgno bench` as a user runs it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import Cli
from dgno.evaluation.bench.catalogue import TABLES


def test_without_a_name_the_tables_are_listed(cli: Cli) -> None:
    listed = json.loads(cli("bench", "--json").out)
    assert {f"table{i}" for i in range(1, 14)} <= set(listed)
    table = cli("bench").out
    assert all(name in table for name in listed)


def test_an_unknown_table_is_one_error(cli: Cli, tmp_path: Path) -> None:
    done = cli("bench", "tabel2", "-o", tmp_path)
    assert done.status == 2
    assert "did you mean 'table2'" in done.err
    assert not list(tmp_path.iterdir())


def test_full_without_data_is_one_error(cli: Cli, tmp_path: Path) -> None:
    done = cli("bench", "table2", "--profile", "full", "-o", tmp_path)
    assert done.status == 2
    assert "--data FOLDER" in done.err


def test_data_that_are_not_there_are_named(cli: Cli, tmp_path: Path) -> None:
    done = cli("bench", "table2", "--profile", "full", "--data", tmp_path, "-o", tmp_path / "out")
    assert done.status == 3
    assert str(tmp_path / "bbbc006") in done.err


def test_a_folder_that_cannot_be_made_is_one_error(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cli("bench", "table11", "-o", tmp_path / "file" / "out")
    assert done.status == 4, done.err
    assert "E-OUT-DIR" in done.err
    assert len(done.err.splitlines()) == 1


def test_tables_are_objects_of_json(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (part,) = TABLES["table5"]
    monkeypatch.setitem(TABLES, "table5", (replace(part, rows=part.rows[:1]),))
    done = cli("bench", "table5", "-o", tmp_path, "--json")
    assert done.status == 0, done.err
    (table,) = done.json["parts"]
    assert set(table) == {"title", "header", "lines", "notes"}
    assert [line[0] for line in table["lines"]] == ["blurred"]


def test_a_finished_table_is_kept(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stopped run left is no reason to refuse."""
    (part,) = TABLES["table5"]
    monkeypatch.setitem(TABLES, "table5", (replace(part, rows=part.rows[:1]),))
    left, page = tmp_path / "table5" / "table.csv", tmp_path / "table5" / "table.md"
    left.parent.mkdir()
    left.write_text("left")
    assert cli("bench", "table5", "-o", tmp_path).status == 0
    assert left.read_text() != "left"
    page.write_text("mine")
    again = cli("bench", "table5", "-o", tmp_path)
    assert (again.status, "E-OUT-EXISTS" in again.err, page.read_text()) == (4, True, "mine")
    assert cli("bench", "table5", "-o", tmp_path, "--overwrite").status == 0
    assert page.read_text() != "mine"
