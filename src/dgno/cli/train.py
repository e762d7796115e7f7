"""`dgno train`: train or fine-tune a network."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgno.checks import MOST_PROCESSES
from dgno.cli.console import print_json, progress_bar, say
from dgno.cli.options import Debug, Device, Json, Quiet, Threads

if TYPE_CHECKING:
    from dgno.training.config import TrainConfig


Config = Annotated[
    Path,
    typer.Argument(help="What to train, in TOML; or a folder of sharp images.", readable=False, show_default=False),
]
RunFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="With a folder: where the network goes, and train.toml.")
]
MaxMinutes = Annotated[
    float | None, typer.Option(help="Stop after so long, ready to be resumed; 0 takes no step.", min=0.0)
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that cannot be used, up to 1 % of them.")]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes that draw crops ahead. By default as cores are left.",
        min=0,
        max=MOST_PROCESSES,
        show_default=False,
    ),
]


def train(
    config: Config,
    out: RunFolder = None,
    show: Annotated[bool, typer.Option("--show", help="With a folder: print the TOML and do nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    max_minutes: MaxMinutes = None,
    skip_bad: SkipBad = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard too.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train or fine-tune a network. Log, checkpoints and weights go to the folder that the configuration names.

    A folder of sharp images is enough: the configuration is written then, and goes on from the weights in the package.

    Example: dgno train sharp/ -o mine --max-minutes 60

    Go on: dgno train mine/train.toml --resume

    Several GPUs: torchrun --nproc-per-node 4 -m dgno train nano.toml
    """
    import torch

    from dgno.restoration.placed import choose_device
    from dgno.training.ahead import usual_workers
    from dgno.training.config import load_config
    from dgno.training.loop import train as run
    from dgno.training.parallel import join, leave, own_device
    from dgno.training.starting import starting_config

    if show:
        run_folder = out or Path(f"{config.name}-run")
        print(starting_config(config, run_folder, place=Path("train.toml"), skip_bad=skip_bad), end="")
        return
    if threads:
        torch.set_num_threads(threads)
    config = _configuration(config, out, resume=resume, skip_bad=skip_bad)
    read, place = load_config(config), own_device(choose_device(device))
    read = replace(read, skip_bad=read.skip_bad or skip_bad)
    ranks = join(place)
    quiet = quiet or json or not ranks.is_first
    minutes = math.inf if max_minutes is None else max_minutes
    drawn_by = usual_workers(place, ranks, read.steps) if workers is None else workers
    begin = partial(run, read, resume=resume, max_minutes=minutes, device=place, ranks=ranks, workers=drawn_by)
    weights, steps = _watched(begin, read, tensorboard=tensorboard and ranks.is_first, quiet=quiet)
    leave(ranks)
    if ranks.is_first:
        _conclude(config, read, weights, steps, json=json, quiet=quiet)


def _watched(
    begin: Callable[..., tuple[Path, int]], config: TrainConfig, *, tensorboard: bool, quiet: bool
) -> tuple[Path, int]:
    """Train, and show how far it is: a bar, or a line now and then; for TensorBoard, everything."""
    from dgno.training.log import SCORES
    from dgno.training.scalars import scalar_writer

    has_bar = sys.stderr.isatty()
    with (
        progress_bar("training", quiet=quiet) as progress,
        scalar_writer(config.out, wanted=tensorboard) as write,
    ):

        def report(entry: dict[str, float]) -> None:
            progress(entry["step"] / config.steps)
            write(entry)
            if SCORES & entry.keys() or (entry["step"] % 50 == 0 and not has_bar):
                say("  ".join(f"{key} {value:.4g}" for key, value in entry.items()), quiet=quiet)

        return begin(report=report, remark=lambda text: say(text, quiet=quiet))


def _conclude(config: Path, read: TrainConfig, weights: Path, steps: int, *, json: bool, quiet: bool) -> None:
    """Draw the curves, measure the halo or the calibration of a finished network unless that was done, and say how to
    go on."""
    from dgno.evaluation.calibration import store_temperature
    from dgno.evaluation.halo import store_halo
    from dgno.training.curves import draw_curves

    picture, finished = read.out / "curves.png", steps == read.steps
    tells = read.network.tells_types
    was_measured, halo = _measured(weights) if finished else (False, None)
    if not was_measured:
        draw_curves(read.out / "log.jsonl", picture)
    if finished and not was_measured:
        say("calibrating probabilities" if tells else "measuring how much context tiles need", quiet=quiet)
        if tells:
            store_temperature(weights, read)
        else:
            halo = store_halo(weights)
    if json:
        facts = {"weights": str(weights), "steps": steps, "finished": finished, "halo": halo, "curves": str(picture)}
        print_json(facts)
        return
    without = "no usable halo: tiles are faded into each other, and large images differ a little from whole ones"
    context = f"halo {halo} px" if halo else without
    told = f", {context}" if finished and not tells else ""
    done = "; the run is complete already, nothing was done" if was_measured else ""
    say(f"{weights}: {steps} of {read.steps} steps{told}{done}", quiet=quiet)
    go_on = "" if finished else f"dgno train {config} --resume goes on; "
    use = f"assess IMAGE --reader {weights}" if tells else f"restore IMAGE -o RESTORED --weights {weights}"
    say(f"{go_on}dgno {use} uses them", quiet=quiet)


def _measured(weights: Path) -> tuple[bool, int | None]:
    """Were the weights measured, or calibrated, when an earlier command finished them? And the halo that was found."""
    from dgno.weights.store import read_weights

    card, tensors = read_weights(weights)
    if card.network.tells_types:
        return bool((tensors["temperature"] != 1).any()), None
    return card.halo is not None, card.halo


def _configuration(path: Path, out: Path | None, *, resume: bool, skip_bad: bool) -> Path:
    """The file to train from; for a folder of images it is written, unless a run that was begun goes on."""
    from dgno.errors import ConfigError
    from dgno.training.starting import NAME, write_starting_config

    if not path.is_dir():
        if out is not None:
            hint = "change `out` in it; --out is for a folder of sharp images"
            raise ConfigError("the configuration says where the run goes", path=path, hint=hint)
        return path
    if out is None:
        raise ConfigError(
            "a folder of sharp images without a place for the network", path=path, hint="give --out FOLDER"
        )
    if resume and (out / NAME).is_file():
        return out / NAME
    return write_starting_config(path, out, skip_bad=skip_bad)
