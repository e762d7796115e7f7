"""LPIPS by AlexNet, with weights that the user brings as safetensors; nothing is downloaded, and no code is loaded.

Those of the package lpips, version 0.1, become the file by

    from safetensors.torch import save_file
    tensors = lpips.LPIPS(net="alex").state_dict()
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, "alex.safetensors")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dgno.errors import ConfigError, MissingInput
from dgno.metrics import lpips

SMALLEST = 31  # px: from here on the last layer has a pixel


@dataclass(frozen=True)
class Layer:
    """A convolution of AlexNet (Krizhevsky 2014, arXiv:1404.5997): name, channels, and geometry in px."""

    name: str
    channels: tuple[int, int]
    side: int
    stride: int
    padding: int
    pooled_before: bool = False


LAYERS = (
    Layer("slice1.0", (3, 64), 11, 4, 2),
    Layer("slice2.3", (64, 192), 5, 1, 2, pooled_before=True),
    Layer("slice3.6", (192, 384), 3, 1, 1, pooled_before=True),
    Layer("slice4.8", (384, 256), 3, 1, 1),
    Layer("slice5.10", (256, 256), 3, 1, 1),
)


def wanted_tensors() -> dict[str, tuple[int, ...]]:
    """Names and shapes of what a file of weights holds: convolutions, and the linear weights of their maps."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, layer in enumerate(LAYERS):
        before, after = layer.channels
        shapes[f"net.{layer.name}.weight"] = (after, before, layer.side, layer.side)
        shapes[f"net.{layer.name}.bias"] = (after,)
        shapes[f"lin{i}.model.1.weight"] = (1, after, 1, 1)
    return shapes


def load_lpips(path: Path) -> Callable[[Tensor, Tensor, float], float]:
    """LPIPS of two images (1, c, h, w) and their range. Raises MissingInput, ConfigError."""
    if not path.is_file():
        raise MissingInput("there is no such file of weights", path=path, hint="check the name")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        hint = "make it as docs/evaluating.md says"
        raise ConfigError("the weights of LPIPS are no safetensors", path=path, why=str(error), hint=hint) from error
    wanted = wanted_tensors()
    wrong = [name for name, shape in wanted.items() if name not in tensors or tuple(tensors[name].shape) != shape]
    if wrong:
        why = f"{len(wrong)} tensors are missing or of another shape, the first is {wrong[0]} {wanted[wrong[0]]}"
        raise ConfigError("not the weights of LPIPS with AlexNet", path=path, why=why, hint="see docs/evaluating.md")
    weights = [tensors[f"lin{i}.model.1.weight"].float().flatten() for i in range(len(LAYERS))]
    features = partial(alexnet_maps, tensors={name: tensors[name].float() for name in wanted})

    def distance(image: Tensor, reference: Tensor, data_range: float) -> float:
        if min(image.shape[-2:]) < SMALLEST:
            why = f"it has {image.shape[-2]} x {image.shape[-1]} px, wanted at least {SMALLEST}"
            raise ConfigError("the image is too small for LPIPS", why=why, hint="leave --measure lpips out")
        return lpips(image.float(), reference.float(), features, weights, data_range=data_range)

    return distance


def alexnet_maps(x: Float[Tensor, "b 3 h w"], tensors: Mapping[str, Tensor]) -> list[Float[Tensor, "b d y x"]]:
    """The maps behind the five rectifiers."""
    maps = []
    for layer in LAYERS:
        if layer.pooled_before:
            x = F.max_pool2d(x, 3, stride=2)
        weight, bias = tensors[f"net.{layer.name}.weight"], tensors[f"net.{layer.name}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, stride=layer.stride, padding=layer.padding))
        maps.append(x)
    return maps
