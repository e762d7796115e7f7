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
    external: Annotated[
        list[str] | None,
        typer.Option(help='"COMMAND {in} {out}": reads a folder of images and writes one; may be repeated.'),
    ] = None,
    external_minutes: Annotated[float, typer.Option(help="Time limit of each external command.", min=0.0)] = 60.0,
    protocol: Annotated[str, typer.Option(help="How images are compared; see docs/protocols.md.")] = "dgno",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for scores.csv and plots.")] = None,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare restorers on blurred and sharp images: mean PSNR and SSIM by a named protocol.

    Example: dgno evaluate pairs --weights fluorescence-nano --method wiener -o report
    """
    from dataclasses import asdict

    from dgno.data.pairs import find_pairs
    from dgno.evaluation import compare, methods, report
    from dgno.evaluation.protocols import protocol_named

    if threads:
        import torch

        torch.set_num_threads(threads)
    by, pairs = protocol_named(protocol), find_pairs(data)
    chosen = methods.by_name(weights or [], method or [], device=device)
    chosen = methods.with_external(chosen, external or [], pairs, minutes=external_minutes)
    with progress_bar("evaluating", quiet=quiet) as progress:
        scores = compare.compare(pairs, chosen, protocol=by, progress=progress)
    summary = compare.summarise(scores)
    written = report.write_report(out, pairs, scores, chosen, by) if out else ()
    if json:
        print_json({"protocol": by.name, "summary": [asdict(line) for line in summary]})
        return
    print_table(compare.COLUMNS, [compare.table_row(line) for line in summary], title=f"{data}, protocol {by.name}")
    if out:
        say(f"{out}: {', '.join(written)}", quiet=quiet)
