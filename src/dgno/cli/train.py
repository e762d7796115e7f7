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
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard too.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train as a configuration says; its log, checkpoints and weights go to the folder that it names.

    Example: dgno train nano.toml --resume --max-minutes 60
    Several GPUs: torchrun --nproc-per-node 4 -m dgno train nano.toml
    """
    import torch

    from dgno.evaluation.halo import store_halo
    from dgno.restoration.placed import choose_device
    from dgno.training.config import load_config
    from dgno.training.curves import draw_curves
    from dgno.training.loop import train as run
    from dgno.training.parallel import join, leave, own_device
    from dgno.training.scalars import scalar_writer

    if threads:
        torch.set_num_threads(threads)
    read, place = load_config(config), own_device(choose_device(device))
    ranks = join(place)
    quiet = quiet or json or not ranks.is_first
    has_bar = sys.stderr.isatty()
    picture = read.out / "curves.png"

    with (
        progress_bar("training", quiet=quiet) as progress,
        scalar_writer(read.out, wanted=tensorboard and ranks.is_first) as write,
    ):

        def report(entry: dict[str, float]) -> None:
            progress(entry["step"] / read.steps)
            write(entry)
            if "psnr_restored" in entry or (entry["step"] % 50 == 0 and not has_bar):
                say("  ".join(f"{key} {value:.4g}" for key, value in entry.items()), quiet=quiet)

        weights, steps = run(
            read,
            resume=resume,
            max_minutes=math.inf if max_minutes is None else max_minutes,
            device=place,
            ranks=ranks,
            report=report,
            remark=lambda text: say(text, quiet=quiet),
        )
    leave(ranks)
    if not ranks.is_first:
        return
    draw_curves(read.out / "log.jsonl", picture)
    finished = steps == read.steps
    if finished:
        say("measuring how much context tiles need", quiet=quiet)
    halo = store_halo(weights) if finished else None
    if json:
        print_json(
            {"weights": str(weights), "steps": steps, "finished": finished, "halo": halo, "curves": str(picture)}
        )
        return
    without = "no usable halo: tiles are faded into each other, and large images differ a little from whole ones"
    context = f"halo {halo} px" if halo else without
    say(f"{weights}: {steps} of {read.steps} steps" + (f", {context}" if finished else ""), quiet=quiet)
