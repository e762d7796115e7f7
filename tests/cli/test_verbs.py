"""What all verbs have in common."""

from __future__ import annotations

import re

import pytest

from command_line import Cli
from dgno.cli.main import VERBS

EXAMPLE = re.compile(r"[A-Z][\w ]*: (dgno|torchrun) ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(cli: Cli, verb: str) -> None:
    result = cli(verb, "--help")
    assert result.status == 0
    assert f"Example: dgno {verb}" in result.out
    for option in ("--json", "--quiet", "--debug"):
        assert option in result.out


def test_help_fits_a_usual_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """No summary is cut off, and every example begins a line."""
    monkeypatch.setenv("COLUMNS", "80")
    listed = cli("--help").out
    assert "..." not in listed.split("Commands:")[1]
    assert max(map(len, listed.splitlines())) <= 80
    for verb in VERBS:
        said = cli(verb, "--help").out
        starts = [found.start() for line in said.splitlines() for found in re.finditer(EXAMPLE, line)]
        assert set(starts) == {2}, verb


def test_help_and_version(cli: Cli) -> None:
    assert all(verb in cli("--help").out for verb in VERBS)
    assert cli().out == cli("--help").out
    assert cli("--version").out == "0.1.0\n"
    assert cli("nonsense").err.startswith("dgno: error[E-USAGE]: No such command 'nonsense'")


@pytest.mark.parametrize("verb", ["doctor", "models"])
def test_quiet_verbs_print_the_table_that_was_asked_for(cli: Cli, verb: str) -> None:
    quiet = cli(verb, "--quiet")
    assert quiet.out == cli(verb).out
    assert quiet.err == ""


THREADED = {
    "restore": ("in.tif", "-o", "out.tif"),
    "assess": ("in.tif",),
    "evaluate": ("pairs",),
    "train": ("nano.toml",),
    "bench": ("table2",),
}
TOO_MANY = [(verb, "--threads", number) for verb in THREADED for number in ("0", "1025", "100000")]
TOO_MANY += [(verb, "--workers", number) for verb in ("restore", "train") for number in ("-1", "1025", "100000")]


@pytest.mark.parametrize(("verb", "option", "number"), TOO_MANY)
def test_more_than_any_machine_has_is_refused(cli: Cli, verb: str, option: str, number: str) -> None:
    result = cli(verb, *THREADED[verb], option, number)
    assert result.status == 2
    assert "E-USAGE" in result.err
    assert f"'{option}'" in result.err
