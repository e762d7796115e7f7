"""`dgno assess`: where and how images are blurred."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgno.cli.console import RESEARCH_USE, print_json, print_table, progress_bar, say
from dgno.cli.options import Debug, Device, Inputs, Json, MaxPixels, Overwrite, Quiet, Threads
from dgno.errors import BatchFailed, ConfigError, DgnoError
from dgno.io.limits import DEFAULT_LIMITS
from dgno.restoration import READER, TILE_SIZE

if TYPE_CHECKING:
    from dgno.evaluation.assessing.findings import Finding
    from dgno.restoration.batch import Outcome

Output = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for tables, pictures, maps and polygons.", show_default=False)
]
Reader = Annotated[str, typer.Option(help="Name or file of what finds the blur.")]
MinConfidence = Annotated[float, typer.Option(help="Less likely blur counts as in focus, 0 to 1.")]
Aperture = Annotated[
    float | None,
    typer.Option("--numerical-aperture", help="Of the objective: gives defocus in um.", show_default=False),
]
Index = Annotated[float, typer.Option("--refractive-index", help="Between specimen and objective: 1.33, 1.52.")]
PixelSize = Annotated[float | None, typer.Option(help="In um. By default the file's.", show_default=False)]
Tile = Annotated[int, typer.Option(help="Side of the tiles in px, twice that on slides; 0 takes whole images.", min=0)]
Channels = Annotated[str, typer.Option(help="all, or a list like 0,2.")]
Pages = Annotated[str, typer.Option(help="all, or a list like 0,4-7: the planes of a file to assess.")]
NonFinite = Annotated[str, typer.Option(help="What to do with NaN pixels: refuse, inpaint or mask.")]
AllowLabels = Annotated[bool, typer.Option("--allow-labels", help="Assess images that look like labels or masks.")]
RescanAbove = Annotated[float, typer.Option(help="rescan.csv lists slides with more than this share blurred.")]
RescanStrength = Annotated[str, typer.Option(help="There, blur counts from this strength on: 2px, or 0.5um.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first image that fails.")]


def assess(
    inputs: Inputs,
    out: Output = None,
    reader: Reader = READER,
    min_confidence: MinConfidence = 0.0,
    numerical_aperture: Aperture = None,
    refractive_index: Index = 1.0,
    pixel_size: PixelSize = None,
    tile: Tile = TILE_SIZE,
    device: Device = "auto",
    threads: Threads = None,
    max_pixels: MaxPixels = DEFAULT_LIMITS.pixels,
    channels: Channels = "all",
    pages: Pages = "all",
    nonfinite: NonFinite = "refuse",
    allow_labels: AllowLabels = False,
    rescan_above: RescanAbove = 0.2,
    rescan_strength: RescanStrength = "0",
    overwrite: Overwrite = False,
    fail_fast: FailFast = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Tell where and how images and slides are blurred. In focus, defocus, motion or mixed, and how strongly.

    With -o also as assessment.csv, regions.csv and, for each image, a picture, maps as TIFF and GeoJSON for QuPath; of
    slides, rescan.csv lists those that should be scanned again, worst first.

    Example: dgno assess slides/ -o report
    """
    from dgno.evaluation.assessing.files import assess_files
    from dgno.evaluation.assessing.findings import told
    from dgno.evaluation.assessing.options import AssessOptions

    options = AssessOptions(
        reader=reader, min_confidence=min_confidence, numerical_aperture=numerical_aperture,
        refractive_index=refractive_index, pixel_size=pixel_size, tile_size=tile, device=device, threads=threads,
        max_pixels=max_pixels, channels=channels, pages=pages, nonfinite=nonfinite, allow_labels=allow_labels,
        rescan_above=rescan_above, rescan_strength=rescan_strength, overwrite=overwrite, fail_fast=fail_fast,
    )  # fmt: skip

    def tell(outcome: Outcome) -> None:
        if outcome.error and not json:
            say(f"{outcome.input}: failed, {outcome.error['code']}: {told(outcome.error)}")
        for note in outcome.notes:
            say(f"{outcome.input}: {note}", quiet=quiet or json)

    with progress_bar("assessing", quiet=quiet or json) as progress:
        findings, outcomes = assess_files(inputs, out, options, progress=progress, report=tell)
    _print(findings, outcomes, json=json)
    say(
        "" if out is None else f"{out}: assessment.csv, regions.csv, pictures, maps", quiet=quiet or json or out is None
    )
    say(RESEARCH_USE, quiet=quiet or json)


def _failed(errors: list[dict[str, object]], images: int, results: list[dict[str, object]]) -> DgnoError:
    """The error of a run in which some of several images failed. What is wrong with the options is wrong with every
    image: that is an error of usage, as it would be of one image."""
    first = errors[0]
    if len(errors) == images and all(
        error["code"] == ConfigError.code and error["message"] == first["message"] for error in errors
    ):
        what = f"none of {images} images can be assessed so" if images > 1 else "the image cannot be assessed so"
        return ConfigError(what, why=str(first["message"]), hint=str(first["hint"]))
    hint = "none was assessed" if len(errors) == images else "the others were assessed"
    return BatchFailed(f"{len(errors)} of {images} images failed", hint=hint, results=results)


def _print(findings: list[Finding], outcomes: list[Outcome], *, json: bool) -> None:
    """The table, or the JSON object; then the failures as an error."""
    from dgno.evaluation.assessing.findings import TABLE, table

    notes = {one.input: one.notes for one in outcomes}
    results = [asdict(finding) | {"notes": notes[finding.input]} for finding in findings]
    failures: list[dict[str, object]] = [
        {"input": one.input, "error": one.error} for one in outcomes if one.status == "failed"
    ]
    if findings and not json:
        print_table(TABLE, table(findings))
    if failures:
        raise _failed([one.error for one in outcomes if one.error], len(outcomes), [*results, *failures])
    if json:
        print_json({"results": results})
