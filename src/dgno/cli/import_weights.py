"""`dgno import-weights`: published checkpoints become dgno weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dgno.cli.console import print_json, say
from dgno.cli.options import Debug, Json, Overwrite, Quiet
from dgno.errors import ConfigError


def import_weights(
    checkpoint: Annotated[
        Path, typer.Argument(help="A published DGNO checkpoint (.pth).", readable=False, show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write.", readable=False, show_default=False)],
    flux: Annotated[
        str | None, typer.Option(help="central, jump, avg_jump or upwind; needed.", show_default=False)
    ] = None,
    boundary: Annotated[
        str | None, typer.Option(help="dirichlet, neumann or periodic; needed.", show_default=False)
    ] = None,
    heads: Annotated[int | None, typer.Option(help="Overrides the heads that the tensors tell.")] = None,
    scope: Annotated[
        str, typer.Option(help="elements; none (LG) or global (GG) for the paper's baselines.")
    ] = "elements",
    element_size: Annotated[int | None, typer.Option(help="Overrides 8, or what the tensors tell.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert a published checkpoint. Only tensors are read from it, never code.

    Example: dgno import-weights DGNO_BBBC006_w1_Cell.pth w1-cell.safetensors --flux jump --boundary neumann
    """
    from dgno.networks.config import DGNOConfig
    from dgno.weights.imported import import_checkpoint, refuse_missing
    from dgno.weights.official import Choices

    refuse_missing(checkpoint)  # before options that only somebody who has it can tell
    if flux is None or boundary is None:
        given = {"--flux": flux, "--boundary": boundary}
        missing = " and ".join(name for name, value in given.items() if value is None)
        why = "it does not tell what its network was trained with"
        hint = "for instance --flux jump --boundary neumann"
        raise ConfigError(f"a checkpoint without {missing}", why=why, hint=hint)
    choices = Choices(flux, boundary, heads=heads, scope=scope, element_size=element_size)
    card = import_checkpoint(checkpoint, out, choices, overwrite=overwrite)
    if json:
        print_json({"output": str(out), "network": asdict(card.network)})
        return
    network = card.network
    assert isinstance(network, DGNOConfig)  # what is published
    kind = f"{network.traces} traces, {network.flux}, {network.boundary}"
    facts = f"{kind}, width {network.width}, {network.channels} channel(s)"
    say(f"{out}: {facts}", quiet=quiet)
