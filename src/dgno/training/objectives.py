"""What a network is trained for: the loss of a batch, and the score of what is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from dgno.data.recorded_types import RecordedTypes
from dgno.data.typed_crops import IGNORED, TypedCrops
from dgno.metrics import psnr
from dgno.networks.blur_reader import BlurReader
from dgno.networks.dbmid import DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.networks.presets import Network
from dgno.networks.vgg import VGG
from dgno.training.batches import Batches
from dgno.training.losses import FFT_WEIGHT, multi_scale_loss

VALIDATION_CROPS, VALIDATION_SIZE = 16, 128  # px
VALIDATION_TYPED = 128  # crops
WIDTHS, TURN = 0.5, 0.25  # weights of the losses of widths and of directions
Terms = Mapping[str, Tensor]
Seeds = Sequence[Sequence[int]]


@runtime_checkable
class Objective(Protocol):
    """How a network is trained and judged. The terms of a loss are logged by their names."""

    def loss(self, network: Network, batch: tuple[Tensor, ...], seeds: Seeds) -> tuple[Tensor, Terms]:
        """The loss and its terms; image i of the batch may draw random numbers from seeds[i]."""
        ...

    def validate(self, network: Network, held_out: Batches, seed: int, device: torch.device) -> dict[str, float]:
        """Scores of what no step sees."""
        ...


class MultiScale:
    """Eq. 31 of the DGNO paper, at full, half and quarter resolution."""

    def __init__(self, fft_norm: str) -> None:
        self.fft_norm = fft_norm

    def loss(self, network: Network, batch: tuple[Tensor, ...], seeds: Seeds) -> tuple[Tensor, Terms]:
        assert isinstance(network, DGNO)
        blurred, sharp = batch
        network.seed_routing(seeds)
        outputs = network.at_all_scales(blurred)
        spatial, frequency = multi_scale_loss([y.float() for y in outputs], sharp, fft_norm=self.fft_norm)
        return spatial + FFT_WEIGHT * frequency, {"spatial": spatial, "frequency": frequency}

    def validate(self, network: Network, held_out: Batches, seed: int, device: torch.device) -> dict[str, float]:
        return _restored(network, held_out, seed, device)


class SquaredError:
    """The mean squared error, of DBMID."""

    def loss(self, network: Network, batch: tuple[Tensor, ...], seeds: Seeds) -> tuple[Tensor, Terms]:
        blurred, sharp = batch
        error = F.mse_loss(network(blurred).float(), sharp)
        return error, {"mse": error}

    def validate(self, network: Network, held_out: Batches, seed: int, device: torch.device) -> dict[str, float]:
        return _restored(network, held_out, seed, device)


def _restored(network: Network, held_out: Batches, seed: int, device: torch.device) -> dict[str, float]:
    """PSNR of blurred and restored crops, dB."""
    before, after = [], []
    for index in range(VALIDATION_CROPS):
        batch = held_out.batch(VALIDATION_SIZE, 1, seed=seed, step=index)
        blurred, sharp = (images.to(device) for images in batch)
        before.append(psnr(blurred.clamp(0, 1), sharp))
        after.append(psnr(network(blurred).clamp(0, 1), sharp))
    return {"psnr_blurred": sum(before) / len(before), "psnr_restored": sum(after) / len(after)}


class TypeOfCrop:
    """Cross entropy of the type of a crop: how DBMID's VGG16 is trained."""

    def loss(self, network: Network, batch: tuple[Tensor, ...], seeds: Seeds) -> tuple[Tensor, Terms]:
        assert isinstance(network, VGG)
        torch.manual_seed(hash((7, *map(tuple, seeds))) % 2**63)  # of dropout: a resumed run drops the same units
        crops, types, *_ = batch
        entropy = F.cross_entropy(network(crops).float(), types)
        return entropy, {"entropy": entropy}

    def validate(self, network: Network, held_out: Batches, seed: int, device: torch.device) -> dict[str, float]:
        return _told_apart(network, held_out, seed, device)


class BlurOfSquares:
    """Cross entropy of the types of a crop and of its squares, and what is known of widths and directions."""

    def loss(self, network: Network, batch: tuple[Tensor, ...], seeds: Seeds) -> tuple[Tensor, Terms]:
        assert isinstance(network, BlurReader)
        crops, types, squares, sigma, length, turn = batch
        z = network.features(crops)
        logits, widths, turned = (part.float() for part in network.raw_squares(z))
        known, moved, defocused = squares != IGNORED, length > 0, sigma > 0
        whole = F.cross_entropy(network.raw_whole(z).float(), types, ignore_index=IGNORED)
        parts = F.cross_entropy(logits, squares, ignore_index=IGNORED, reduction="sum") / known.sum().clamp_min(1)
        width = _mean(F.smooth_l1_loss(widths[:, 0], sigma.clamp_min(1e-3).log(), reduction="none"), defocused)
        width = width + _mean(F.smooth_l1_loss(widths[:, 1], length.clamp_min(1e-3).log(), reduction="none"), moved)
        angle = _mean(((turned - turn) ** 2).sum(1), moved)
        terms = {"whole": whole, "squares": parts, "widths": width, "angles": angle}
        return whole + parts + WIDTHS * width + TURN * angle, terms

    def validate(self, network: Network, held_out: Batches, seed: int, device: torch.device) -> dict[str, float]:
        return _told_apart(network, held_out, seed, device)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp_min(1)


def _told_apart(network: Network, held_out: Batches, seed: int, device: torch.device) -> dict[str, float]:
    """Share of crops whose type is told right."""
    assert isinstance(held_out, TypedCrops | RecordedTypes) and isinstance(network, BlurReader | VGG)
    right = count = 0
    for index in range(VALIDATION_TYPED // 16):
        crops, types, *_ = (part.to(device) for part in held_out.batch(VALIDATION_SIZE, 16, seed=seed, step=index))
        known = types != IGNORED
        right += int(((network.classify(crops).argmax(1) == types) & known).sum())
        count += int(known.sum())
    return {"accuracy": right / count}


def objective_of(network: Network, *, fft_norm: str) -> Objective:
    """What a network of this family is trained for."""
    if isinstance(network, DGNO):
        return MultiScale(fft_norm)
    if isinstance(network, DBMIDNet):
        return SquaredError()
    return TypeOfCrop() if isinstance(network, VGG) else BlurOfSquares()
