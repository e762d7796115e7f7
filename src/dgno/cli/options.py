"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MAX_PIXELS = "DGNO_MAX_PIXELS"  # the variable that sets --max-pixels

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no remarks.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist. Inputs are never replaced.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", show_default=True)]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all cores by default.", min=1)]
MaxPixels = Annotated[int, typer.Option(envvar=MAX_PIXELS, help="Refuse images with more pixels.", min=1)]
Inputs = Annotated[list[Path], typer.Argument(help="Images or folders.", show_default=False)]
