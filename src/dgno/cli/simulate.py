"""`dgno simulate`: blurred and sharp pairs with known blur."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dgno.cli.console import print_json, progress_bar, say
from dgno.cli.options import Debug, Inputs, Json, Overwrite, Quiet

MAPS = "constant, tilted, smooth, voronoi, blocks, folded, mixture, radial"


def simulate(
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pairs.", show_default=False)],
    sigma: Annotated[tuple[float, float], typer.Option(help="Smallest and largest blur, px; 0 0 adds noise alone.")] = (
        0.6,
        4.0,
    ),
    spread: Annotated[float, typer.Option(help="Largest ratio of blur inside one image.", min=1.0)] = 3.0,
    softness: Annotated[float, typer.Option(help="Of the disk's edge; 1.5 is almost a Gaussian.", min=0.0)] = 0.25,
    field: Annotated[list[str] | None, typer.Option(help=f"Maps, by default the first four: {MAPS}.")] = None,
    photons: Annotated[float, typer.Option(help="Detected at full scale.", min=1.0)] = 2000.0,
    read_noise: Annotated[float, typer.Option(help="Standard deviation, in units of full scale.", min=0.0)] = 0.005,
    scale: Annotated[str, typer.Option(help="Values to [0, 1]: range, percentile, or auto.")] = "auto",
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.", min=0)] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Blur sharp images by a random spatially varying defocus and write pairs, the true blur and a manifest.

    A folder that holds pairs already is refused without --overwrite.

    Example: dgno simulate sharp/ -o pairs --sigma 0.6 4 --seed 1
    """
    from dgno.data.simulated import write_pairs
    from dgno.optics.simulate import BlurRange
    from dgno.restoration.batch import list_files

    ranges = BlurRange(
        sigma=sigma,
        spread=spread,
        softness=(softness, softness),
        fields=tuple(field) if field else BlurRange().fields,
        photons=(photons, photons),
        read_noise=(read_noise, read_noise),
    )
    with progress_bar("simulating", quiet=quiet) as progress:
        files = [path for path, _ in list_files(inputs, out)]
        lines = write_pairs(files, out, ranges, seed=seed, scale=scale, overwrite=overwrite, progress=progress)
    if json:
        print_json({"output": str(out), "pairs": len(lines)})
        return
    say(f"{out}: {len(lines)} pairs", quiet=quiet)
