"""Errors of a configuration name the lines of their keys."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from dgno.errors import ConfigError
from dgno.training.config import load_config
from dgno.training.lines import LONGEST_LINE, lines_of, with_lines

TEXT = """data = "."
out = "run"
clip = "much"   # 3
learning_rte = 1
stages = [
    { until = 5, crop = 33, batch = 0 },
]

[blur]
sigma = [4.0, 0.6]
photons.x = 3

[[sources]]
files = "a/*.png"

[[sources]]  # the second
files = 7
"""
WANTED = [
    "line 3: clip is 'much', wanted float",
    "line 4: unknown key 'learning_rte', did you mean 'learning_rate'?",
    "line 5: stages[0]: the stage cannot be trained: batch is 0, wanted a whole number of at least 1",
    "line 17: sources[1].files is 7, wanted a text in quotes",
]


def said(path: Path, text: str) -> str:
    (path / "config.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path / "config.toml")
    return str(caught.value)


def line_of(text: str, key: str) -> int:
    return 1 + next(i for i, one in enumerate(text.splitlines()) if one.startswith(key))


def test_every_problem_has_its_line(tmp_path: Path) -> None:
    found = said(tmp_path, TEXT)
    assert [part for part in WANTED if part not in found] == [], found


def test_what_a_record_refuses_has_its_line(run_folder: Path) -> None:
    """Of several values of one record each has its own, also in the outermost; what is missing has none."""
    text = (run_folder / "config.toml").read_text()
    blurred = text.replace('out = "run"', "").replace("[0.6, 2.0]", "[2.0, 0.6]")
    found = said(run_folder, blurred)
    assert f"line {line_of(blurred, 'sigma')}: blur: " in found and "): out is missing;" in found
    wrong = "clip = -1.0\n" + text.replace("warmup = 2", "warmup = -3").replace("ema = 0.9", "ema = 2.0")
    found = said(run_folder, wrong)
    assert f"line {line_of(wrong, 'clip')}: configuration: the run cannot be trained: clip is -1.0" in found
    for key in ("warmup", "ema"):
        assert f"line {line_of(wrong, key)}: {key} is" in found


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines_are_those_of_the_keys(ending: str) -> None:
    """Every key of the outermost table, and every table, is found in the line where it stands."""
    text = TEXT.replace("\n", ending)
    found = lines_of(text)
    assert set(tomllib.loads(text)) <= set(found)
    assert found["blur.photons.x"] == 11 and found["sources[0].files"] == 14 and found["sources[1]"] == 16
    for path, number in found.items():
        assert path.rpartition(".")[2].partition("[")[0] in text.splitlines()[number - 1]


LONG = "[" + " " * LONGEST_LINE + "x\n"
NOTHING = ["a = '''\nseed = 3\n'''\n", LONG, "", "= 3", "[[a]", '"x = 1",']


@pytest.mark.parametrize("text", NOTHING, ids=range(len(NOTHING)))
def test_where_nothing_can_be_told_nothing_is(text: str) -> None:
    assert lines_of(text) == {}
    assert with_lines("seed is 3, wanted a text; there is no such thing", lines_of(text)).count("line") == 0


def test_no_other_key_is_blamed() -> None:
    lines = {"seed": 1, "blur": 3, "blur.sigma": 4, "sources": 6}
    assert with_lines("unknown key 'blur.seed'", lines) == "line 3: unknown key 'blur.seed'"
    assert with_lines("sources[0].seed is 3, wanted a text", lines).startswith("line 6: ")
    assert with_lines("out is missing", lines) == "out is missing"
    told = with_lines("blur: no such blur: sigma is 3, wanted two; spread is 5; give two", lines)
    assert told == "line 4: blur: no such blur: sigma is 3, wanted two; spread is 5; give two"


@pytest.mark.parametrize("separator", ["\x0c", "\x85", "\u2028"], ids=ascii)
def test_lines_end_where_toml_ends_them(separator: str) -> None:
    assert lines_of(f"# a{separator}b\r\nseed = 1\n") == {"seed": 2}


def test_what_stands_in_a_list_is_no_table() -> None:
    """Lists over several lines, brackets in texts and comments among them."""
    text = "x = [ # [\n [1],\n ['['],\n [2]\n]\nseed = 2\n[blur]\nsigma = [\"[\", 1]\nspread = 3\n"
    assert lines_of(text) == {"x": 1, "seed": 6, "blur": 7, "blur.sigma": 8, "blur.spread": 9}
