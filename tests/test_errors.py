"""Every error has the code and the exit status that the table of `dgno.errors` promises to scripts."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from dgno import errors
from dgno.errors import BatchFailed, DgnoError, about

ROW = re.compile(r"[│├└─ ]*(\w+)(?: +(E-[A-Z0-9-]+))?(?: +(\d))?(?:  |$)")


def table() -> dict[str, tuple[str | None, int | None]]:
    """Name of every class in the docstring's tree -> its code and status, where the row has them."""
    assert errors.__doc__ is not None
    tree = errors.__doc__.split("\n\n")[1].splitlines()
    rows = [match for match in map(ROW.match, tree) if match]
    return {row[1]: (row[2], int(row[3]) if row[3] else None) for row in rows}


CLASSES = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, DgnoError)}


def test_the_table_names_every_error() -> None:
    assert table().keys() == CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_codes_and_statuses_are_those_of_the_table(name: str) -> None:
    """A status that the row leaves out is that of the class above."""
    kind, (code, status) = CLASSES[name], table()[name]
    if code is not None:
        assert kind.code == code
    above = kind.__mro__[1]
    inherited = table()[above.__name__][1] if above is not Exception else None
    if (expected := status or inherited) is not None:
        assert kind.exit_status == expected


def test_codes_are_told_apart() -> None:
    codes = [code for code, _ in table().values() if code]
    assert len(codes) == len(set(codes)) > 20


def test_the_innermost_file_is_named() -> None:
    """What already names a file keeps it."""
    for given, named in ((None, "outer"), ("inner", "inner")):
        with pytest.raises(DgnoError) as caught, about("outer"):
            raise DgnoError("x", path=given)
        assert caught.value.path == named


@pytest.mark.parametrize("name", CLASSES)
def test_errors_come_whole_out_of_another_process(name: str) -> None:
    """Of their kind, with all they say and every note."""
    kind = CLASSES[name]
    if issubclass(kind, BatchFailed):
        error: DgnoError = kind("what", hint="hint", results=[{"path": "a.tif"}])
    else:
        error = kind("what", path=Path("a.tif"), why="why", hint="hint")
    error.add_note("note")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert (str(again), again.args, again.as_json()) == (str(error), error.args, error.as_json())
