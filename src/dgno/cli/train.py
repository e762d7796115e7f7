"""`dgno train`: train or fine-tune a network."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from dgno.cli.console import print_json, progress_bar, say
from dgno.cli.options import Debug, Device, Json, Quiet, Threads


def train(
    config: Annotated[Path, typer.Argument(help="What to train, in TOML.", show_default=False)],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop after so long, ready to be resumed; 0 takes no step.", min=0.0)
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train as a configuration says; its log, checkpoints and weights go to the folder that it names.

    Example: dgno train nano.toml --resume --max-minutes 60
    """
    import torch

    from dgno.evaluation.halo import store_halo
    from dgno.restoration.placed import choose_device
    from dgno.training.config import load_config
    from dgno.training.loop import train as run

    if threads:
        torch.set_num_threads(threads)
    read, place, quiet = load_config(config), choose_device(device), quiet or json
    has_bar = sys.stderr.isatty()

    with progress_bar("training", quiet=quiet) as progress:

        def report(entry: dict[str, float]) -> None:
            progress(entry["step"] / read.steps)
            if "psnr_restored" in entry or (entry["step"] % 50 == 0 and not has_bar):
                say("  ".join(f"{key} {value:.4g}" for key, value in entry.items()), quiet=quiet)

        weights, steps = run(
            read,
            resume=resume,
            max_minutes=math.inf if max_minutes is None else max_minutes,
            device=place,
            report=report,
            remark=lambda text: say(text, quiet=quiet),
        )
    finished = steps == read.steps
    if finished:
        say("measuring how much context tiles need", quiet=quiet)
    halo = store_halo(weights) if finished else None
    if json:
        print_json({"weights": str(weights), "steps": steps, "finished": finished, "halo": halo})
        return
    without = "no usable halo: tiles are faded into each other, and large images differ a little from whole ones"
    context = f"halo {halo} px" if halo else without
    say(f"{weights}: {steps} of {read.steps} steps" + (f", {context}" if finished else ""), quiet=quiet)
