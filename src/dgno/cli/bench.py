"""`dgno bench`: the tables of the paper, run anew."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dgno.cli.console import print_json, print_table, progress_bar, say
from dgno.cli.options import Debug, Device, Json, Overwrite, Quiet, Threads


def bench(
    table: Annotated[str, typer.Argument(help="Its name; without one, all names are listed.", show_default=False)] = "",
    profile: Annotated[str, typer.Option(help="tiny: minutes, generated data; full: the published recipe.")] = "tiny",
    data: Annotated[Path | None, typer.Option(help="Folder of the published data sets, for full.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for data, trainings and tables.")] = Path("bench"),
    seeds: Annotated[int, typer.Option(help="Trainings of every row.", min=1)] = 3,
    steps: Annotated[int | None, typer.Option(help="Of every training; default as the profile has it.", min=1)] = None,
    lpips: Annotated[Path | None, typer.Option(help="Weights, to measure LPIPS too; see docs/evaluating.md.")] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="ROLE=NAME or ROLE=FILE, for DBMID's figures; may be repeated.")
    ] = None,
    detector: Annotated[str, typer.Option(help="For dbmid-recall: a name, or MODULE:FUNCTION of your own.")] = "",
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a table of the DGNO paper or of DBMID anew. Measured here, printed beside published numbers.

    The tiny profile proves the machinery; its numbers are never the paper's results. A stopped run goes on where it was
    when the same command is given again; a finished table is refused without --overwrite, which keeps trainings.

    Example: dgno bench table2 --profile tiny -o bench
    """
    from dgno.evaluation.bench import report
    from dgno.evaluation.bench.catalogue import listed
    from dgno.evaluation.bench.options import by_role
    from dgno.evaluation.bench.run import Bench
    from dgno.restoration.placed import choose_device

    if threads:
        import torch

        torch.set_num_threads(threads)
    if not table:
        return _list(listed(), json=json)
    bench = Bench.of(
        profile,
        out,
        data,
        seeds=range(seeds),
        device=choose_device(device),
        steps=steps,
        lpips=lpips,
        weights=by_role(weights or ()),
        detector=detector,
    )
    with progress_bar(f"bench {table}", quiet=quiet or json) as progress:
        remark = functools.partial(say, quiet=quiet or json)
        tables, written = report.run_table(table, bench, progress, remark, overwrite=overwrite)
    if json:
        print_json({"table": table, "parts": [asdict(part) for part in tables], "files": written})
        return
    for part in tables:
        print_table(part.header, part.lines, title=part.title)
        for note in part.notes:
            say(f"  {note}", quiet=quiet)
    say(f"{out / table}: {', '.join(written)}", quiet=quiet)


def _list(names: dict[str, str], *, json: bool) -> None:
    if json:
        print_json(names)
        return
    print_table(("table", "what it compares"), list(names.items()))
