"""`dgno train`: train or fine-tune a network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from dgno.cli.console import print_json, say
from dgno.cli.options import Debug, Json, Quiet, Threads


def train(
    config: Annotated[Path, typer.Argument(help="What to train, in TOML.", show_default=False)],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so long, ready to be resumed.")] = None,
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
    from dgno.training.config import load_config
    from dgno.training.loop import train as run

    if threads:
        torch.set_num_threads(threads)

    def report(entry: dict[str, float]) -> None:
        if entry["step"] % 50 == 0 or "psnr_restored" in entry:
            say("  ".join(f"{key} {value:.4g}" for key, value in entry.items()), quiet=quiet or json)

    read = load_config(config)
    weights, steps = run(read, resume=resume, max_minutes=max_minutes or math.inf, report=report)
    finished = steps == read.steps
    halo = store_halo(weights) if finished else None
    if json:
        print_json({"weights": str(weights), "steps": steps, "finished": finished, "halo": halo})
        return
    say(f"{weights}: {steps} of {read.steps} steps" + (f", halo {halo} px" if finished else ""), quiet=quiet)
