"""`dgno bench` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import Cli


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
