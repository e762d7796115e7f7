"""A whole ONNX model: the graph of a network, and what the file says about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from dgno.errors import ConfigError
from dgno.export.graph import LEAST_OPSET, Graph, Map
from dgno.export.networks import restored
from dgno.io.provenance import software
from dgno.networks.dbmid import DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.weights.store import Card

INPUT, OUTPUT = "image", "restored"
OPSET = 20
NORMALIZATIONS = {
    "range": "(v - black) / (white - black), black and white those of the data type or of the bits in use",
    "percentile": "(v - a) / (b - a), a and b the percentiles 0.1 and 99.9 of the image or plane",
    "minmax": "(v - a) / (b - a), a and b the smallest and the largest value of the image or plane",
}
RESEARCH_USE = "For research use only. Not for clinical diagnosis."


@dataclass(frozen=True)
class Form:
    """How a network is written.

    size : height and width in px that images must have; None: any, and any number of images at once
    opset : version of the ONNX operators
    """

    size: tuple[int, int] | None = None
    opset: int = OPSET

    def __post_init__(self) -> None:
        newest = onnx.defs.onnx_opset_version()
        if not LEAST_OPSET <= self.opset <= newest:
            hint = f"give one from {LEAST_OPSET} to {newest}; {OPSET} by default"
            raise ConfigError(f"opset {self.opset}", hint=hint)
        if self.size is not None and min(self.size) < 1:
            raise ConfigError(f"a size of {self.size[0]}x{self.size[1]} px", hint="give height and width above 0")


def make_model(network: DGNO | DBMIDNet, form: Form, facts: Mapping[str, str]) -> onnx.ModelProto:
    """The network on images of the form's size, extended and cropped inside. Raises NotExportable."""
    g = Graph(form.opset)
    c = network.channels
    if form.size is None:
        shape = g.op("Shape", INPUT)
        b, h, w = (g.op("Gather", shape, g.integers(axis), axis=0) for axis in (0, 2, 3))
        image = Map(INPUT, b, c, h, w)
    else:
        image = Map(INPUT, 1, c, *form.size)
    sides: list[str | int | None] = ["batch", c, "height", "width"] if form.size is None else [1, c, *form.size]
    g.nodes.append(helper.make_node("Identity", [restored(g, network, image)], [OUTPUT], name=OUTPUT))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in (INPUT, OUTPUT)]
    graph = helper.make_graph(g.nodes, "dgno", ends[:1], ends[1:], list(g.constants.values()))
    operators = [helper.make_opsetid("", form.opset)]
    version = helper.find_min_ir_version_for(operators)
    model = helper.make_model(graph, opset_imports=operators, ir_version=version, producer_name="dgno")
    helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model)
    return model


def describe(card: Card, name: str, hashes: Mapping[str, str], form: Form) -> dict[str, str]:
    """What the file tells about itself: where it is from and how it is to be used; text by key.

    hashes : of the weights, by their names, as of `weights.store.hashes`
    """
    size = f"{form.size[0]} x {form.size[1]} px" if form.size else "of any size from 1 x 1 px"
    layout = f"float32 (batch, {card.network.channels}, height, width)"
    return {
        "dgno.version": software(),
        "dgno.weights": name,
        **{f"dgno.weights.{which.replace(' ', '_')}": sha256 for which, sha256 in hashes.items()},
        "dgno.card": card.to_json(),
        "dgno.input": f"{INPUT}: {layout}, {size}, values in [0, 1]; it is extended and cropped inside",
        "dgno.output": f"{OUTPUT}: {layout}, of the size of the input; values may pass [0, 1] a little",
        "dgno.normalization": f"{card.normalization}: {NORMALIZATIONS[card.normalization]}",
        "dgno.halo": "unknown" if card.halo is None else f"{card.halo} px of context around a tile",
        "dgno.licence": str(card.training.get("licence", "the card does not tell; see docs/models.md of dgno")),
        "dgno.training": json.dumps(dict(card.training), sort_keys=True),
        "dgno.use": RESEARCH_USE,
    }
