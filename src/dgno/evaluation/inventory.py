"""What weights and networks there are: sizes, costs and cards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn

from dgno.networks.attentive_scan import SelectiveScan
from dgno.networks.dgno import DGNO
from dgno.networks.naf_block import SimplifiedChannelAttention
from dgno.networks.presets import NETWORKS, PRESETS, build
from dgno.networks.restormer_block import TransposedAttention
from dgno.operators.dg import DGOperator
from dgno.operators.pointwise import RowLinear
from dgno.weights.store import embedded_names, find_weights, hashes, load_network, parameters

COUNTED = (
    nn.Conv2d,
    nn.Linear,
    SelectiveScan,
    DGOperator,
    TransposedAttention,
    SimplifiedChannelAttention,
)
UNCOUPLED = {"none": "none (LG)", "global": "none (GG)", "blocks": "none (U-Net)"}


def list_weights() -> list[dict[str, object]]:
    """The weights that come with the package, for a table."""
    rows = []
    for name in embedded_names():
        path = find_weights(name)
        network, card = load_network(name)
        rows.append(
            {
                "name": name,
                "does": "tells the blur" if card.network.tells_types else "restores",
                "for": card.image,
                "channels": card.network.channels,
                "parameters": parameters(network),
                "halo px": getattr(network, "halo", None),
                "MB": round(path.stat().st_size / 1e6, 2),
            }
        )
    return rows


def list_networks() -> list[dict[str, object]]:
    """The network presets, for a table: parameters, and multiply-accumulates at 256 x 256 of the linear layers and
    convolutions, and of the products of operators, scans and attention."""
    rows: list[dict[str, object]] = []
    for name, config in NETWORKS.items():
        with torch.device("meta"):
            network = build(config)
        linear, products = multiply_accumulates(network.to_empty(device="cpu"))  # of any numbers
        rows.append(
            {
                "name": name,
                "lifting": config.lifting,
                "traces": None if config.scope != "elements" else config.traces,
                "flux": config.flux if config.scope == "elements" else UNCOUPLED[config.scope],
                "width": config.width,
                "blocks": list(config.blocks),
                "heads": None if config.scope == "blocks" else config.heads,
                "parameters": parameters(network),
                "GMAC layers": round(linear / 1e9, 2),
                "GMAC operators": round(products / 1e9, 2),
            }
        )
    return rows


def list_others() -> list[dict[str, object]]:
    """The presets of DBMID's networks and of the classifiers of blur, for a table: parameters, and multiply-accumulates
    at 256 x 256."""
    rows: list[dict[str, object]] = []
    for name, config in PRESETS.items():
        if name in NETWORKS:
            continue
        with torch.device("meta"):
            network = build(config)
            counted = layer_products(network, torch.zeros(1, config.channels, 256, 256))
        does = "tells the blur" if config.tells_types else "restores"
        sizes = {"parameters": parameters(network), "GMAC": round(counted / 1e9, 2)}
        rows.append({"name": name, "does": does, **sizes})
    return rows


@torch.no_grad()
def layer_products(network: nn.Module, x: torch.Tensor) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image."""
    counted = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal counted
        # a transposed convolution multiplies every pixel that it is given, the others every one that they make
        pixels = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        per_map = pixels[:, 0].numel() if pixels.ndim == 4 else pixels[..., 0].numel()
        counted += per_map * sum(p.numel() for name, p in module.named_parameters(recurse=False) if name == "weight")

    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    handles = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, kinds)]
    network.eval()(x)
    for handle in handles:
        handle.remove()
    return counted


def multiply_accumulates(network: DGNO, side: int = 256) -> tuple[int, int]:
    """Multiply-accumulates for one image of side x side px: in convolutions and linear layers; and in the projections
    and recurrences of the scans, the products k^T v and q K of the operators, and the two of the attention.

    Counted on a small image: all of them are linear in pixels, but for the map of what was pooled over the whole image.
    """
    layers = products = once = 0

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal layers, products, once
        if isinstance(module, SelectiveScan):
            products += output.numel() * 3 * module.states
            return
        if isinstance(module, RowLinear):  # the projections of a scan
            products += output[..., 0].numel() * module.weight.numel()
            return
        pixels = output[:, 0].numel()
        layers += pixels * module.weight.numel() if isinstance(module, nn.Conv2d | nn.Linear) else 0
        if isinstance(module, DGOperator):
            products += 2 * pixels * output.shape[1] * module.key_norm.weight.shape[-1]
        if isinstance(module, TransposedAttention):
            products += 2 * pixels * output.shape[1] ** 2 // module.heads
        if isinstance(module, SimplifiedChannelAttention) and module.block is None:
            once += module.weigh.weight.numel()

    small = network.multiple
    handles = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, COUNTED)]
    with torch.no_grad():
        network.eval().at_all_scales(torch.zeros(1, network.channels, small, small))
    for handle in handles:
        handle.remove()
    scale = (side / small) ** 2
    return round((layers - once) * scale + once), round(products * scale)


def card_facts(name: str) -> dict[str, object]:
    """Everything the card of weights says, for a table."""
    path = find_weights(name)
    network, card = load_network(path)
    facts: dict[str, object] = {
        "file": path.name,
        "for": card.image or "unknown",
        "parameters": parameters(network),
        **hashes(path),
    }
    facts |= {"normalisation": card.normalization, "halo px": card.halo, "local": getattr(network, "is_local", None)}
    facts |= {f"network {key}": value for key, value in dataclasses.asdict(card.network).items()}
    return facts | {f"training {key}": value for key, value in card.training.items()}


def model_card(name: str) -> str:
    """What people should know of weights, Markdown, from the file beside them; empty if there is none."""
    path = find_weights(name).with_suffix(".md")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def verify(name: str | Path | None = None) -> dict[str, object]:
    """Read weights (without a name, all of the package) and check their hashes; raises at the first that fails."""
    names = embedded_names() if name is None else [name]
    for each in names:
        load_network(each)
    return {str(each): "whole" for each in names}
