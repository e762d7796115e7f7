"""From a published checkpoint to weights of ours."""

from __future__ import annotations

from pathlib import Path

from dgno.errors import MissingInput, about
from dgno.io.output import check_place
from dgno.networks.presets import build
from dgno.weights.official import Choices, read_config, to_ours
from dgno.weights.pth import read_params
from dgno.weights.store import Card, save_weights
from dgno.weights.suspicion import as_float32


def import_checkpoint(checkpoint: Path, out: Path, choices: Choices, *, overwrite: bool = False) -> Card:
    """Convert a `.pth` file and return the card of the weights written to `out`.

    Raises MissingInput, the errors of `check_place` and of `read_params`, ConfigError (choices), CheckpointMismatch,
    CorruptCheckpoint.
    Warns as `as_float32` does.
    """
    refuse_missing(checkpoint)
    check_place(out, inputs=[checkpoint], overwrite=overwrite)
    params = read_params(checkpoint)
    with about(checkpoint):
        config = read_config(params, choices)
        tensors = to_ours(params, build(config))
    as_float32(tensors, checkpoint)  # only to refuse, or to warn: they are kept as they are
    # As published: gray images from their smallest to their largest value, colour images from 0 to 255.
    normalization = "minmax" if config.channels == 1 else "range"
    card = Card(config, normalization=normalization, training={"imported from": checkpoint.name})
    save_weights(out, tensors, card)
    return card


def refuse_missing(checkpoint: Path) -> None:
    """Raise MissingInput where there is no such file."""
    if not checkpoint.is_file():
        raise MissingInput("no such checkpoint", path=checkpoint, hint="give the path of a .pth file")
