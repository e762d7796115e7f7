"""Probabilities of blur that mean what they say: temperatures, fitted on crops that no training step saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from dgno.data.recorded_types import RecordedTypes
from dgno.data.typed_crops import IGNORED, TypedCrops
from dgno.evaluation.classification import fit_temperature
from dgno.networks.blur_reader import BlurReader
from dgno.networks.vgg import VGG
from dgno.training.batches import find_data
from dgno.training.config import TrainConfig
from dgno.weights.store import load_classifier, read_weights, save_weights

BATCHES, BATCH = 24, 16  # held-out crops
FIRST = 10_000  # number of the first batch: others than those that validate

Logits = Float[np.ndarray, "n 4"]
Labels = Int[np.ndarray, " n"]


def store_temperature(path: Path, config: TrainConfig) -> list[float]:
    """Fit the temperatures of a classifier of blur, of whole crops and of squares, and write them into its weights.

    config : of its training, whose held-out images are taken. Without any, weights stay as they are
    """
    network, card = load_classifier(path)
    held_out = find_data(config)[1](True)
    if held_out.is_empty:
        return network.temperature.flatten().tolist()
    assert isinstance(held_out, TypedCrops | RecordedTypes)
    network.temperature.copy_(torch.ones_like(network.temperature))
    groups = told_and_actual(network, held_out, config)
    fitted = [fit_temperature(logits, labels) for logits, labels in groups]
    tensors = read_weights(path)[1]
    tensors["temperature"] = torch.tensor(fitted).view_as(tensors["temperature"])
    save_weights(path, tensors, card)
    return fitted


@torch.no_grad()
def told_and_actual(
    network: BlurReader | VGG, held_out: TypedCrops | RecordedTypes, config: TrainConfig
) -> list[tuple[Logits, Labels]]:
    """Logits and types of held-out crops; and, of a reader, of their squares."""
    crop = config.stages[-1].crop
    whole: list[tuple[torch.Tensor, torch.Tensor]] = []
    squares: list[tuple[torch.Tensor, torch.Tensor]] = []
    for step in range(FIRST, FIRST + BATCHES):
        crops, types, truth, *_ = held_out.batch(crop, BATCH, seed=config.seed, step=step)
        if isinstance(network, VGG):
            whole.append((network.classify(crops), types))
            continue
        z = network.features(crops)
        whole.append((network.raw_whole(z), types))
        squares.append((network.raw_squares(z)[0].permute(0, 2, 3, 1).flatten(0, 2), truth.flatten()))
    return [_known(group) for group in (whole, squares) if group]


def _known(groups: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[Logits, Labels]:
    logits, types = (torch.cat(parts) for parts in zip(*groups, strict=True))
    known = types != IGNORED
    return logits[known].numpy(), types[known].numpy()
