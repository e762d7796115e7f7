"""What a verb says, and where: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from dgno.errors import DgnoWarning

RESEARCH_USE = "For research use only. Not for clinical diagnosis."


def say(text: str, *, quiet: bool = False) -> None:
    """One line on stderr."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """One object on stdout; numbers that JSON does not know (infinite, NaN) become null."""
    print(json.dumps(_finite(value), default=str, ensure_ascii=True, allow_nan=False), flush=True)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """A table on stdout, columns lined up, numbers to the right; plain text, so that it can be piped."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=any(columns), box=None, pad_edge=False)
    for i, column in enumerate(columns):
        values = [row[i] for row in rows if row[i] is not None]
        numeric = bool(values) and all(map(_is_number, values))
        table.add_column(column, justify="right" if numeric else "left", no_wrap=not sys.stdout.isatty())
    for row in rows:
        table.add_row(*map(as_text, row))
    if title:
        print(title)  # by itself: the table would wrap it to its own width
    width = None if sys.stdout.isatty() else 1000  # nothing is cut off in a pipe
    console = Console(width=width, markup=False, highlight=False, no_color="NO_COLOR" in os.environ or None)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        print(line.rstrip())  # columns are filled up with blanks


def as_text(value: object) -> str:
    """A value as a table shows it: thousands apart, yes and no, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return " ".join(map(as_text, value))
    return f"{value:,g}" if isinstance(value, float) else str(value)


def _is_number(value: object) -> bool:
    text = as_text(value).split(" ")[0].rstrip("%")
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def remarks_told(*, quiet: bool = False) -> Iterator[None]:
    """Meanwhile what dgno warns of is one line on stderr, each time."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, DgnoWarning):
            say(f"dgno: warning: {message}", quiet=quiet)
        else:
            others(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        others, warnings.showwarning = warnings.showwarning, show
        warnings.simplefilter("always", DgnoWarning)
        yield


class Bar:
    """What a verb tells of how far it is: called with the share done. Shows nothing by itself."""

    def __call__(self, share: float) -> None:
        pass

    def size(self, megapixels: float) -> None:
        """How many megapixels the whole is, as far as is known now: a speed is shown then."""


@contextlib.contextmanager
def progress_bar(label: str, *, quiet: bool = False) -> Iterator[Bar]:
    """A bar with the time left, on stderr if that is a terminal; gives what is to be called with the share done."""
    if quiet or not sys.stderr.isatty():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        """Megapixels a second, over the last half minute."""

        def render(self, task: Task) -> Text:
            megapixels = task.fields["megapixels"]
            return Text(f"{task.speed * megapixels:.2f} Mpx/s" if task.speed and megapixels else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        Speed(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=1.0, megapixels=0.0)

        class Shown(Bar):
            def __call__(self, share: float) -> None:
                shown.update(task, completed=share)

            def size(self, megapixels: float) -> None:
                shown.update(task, megapixels=megapixels)

        yield Shown()
