"""The type of blur of whole images, from crops at their own scale: shrinking an image takes its blur away.

One crop in the middle and four at random places; their probabilities are averaged. DBMID (Jiang et al. 2020,
arXiv:2011.11879) says only that its network is VGG16, whose crops have 224 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from dgno.arrays import Image, to_tensor
from dgno.data.recorded_types import type_of
from dgno.data.records import Record
from dgno.io.image import read_image
from dgno.networks.blur_reader import BlurReader
from dgno.networks.vgg import CROP, VGG
from dgno.optics.blur_types import BLUR_TYPES, IN_FOCUS
from dgno.restoration.image import Normalizer, by_range

AT_RANDOM = 4  # crops beside that in the middle
Logits = Float64[np.ndarray, "n crops k"]


@dataclass(frozen=True)
class TypedImage:
    """A file, and the number of its type in BLUR_TYPES."""

    path: Path
    label: int


def typed_images(records: Sequence[Record]) -> list[TypedImage]:
    """Every blurred image of the pairs, and every sharp one once. Raises ConfigError where a type is not told."""
    blurred = [TypedImage(r.input, BLUR_TYPES.index(type_of(r))) for r in records if r.input is not None]
    sharp = dict.fromkeys(record.target for record in records)
    return [*(TypedImage(path, BLUR_TYPES.index(IN_FOCUS)) for path in sharp), *blurred]


def labels_of(images: Sequence[TypedImage]) -> Int[np.ndarray, " n"]:
    """Their types as numbers."""
    return np.array([image.label for image in images])


@torch.no_grad()
def crop_logits(
    network: BlurReader | VGG,
    images: Sequence[TypedImage],
    *,
    crop: int = CROP,
    normalize: Normalizer = by_range,
    seed: int = 0,
) -> Logits:
    """What a classifier says of every crop, before any temperature.

    crop : px; images that are smaller are taken whole
    seed : image i has its crops drawn from (seed, i) alone
    """
    device = next(network.parameters()).device
    found = []
    for i, image in enumerate(images):
        crops = crops_of(read_image(image.path), crop, normalize, np.random.default_rng([seed, i]))
        found.append(network.classify(crops.to(device)).double().cpu().numpy())
    return np.stack(found)


def crops_of(
    image: Image, crop: int, normalize: Normalizer, rng: np.random.Generator
) -> Float[Tensor, "crops c rows columns"]:
    """The crop in the middle, then those at random places, of the first plane."""
    whole = to_tensor(next(image.planes()), normalize(image, image.channel_of(0)))[0]
    free = [max(n - crop, 0) for n in whole.shape[-2:]]
    corners = [tuple(n // 2 for n in free)]
    corners += [tuple(int(rng.integers(n + 1)) for n in free) for _ in range(AT_RANDOM)]
    return torch.stack([whole[:, y : y + crop, x : x + crop] for y, x in corners])


def mean_probabilities(logits: Logits, temperature: float = 1.0) -> Float64[np.ndarray, "n k"]:
    """Probabilities of every crop at a temperature, averaged over the crops of an image."""
    scaled = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    shares: np.ndarray = (scaled / scaled.sum(-1, keepdims=True)).mean(1)
    return shares
