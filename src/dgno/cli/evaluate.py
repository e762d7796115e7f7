"""`dgno evaluate`: restorers side by side on pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dgno.cli.console import print_json, print_table, progress_bar, say
from dgno.cli.options import Debug, Device, Json, Quiet, Threads


def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder with blurred/ and sharp/.", show_default=False)],
    weights: Annotated[list[str] | None, typer.Option(help="Weights by name or path; may be repeated.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="wiener or richardson-lucy, with the true mean PSF.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for scores.csv and plots.")] = None,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare restorers on blurred and sharp images: mean PSNR and SSIM by the protocol `dgno`.

    Example: dgno evaluate pairs --weights fluorescence-nano --method wiener -o report
    """
    from dataclasses import asdict

    from dgno.data.pairs import find_pairs
    from dgno.evaluation import compare, methods, plots

    if threads:
        import torch

        torch.set_num_threads(threads)
    chosen = methods.by_name(weights or [], method or [], device=device)
    pairs = find_pairs(data)
    with progress_bar("evaluating", quiet=quiet) as progress:
        scores = compare.compare(pairs, chosen, progress=progress)
    summary = compare.summarise(scores)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        compare.write_csv(out / "scores.csv", scores)
        plots.box_plots(out / "scores.png", scores)
        plots.examples(out / "examples.png", pairs, scores, chosen)
    if json:
        print_json({"protocol": "dgno", "summary": [asdict(line) for line in summary]})
        return
    print_table(compare.COLUMNS, [compare.table_row(line) for line in summary], title=f"{data}, protocol dgno")
    if out:
        say(f"{out}: scores.csv, scores.png, examples.png", quiet=quiet)
