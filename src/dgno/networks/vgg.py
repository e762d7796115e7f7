"""The blur classifier of DBMID: VGG16 with four outputs (Simonyan and Zisserman 2015, arXiv:1409.1556).

It is given crops of 224 px at the scale of the image: shrinking an image takes its blur away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgno.checks import refuse_count
from dgno.errors import ConfigError
from dgno.optics.blur_types import BLUR_TYPES

STAGES = (2, 2, 3, 3, 3), (1, 2, 4, 8, 8)  # convolutions of every stage, and their width in units of the first
CROP = 224  # px, of the published network
POOLED = 7


@dataclass(frozen=True)
class VGGConfig:
    """Everything that decides the network.

    channels : of the images
    width : of the first stage, 64 in VGG16
    hidden : units of the two hidden layers, 4096 in VGG16
    """

    channels: int = 3
    width: int = 64
    hidden: int = 4096

    family = "vgg"
    tells_types = True
    schema = 3
    multiple = 32

    def __post_init__(self) -> None:
        problems = [] if self.channels in (1, 3) else [f"channels is {self.channels!r}, wanted 1 or 3"]
        problems += refuse_count("width", self.width, 1) + refuse_count("hidden", self.hidden, 1)
        if problems:
            raise ConfigError("the network cannot be built", why="; ".join(problems))


class VGG(nn.Module):
    """Images in [0, 1] of at least 32 px -> logits of BLUR_TYPES.

    temperature : of the calibrated probabilities, softmax(logits / temperature); 1 until it is fitted
    """

    temperature: Tensor

    def __init__(self, config: VGGConfig) -> None:
        super().__init__()
        self.channels, self.multiple = config.channels, config.multiple
        layers: list[nn.Module] = []
        channels = config.channels
        for count, factor in zip(*STAGES, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, config.width * factor, 3, padding=1), nn.ReLU()]
                channels = config.width * factor
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(channels * POOLED**2, config.hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(config.hidden, config.hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(config.hidden, len(BLUR_TYPES)),
        )  # fmt: skip
        self.register_buffer("temperature", torch.ones(()))
        for module in self.features:
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # there, trying takes seconds, for imports
                # He et al. 2015: without it sixteen layers do not begin to learn
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 4"]:
        """Logits; gray images are given to three channels alike, colours to one as their mean."""
        if x.shape[1] != self.channels:
            x = x.mean(1, keepdim=True).expand(-1, self.channels, -1, -1)
        z = nn.functional.adaptive_avg_pool2d(self.features(4 * x - 2), POOLED)
        return self.head(z.flatten(1))

    def classify(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 4"]:
        """Logits of BLUR_TYPES for whole images."""
        logits: Tensor = self(x)
        return logits


VGG_NETWORKS = {"blur-vgg16": VGGConfig(), "blur-vgg16-nano": VGGConfig(width=8, hidden=64)}
