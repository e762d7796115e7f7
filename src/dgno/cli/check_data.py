"""`dgno check-data`: what a data set holds, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dgno.cli.console import print_json, print_table, progress_bar, say
from dgno.cli.options import (
    Channel,
    Debug,
    Json,
    Layout,
    Planes,
    Quiet,
    Seed,
    SharpPlane,
    SplitBy,
    SplitFile,
    make_reading,
)
from dgno.errors import BatchFailed

SHOWN = 10  # names of a list that the table shows; all are in the JSON


def check_data(
    data: Annotated[
        Path, typer.Argument(help="Folder of the data set, or its CSV manifest.", readable=False, show_default=False)
    ],
    layout: Layout = "auto",
    channel: Channel = "",
    planes: Planes = "",
    sharp_plane: SharpPlane = None,
    split_file: SplitFile = None,
    split_by: SplitBy = None,
    seed: Seed = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Look for what is wrong with a data set. Pairs, sizes, types, groups, constant and unreadable images, shifts,
    leaks between splits.

    With --split-file, --split-by or --seed the set is divided as `dgno train` would do. Exit status 7 if an image
    is unreadable, a pair does not fit, or something stands in two splits.

    Example: dgno check-data pairs --layout folder-pair

    BBBC006: dgno check-data BBBC006 --channel w1 --split-by group
    """
    from dgno.data.inspection import inspect
    from dgno.data.layouts import LAYOUTS
    from dgno.data.records import unused_files

    reading = make_reading(
        layout, channel=channel, planes=planes, sharp_plane=sharp_plane, split_file=split_file, split_by=split_by,
        seed=seed,
    )  # fmt: skip
    is_divided = split_file is not None or split_by is not None or seed is not None
    name = reading.layout_of(data)
    records = reading.divided(data) if is_divided else reading.records(data)
    with progress_bar("reading", quiet=quiet or json) as progress:
        found = inspect(records, samples=LAYOUTS[name].samples, progress=progress)
    unused = [str(path) for path in unused_files(data if data.is_dir() else data.parent, records)]
    published = dict(LAYOUTS[name].published)
    facts: dict[str, object] = {"layout": name, **vars(found), "published pairs": published, "other files": unused}
    if json and not found.problems:
        print_json(facts)
    if not json:
        print_table(("", ""), _rows(facts), title=f"{data}, layout {name}")
        _remarks(facts, quiet=quiet)
    if found.problems:
        what = f"{len(found.problems)} problems in {found.images} images of {sum(found.pairs.values())} pairs"
        raise BatchFailed(what, hint="correct or leave out what is named", results=[facts])


def _rows(facts: dict[str, object]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for title in ("pairs", "published pairs", "groups", "images", "sizes", "dtypes", "pixel_sizes"):
        value = facts[title]
        title = title.replace("_", " ")
        if not isinstance(value, dict):
            rows.append((title, value))
        for key, count in value.items() if isinstance(value, dict) else ():
            rows.append((f"{title}, {key}" if key else title, count))
    for title in ("constant", "shifts", "problems", "other files"):
        rows.append((title, len(facts[title])))  # type: ignore[arg-type]
    return rows


def _remarks(facts: dict[str, object], *, quiet: bool) -> None:
    """Names behind the numbers; problems are said even if it should be quiet."""
    problems: list[dict[str, object]] = facts["problems"]  # type: ignore[assignment]
    for problem in problems:
        where = f" ({problem['path']})" if problem["path"] else ""
        say(f"{problem['code']}{where}: {problem['message']}")
    shifts: dict[str, tuple[float, float]] = facts["shifts"]  # type: ignore[assignment]
    shifted = [f"{key}: {row:+.2f} rows, {column:+.2f} columns" for key, (row, column) in shifts.items()]
    for title, names in (("constant", facts["constant"]), ("shifted", shifted), ("not used", facts["other files"])):
        for name in names[:SHOWN]:  # type: ignore[index]
            say(f"{title}: {name}", quiet=quiet)
        if (more := len(names) - SHOWN) > 0:  # type: ignore[arg-type]
            say(f"{title}: and {more} more; --json lists all", quiet=quiet)
