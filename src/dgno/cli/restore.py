"""`dgno restore`: restore images and folders of images."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgno.checks import MOST_PROCESSES
from dgno.cli.console import RESEARCH_USE, print_json, progress_bar, say
from dgno.cli.options import Debug, Device, Inputs, Json, MaxPixels, Overwrite, Quiet, Threads
from dgno.errors import BatchFailed, DgnoWarning
from dgno.io.limits import DEFAULT_LIMITS
from dgno.restoration import READER, TILE_SIZE

if TYPE_CHECKING:
    from dgno.restoration.options import RestoreOptions

Weights = Annotated[str, typer.Option(help="Name or file. By default chosen from the image.", show_default=False)]
Output = Annotated[
    str,  # a Path would lose the / that tells a folder
    typer.Option("--out", "-o", metavar="PATH", help="File for one image, folder for several.", show_default=False),
]
Normalize = Annotated[str, typer.Option(help="auto, range, percentile, minmax, or none: values as they are.")]
Tile = Annotated[
    int | None,
    typer.Option(
        help=f"Side of the tiles in px; 0 takes whole images. By default {TILE_SIZE}, or less if memory runs out.",
        min=0,
    ),
]
Overlap = Annotated[int | None, typer.Option(help="Context around a tile in px. By default the weights' own.", min=0)]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="same, ome-tiff, tiff-pyramid, ome-zarr or png. Slides, and images if one of the middle two is asked for, "
        "are written with all levels.",
    ),
]
Method = Annotated[
    str,
    typer.Option(
        help="dgno: by the network of --weights. dbmid: by its own networks, by type of blur. "
        "wiener, richardson-lucy, blind, ring: docs/classical.md."
    ),
]
Psf = Annotated[
    str | None,
    typer.Option(help="Of classical methods: gaussian:SIGMA, disk:SIGMA, motion:LENGTH, seidel:... or a file."),
]
NumIter = Annotated[int | None, typer.Option(help="Steps of richardson-lucy, blind, ring. By default as noise allows.")]
Balance = Annotated[float | None, typer.Option(help="Of wiener; more smooths more. By default as noise asks.")]
Route = Annotated[
    str,
    typer.Option(
        help="auto: only what is blurred, by its type of blur. image: one type for each image. off: all of it. "
        "[default: off for images, auto for slides, image for --method dbmid]",
        show_default=False,
    ),
]
Reader = Annotated[str, typer.Option(help="Name or file of what finds the blur, for --route.")]
MinConfidence = Annotated[
    float | None, typer.Option(help="For --route: less likely blur counts as in focus, 0 to 1.", show_default=False)
]
Precision = Annotated[
    str, typer.Option(help="fp32; high: multiplied with fewer bits, faster where the processor can; or bf16.")
]
Tta = Annotated[
    bool,
    typer.Option("--tta", help="Average over the 8 flips and quarter turns: 0.1 to 0.2 dB for 8 times the time."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Skip outputs that are complete already; go on with slides that were begun.")
]
Pages = Annotated[
    str,
    typer.Option(
        help="all, or a list like 0,4-7: the planes of a file to restore; others stay as they are. "
        "dgno info tells their order."
    ),
]
PixelSize = Annotated[float | None, typer.Option(help="Of the outputs, um. By default the inputs'.")]
AllowLabels = Annotated[bool, typer.Option("--allow-labels", help="Restore images that look like labels or masks.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first image that fails.")]
Seed = Annotated[int, typer.Option(help="Changes nothing: restoring draws no random numbers.")]
Channels = Annotated[
    str,
    typer.Option(
        help="all, a list like 0,2 (all colours of a pixel are one), or replicate (gray image, colour weights)."
    ),
]
NonFinite = Annotated[
    str,
    typer.Option(help="NaN or infinite pixels: refuse, inpaint (so in the output too) or mask (black in the output)."),
]
MaxMemory = Annotated[float | None, typer.Option(help="GB that the tiles may take.", min=0.1)]
Compression = Annotated[str, typer.Option(help="Of slides: deflate, lzw, zstd, none, or jpeg, which loses.")]
Quality = Annotated[int, typer.Option(help="Of --compression jpeg, 1 to 100.")]
OnBadTile = Annotated[
    str, typer.Option(help="Of slides: fail, or mask: broken tiles become the empty slide and are listed.")
]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler that has the work done: tcp://host:8786.")
]
Workers = Annotated[
    int | None, typer.Option(help="Have this many processes do the work, through Dask.", min=1, max=MOST_PROCESSES)
]


def restore(
    inputs: Inputs,
    out: Output,
    weights: Weights = "auto",
    method: Method = "dgno",
    psf: Psf = None,
    num_iter: NumIter = None,
    balance: Balance = None,
    route: Route = "",
    reader: Reader = READER,
    min_confidence: MinConfidence = None,
    normalize: Normalize = "auto",
    tile: Tile = None,
    overlap: Overlap = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    tta: Tta = False,
    threads: Threads = None,
    max_memory: MaxMemory = None,
    max_pixels: MaxPixels = DEFAULT_LIMITS.pixels,
    resume: Resume = False,
    overwrite: Overwrite = False,
    output_format: Format = "same",
    channels: Channels = "all",
    pages: Pages = "all",
    pixel_size: PixelSize = None,
    nonfinite: NonFinite = "refuse",
    allow_labels: AllowLabels = False,
    fail_fast: FailFast = False,
    seed: Seed = 0,
    compression: Compression = "deflate",
    quality: Quality = 90,
    on_bad_tile: OnBadTile = "fail",
    scheduler: Scheduler = None,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Restore blurred images and slides. Outputs keep shape, bit depth, channels, pixel size and colour profile.

    Of slides (SVS, NDPI, pyramids, OME-Zarr, ...) only blurred tissue is restored, unless --route off is said; the name
    of the output tells its format: .ome.tif, .tif or .ome.zarr. Run again with --resume after an interruption.

    Example: dgno restore blurred.tif -o restored.tif

    Example: dgno restore slide.svs -o restored.ome.tif

    Example: dgno restore slides -o restored --format ome-zarr --resume
    """
    from dgno.restoration.options import RestoreOptions

    _restore(inputs, out, where=(scheduler, workers), json=json, quiet=quiet, options=RestoreOptions(
        weights=weights, method=method, psf=psf, num_iter=num_iter, balance=balance, route=route, normalize=normalize,
        tile_size=TILE_SIZE if tile is None else tile, keep_tile=tile is not None, overlap=overlap, device=device,
        precision=precision, tta=tta, threads=threads, max_memory=max_memory, max_pixels=max_pixels, resume=resume,
        overwrite=overwrite, output_format=output_format, channels=channels, pages=pages, pixel_size=pixel_size,
        nonfinite=nonfinite, allow_labels=allow_labels, fail_fast=fail_fast, min_confidence=min_confidence, seed=seed,
        reader=reader, compression=compression, quality=quality, on_bad_tile=on_bad_tile,  # type: ignore[arg-type]
    ))  # fmt: skip


def _restore(
    inputs: list[Path],
    named: str,
    *,
    options: RestoreOptions,
    where: tuple[str | None, int | None],
    json: bool,
    quiet: bool,
) -> None:
    from dgno.restoration.batch import Outcome
    from dgno.restoration.batch_report import REPORT
    from dgno.restoration.files import restore_files
    from dgno.restoration.from_weights import NETWORK_METHODS
    from dgno.restoration.placed import choose_device

    if options.method in NETWORK_METHODS and choose_device(options.device).type == "cpu":
        _warn_of_missing_kernels()

    out, told = Path(named), Counter[tuple[object, str]]()

    def tell(outcome: Outcome) -> None:
        reason = ((outcome.error or {}).get("code"), outcome.hint)
        told[reason] += bool(outcome.hint)
        line = outcome.as_line(with_hint=told[reason] == 1)
        say(line, quiet=json or (quiet and outcome.status != "failed"))

    with progress_bar("restoring", quiet=quiet or json) as progress:
        scheduler, workers = where
        outcomes = restore_files(
            inputs,
            out,
            options,
            is_folder=named.endswith("/"),
            scheduler=scheduler,
            workers=workers,
            progress=progress,
            size=progress.size,
            report=tell,
        )
    for (code, hint), number in told.items():
        say(f"{number} images failed, {code}: {hint}", quiet=json or number == 1 or not hint)
    results = [asdict(o) for o in outcomes]
    if failed := [o for o in outcomes if o.status == "failed"]:
        hint = f"see {out / REPORT}"
        raise BatchFailed(f"{len(failed)} of {len(outcomes)} images failed", hint=hint, results=results)
    if parts := [o for o in outcomes if o.status == "incomplete"]:
        what = f"{len(parts)} of {len(outcomes)} slides" if len(outcomes) > 1 else "the slide"
        hint = f"they are blank in the output, and listed in the report beside it, as for {parts[0].output}"
        raise BatchFailed(f"parts of {what} could not be read", hint=hint, results=results)
    if json:
        print_json({"results": results})
    say(RESEARCH_USE, quiet=quiet or json)


def _warn_of_missing_kernels() -> None:
    """On a CPU networks are slow without them, each of which may be missing alone."""
    from dgno.kernels.compiled import AT_INFERENCE, why_missing

    missing = why_missing(AT_INFERENCE)
    reasons = "; ".join(dict.fromkeys(missing.values()))
    if len(missing) == len(AT_INFERENCE):
        what = f"kernels are {reasons}; networks take three to four times as long (see dgno doctor)"
        warnings.warn(what, DgnoWarning, stacklevel=2)
    elif missing:
        what = f"kernels ({', '.join(missing)}) are {reasons}; networks take longer (see dgno doctor)"
        warnings.warn(what, DgnoWarning, stacklevel=2)
