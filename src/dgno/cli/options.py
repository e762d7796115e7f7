"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgno.checks import MOST_THREADS

if TYPE_CHECKING:
    from dgno.data.reading import Reading

MAX_PIXELS = "DGNO_MAX_PIXELS"  # the variable that sets --max-pixels

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no remarks.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist. Inputs are never replaced.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", show_default=True)]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all cores by default.", min=1, max=MOST_THREADS)]
MaxPixels = Annotated[int, typer.Option(envvar=MAX_PIXELS, help="Refuse images with more pixels.", min=1)]
Inputs = Annotated[list[Path], typer.Argument(help="Images or folders.", readable=False, show_default=False)]
Layout = Annotated[str, typer.Option(help="How it lies on disk: auto, or a name; a wrong one lists them.")]
Channel = Annotated[str, typer.Option(help="Only this channel, for instance w1.")]
Planes = Annotated[str, typer.Option(help="Numbers of the blurred planes, for instance 2,6,10.")]
SharpPlane = Annotated[int | None, typer.Option(help="Number of the sharp plane.")]
SplitFile = Annotated[Path | None, typer.Option(help="CSV file with the columns group and split.")]
SplitBy = Annotated[str | None, typer.Option(help="Divide a set without a split by group (well, slide) or field.")]
Seed = Annotated[int | None, typer.Option(help="That the division is drawn from; 0 by default.", min=0)]


def make_reading(
    layout: str, *, channel: str = "", planes: str = "", sharp_plane: int | None = None, split_file: Path | None = None,
    split_by: str | None = None, seed: int | None = None,
) -> Reading:  # fmt: skip
    """How a data set is read, from the options above. Raises ConfigError."""
    from dgno.data.reading import Reading
    from dgno.errors import ConfigError

    try:
        numbers = tuple(int(number) for number in planes.split(",")) if planes else ()
    except ValueError as error:
        raise ConfigError(f"planes are {planes!r}", hint="give numbers with commas between: 2,6,10") from error
    return Reading(
        layout=layout, channel=channel, planes=numbers, sharp_plane=sharp_plane, split_file=split_file,
        split_by=split_by or "group", seed=seed or 0,
    )  # fmt: skip
