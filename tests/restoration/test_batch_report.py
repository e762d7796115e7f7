"""What a report keeps of the runs before."""

from __future__ import annotations

import json
from pathlib import Path

from dgno.errors import EmptyInput, OutputExists
from dgno.restoration.batch import Outcome
from dgno.restoration.batch_report import read_report, write_report

FACTS: dict[str, object] = {"weights": ["fluorescence-nano"]}


def made(out: Path, name: str, status: str = "restored", facts: dict[str, object] | None = None) -> Outcome:
    if status != "failed":
        (out / name).write_bytes(b"x")
        return Outcome(name, str(out / name), status, facts=facts or {})
    return Outcome(name, str(out / name), status, error=OutputExists("there").as_json())


def told(out: Path) -> list[tuple[str, str]]:
    report = read_report(out)
    assert report is not None
    return [(Path(entry["output"]).name, entry["status"]) for entry in report["results"]]


def test_a_failed_repetition_stands_beside_what_was_made(tmp_path: Path) -> None:
    """However often it is repeated."""
    write_report(tmp_path, [made(tmp_path, "a.tif", facts=FACTS)], ["3 other files left out (.gif)"])
    for _ in range(2):
        write_report(tmp_path, [made(tmp_path, "a.tif", "failed"), made(tmp_path, "b.tif")])
        assert sorted(told(tmp_path)) == [("a.tif", "failed"), ("a.tif", "restored"), ("b.tif", "restored")]
    (first, *_) = json.loads((tmp_path / "report.json").read_text())["results"]
    assert (first["status"], first["facts"]) == ("restored", FACTS)


def test_other_outputs_stay_while_they_are_there(tmp_path: Path) -> None:
    """Failures of earlier runs do not: what they are about may be gone."""
    write_report(tmp_path, [made(tmp_path, "a.tif"), made(tmp_path, "b.tif"), made(tmp_path, "c.tif", "failed")])
    (tmp_path / "b.tif").unlink()
    write_report(tmp_path, [made(tmp_path, "d.tif")])
    assert told(tmp_path) == [("a.tif", "restored"), ("d.tif", "restored")]
    write_report(tmp_path, [made(tmp_path, "a.tif")])
    assert sorted(told(tmp_path)) == [("a.tif", "restored"), ("d.tif", "restored")]


def test_what_is_complete_already_keeps_its_facts(tmp_path: Path) -> None:
    write_report(tmp_path, [made(tmp_path, "a.tif", facts=FACTS)])
    write_report(tmp_path, [made(tmp_path, "a.tif", "complete")])
    report = read_report(tmp_path)
    assert report is not None
    assert [(one["status"], one["facts"]) for one in report["results"]] == [("complete", FACTS)]


def test_the_folder_may_be_named_otherwise_the_next_time(tmp_path: Path) -> None:
    write_report(tmp_path, [made(tmp_path, "a.tif")])
    (tmp_path / "link").symlink_to(tmp_path)
    write_report(tmp_path / "link", [made(tmp_path / "link", "a.tif", "failed")])
    assert told(tmp_path) == [("a.tif", "restored"), ("a.tif", "failed")]


def test_what_is_left_out_is_in_the_report(tmp_path: Path) -> None:
    write_report(tmp_path, [], ["3 other files left out (.gif)"])
    assert json.loads((tmp_path / "report.json").read_text())["left_out"] == ["3 other files left out (.gif)"]


def test_a_failure_says_what_to_do() -> None:
    error = EmptyInput("the file is empty", hint="copy it again").as_json()
    outcome = Outcome("a.tif", "o.tif", "failed", error=error)
    assert outcome.as_line() == "a.tif: failed, E-IN-EMPTY: the file is empty; copy it again"
    assert outcome.as_line(with_hint=False) == "a.tif: failed, E-IN-EMPTY: the file is empty"
