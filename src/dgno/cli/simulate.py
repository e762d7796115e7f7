"""`dgno simulate`: blurred and sharp pairs with known blur."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from dgno.cli import blur_options as blur
from dgno.cli.console import print_json, progress_bar, say
from dgno.cli.options import Debug, Json, Overwrite, Quiet
from dgno.cli.simulated_optics import exposures_of
from dgno.errors import ConfigError

if TYPE_CHECKING:
    from dgno.data.simulated import ManifestLine

SET = "A set of the paper: s1-8-10 or s1-0.6-13, also with -voronoi; s2 or s3 from images."


def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pairs.", show_default=False)],
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="Sharp images or folders.", readable=False, show_default=False)
    ] = None,
    psf: blur.Psf = None,
    sigma: blur.Sigma = None,
    spread: blur.Spread = None,
    softness: blur.Softness = None,
    defocus: blur.Defocus = None,
    numerical_aperture: blur.Aperture = None,
    wavelength: blur.Wavelength = None,
    pixel_size: blur.PixelSize = None,
    refractive_index: blur.Index = None,
    motion: blur.Motion = None,
    angle: blur.Angle = None,
    order: blur.Order = None,
    seidel: blur.SixWaves = None,
    field: blur.Fields = None,
    edge_softness: blur.EdgeSoftness = None,
    reading: blur.Reading = None,
    boundary: blur.Boundary = None,
    photons: blur.Photons = None,
    read_noise: blur.ReadNoise = None,
    bits: blur.Bits = None,
    jpeg: blur.Jpeg = None,
    linear_light: blur.LinearLight = None,
    scale: Annotated[str | None, typer.Option(help="Values to [0, 1]: range, percentile, or auto (default).")] = None,
    controlled: Annotated[str | None, typer.Option("--set", help=SET)] = None,
    count: Annotated[int | None, typer.Option(help="Pairs of the set. Default 50, or all images.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.", min=0)] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Blur sharp images by a random spatially varying blur. Pairs, the true blur and a manifest are written.

    A folder that holds pairs already is refused without --overwrite.

    Example: dgno simulate sharp/ -o pairs --sigma 0.6 4 --seed 1

    Example: dgno simulate sharp/ -o pairs --defocus 0 12 --numerical-aperture 0.3 --pixel-size 0.55 --motion 5 20

    Example: dgno simulate --set s1-0.6-13 -o s1 --count 50
    """
    options = blur.BlurOptions(
        psf, sigma, spread, softness, defocus, numerical_aperture, wavelength, pixel_size, refractive_index, motion,
        angle, order, seidel, field, edge_softness, reading, boundary,
    )  # fmt: skip
    camera = blur.CameraOptions(photons, read_noise, bits, jpeg, linear_light)
    write = _writer(options, camera, scale=scale, controlled=controlled, count=count)
    with progress_bar("simulating", quiet=quiet) as progress:
        files = _files(inputs, out, needed=controlled is None)
        lines = write(out=out, sources=files, seed=seed, overwrite=overwrite, progress=progress)
    _report(out, lines, json=json, quiet=quiet)


def _writer(
    options: blur.BlurOptions,
    camera: blur.CameraOptions,
    *,
    scale: str | None,
    controlled: str | None,
    count: int | None,
) -> Callable[..., list[ManifestLine]]:
    """What writes the pairs, told all but places, seed and progress."""
    from dgno.data.controlled import write_set
    from dgno.data.simulated import write_pairs

    if controlled is not None:
        _refuse_for_a_set(controlled, blur.said(options) | blur.said(camera) | ({"scale"} if scale else set()))
        return functools.partial(write_set, controlled, count=count)
    if count is not None:
        raise ConfigError("--count is for --set", hint="without a set, every image becomes a pair")
    return functools.partial(write_pairs, ranges=exposures_of(options, camera), scale=scale or "auto")


def _refuse_for_a_set(controlled: str, said: set[str]) -> None:
    if said:
        why = f"given were {', '.join(map(blur.flag, sorted(said)))}"
        raise ConfigError(f"the set {controlled} is made as it is defined", why=why, hint="leave the others out")


def _files(inputs: Sequence[Path] | None, out: Path, *, needed: bool) -> list[Path]:
    from dgno.restoration.inputs import list_files

    if inputs:
        return [path for path, _ in list_files(inputs, out)]
    if needed:
        raise ConfigError("no sharp images", hint="give files or folders, or --set s1-8-10, whose scenes are drawn")
    return []


def _report(out: Path, lines: Sequence[ManifestLine], *, json: bool, quiet: bool) -> None:
    blurred_psnr = fmean(line.blurred_psnr for line in lines)
    if json:
        found = {"blurred_psnr": blurred_psnr, "bank_error": max(line.bank_error for line in lines)}
        print_json({"output": str(out), "pairs": len(lines), **found})
        return
    say(f"{out}: {len(lines)} pairs, blurred {blurred_psnr:.2f} dB", quiet=quiet)
