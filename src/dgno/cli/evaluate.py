"""`dgno evaluate`: restorers side by side on pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgno.cli.console import print_json, print_table, progress_bar, say
from dgno.cli.options import (
    Channel,
    Debug,
    Device,
    Json,
    Layout,
    Overwrite,
    Planes,
    Quiet,
    Seed,
    SharpPlane,
    SplitBy,
    SplitFile,
    Threads,
    make_reading,
)

if TYPE_CHECKING:
    from dgno.data.reading import Reading
    from dgno.data.records import Record
    from dgno.evaluation.downstream.tasks import Task
    from dgno.evaluation.summaries import Summary

Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="Classical, told the true blur: wiener, richardson-lucy, ...-varying; or blind."),
]
External = Annotated[
    list[str] | None,
    typer.Option(help='"COMMAND {in} {out}": reads a folder of images and writes one; may be repeated.'),
]
Downstream = Annotated[
    str | None, typer.Option(help="Also nuclei, stained-nuclei, stardist, cellpose or ihc; see docs/downstream.md.")
]


def evaluate(
    data: Annotated[
        Path, typer.Argument(help="Folder of pairs or data set, or its manifest.", readable=False, show_default=False)
    ],
    weights: Annotated[list[str] | None, typer.Option(help="Weights by name or path; may be repeated.")] = None,
    method: Methods = None,
    external: External = None,
    external_minutes: Annotated[float, typer.Option(help="Time limit of each external command.", min=0.0)] = 60.0,
    protocol: Annotated[str, typer.Option(help="How images are compared; see docs/protocols.md.")] = "dgno",
    measure: Annotated[list[str] | None, typer.Option(help="More measures, or all; may be repeated.")] = None,
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS; see docs/evaluating.md.")] = None,
    downstream: Downstream = None,
    labels: Annotated[Path | None, typer.Option(help="Folder of instance labels, named as the sharp images.")] = None,
    pixel_size: Annotated[float | None, typer.Option(help="In um, for --downstream ihc.")] = None,
    layout: Layout = "auto",
    channel: Channel = "",
    planes: Planes = "",
    sharp_plane: SharpPlane = None,
    split: Annotated[str, typer.Option(help="test, val, train or all; auto: test where there is one.")] = "auto",
    split_file: SplitFile = None,
    split_by: SplitBy = None,
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for scores.csv and plots.")] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare restorers on pairs of blurred and sharp images. Mean PSNR and SSIM by a named protocol.

    Of a data set with splits, its test split. With --split-file, --split-by or --seed it is divided as `dgno train`
    would do. --downstream adds what the images are for: average precision of nuclei, or how H-DAB is read.

    Example: dgno evaluate pairs --weights fluorescence-nano --method wiener -o report
    """
    from dgno.evaluation import compare, measures, methods, report, summaries
    from dgno.evaluation.protocols import protocol_named

    _use_threads(threads)
    by = protocol_named(protocol)
    wanted = measures.chosen_measures(measure or [], by, lpips=lpips)
    reading = make_reading(
        layout, channel=channel, planes=planes, sharp_plane=sharp_plane, split_file=split_file, split_by=split_by,
        seed=seed,
    )  # fmt: skip
    part, records = _records(reading, data, split, is_divided=split_by is not None or seed is not None)
    task, records = _task(downstream, records, labels=labels, pixel_size=pixel_size)
    chosen = methods.by_name(weights or [], method or [], device=device)
    if out:
        report.check_report(out, records, overwrite=overwrite)
    chosen = methods.with_external(chosen, external or [], records, minutes=external_minutes)
    compared = methods.with_sharp(chosen, by) if task else chosen
    with progress_bar("evaluating", quiet=quiet) as progress:
        scores = compare.compare(records, compared, protocol=by, measures=wanted, task=task, progress=progress)
    summary = summaries.summarise(scores)
    written = report.write_report(out, records, scores, chosen, by) if out else ()
    place = f"{data}, split {part}" if part else str(data)
    _print(summary, place, {"protocol": by.name, "split": part, "downstream": downstream}, json=json, quiet=quiet)
    if out and not json:
        say(f"{out}: {', '.join(written)}", quiet=quiet)


def _use_threads(threads: int | None) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


def _print(summary: list[Summary], place: str, facts: dict[str, str | None], *, json: bool, quiet: bool) -> None:
    from dataclasses import asdict

    from dgno.evaluation.summaries import pooled_table, skipped, table

    if json:
        print_json(facts | {"summary": [asdict(line) for line in summary]})
        return
    print_table(*table(summary), title=f"{place}, protocol {facts['protocol']}")
    if facts["downstream"] and (pooled := pooled_table(summary))[1]:
        print_table(*pooled, title="of all images together")
    for remark in skipped(summary):
        say(remark, quiet=quiet)


def _task(
    name: str | None, records: list[Record], *, labels: Path | None, pixel_size: float | None
) -> tuple[Task | None, list[Record]]:
    """The downstream task, if one is asked for, and the records with what it needs."""
    from dgno.errors import ConfigError
    from dgno.evaluation.downstream.tasks import chosen_task

    if name is not None:
        return chosen_task(name, records, labels=labels, pixel_size=pixel_size)
    if labels is not None or pixel_size is not None:
        raise ConfigError("labels and a pixel size are for --downstream", hint="say --downstream nuclei or ihc")
    return None, records


def _records(reading: Reading, data: Path, split: str, *, is_divided: bool) -> tuple[str, list[Record]]:
    """The split that is compared, "" for everything, and its pairs."""
    if split == "all":
        return "", reading.records(data)
    if split != "auto":
        return split, reading.records(data, split)
    records = reading.divided(data) if is_divided else reading.records(data)
    test = [record for record in records if record.split == "test"]
    return ("test", test) if test else ("", records)
