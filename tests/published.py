"""The numbers of an independent implementation of the published network, and the parameters they were computed with."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from dgno.networks.dgno import DGNO
from dgno.networks.presets import build
from dgno.weights.official import Choices, read_config, to_ours

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(os.environ.get("DGNO_SHARED", Path(__file__).parents[2] / "shared")) / "golden"
FULL = ("full_cell_jump_neumann_gray", "full_face_avgjump_dirichlet_rgb")
SMALL = ("small_cell_jump_neumann_gray", "small_face_avgjump_dirichlet_rgb")
FLUX_NAMES = {"avgjump": "avg_jump"}  # as the files are named


def parameter(name: str, shape: list[int], position: int) -> Tensor:
    """One parameter of the full-size networks, filled by formula; the first rule that fits its name decides.

    position : j, of the name among all names in alphabetical order, the constant `face_idx_*` left out
    w = cos(0.7 i + 1.3 j + 0.11 i (j mod 5)) over the flat index i, in float64; float32 in the end.
    """
    size = math.prod(shape)
    i, j = torch.arange(size, dtype=torch.float64), position
    w = torch.cos(0.7 * i + 1.3 * j + 0.11 * i * (j % 5))
    if name.endswith("A_logs"):
        values = torch.arange(1, shape[1] + 1, dtype=torch.float64).log().repeat(shape[0]) + 0.05 * w
    elif name.endswith("Ds"):
        values = 1 + 0.05 * w
    elif name.endswith("dt_projs_bias"):
        values = -3 + 0.5 * w
    elif name.endswith(".tau"):
        values = 0.25 + 0.05 * w
    elif (name.endswith("weight") and len(shape) == 1) or name.endswith(("kln.weight", "vln.weight")):
        values = 1 + 0.05 * w
    elif "embedding" in name:
        values = 0.5 * w
    elif len(shape) >= 2 and not name.endswith(("kln.bias", "vln.bias")):
        values = 0.9 * math.sqrt(2) * w / math.sqrt(size / shape[0])
    else:
        values = 0.05 * w
    return values.float().reshape(shape)


def parameters_by_formula(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """All parameters of a full-size network; the `face_idx_*` buffers are there, empty of meaning."""
    names = sorted(name for name in shapes if "face_idx_" not in name)
    filled = {name: parameter(name, shapes[name], j) for j, name in enumerate(names)}
    return {name: filled.get(name, torch.zeros(shape)) for name, shape in shapes.items()}


@dataclass(frozen=True)
class Case:
    """A published network and what it makes of an image."""

    metadata: Mapping[str, str]
    network: DGNO
    image: Tensor
    outputs: tuple[Tensor, Tensor, Tensor]  # at full, half and quarter resolution


def folder_of(name: str) -> Path:
    """Where the files of a case are: the full-size ones beside the tests, the small ones in the shared folder."""
    return GOLDEN if name in FULL else SHARED


def shapes_of(name: str) -> dict[str, list[int]]:
    """The released names and shapes of a network."""
    shapes: dict[str, list[int]] = json.loads((folder_of(name) / f"{name}.keys.json").read_text())
    return shapes


def parameters_of(name: str) -> dict[str, Tensor]:
    """The parameters of a network under their released names."""
    stored = folder_of(name) / f"{name}.params.safetensors"
    return load_file(stored) if stored.exists() else parameters_by_formula(shapes_of(name))


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def load_case(name: str) -> Case:
    """A case by name; the configuration is read from the parameters themselves, flux and border from the metadata."""
    path = folder_of(name) / f"{name}.io.safetensors"
    metadata, numbers, params = metadata_of(path), load_file(path), parameters_of(name)
    config = read_config(params, Choices(metadata["flux"], metadata["boundary"]))
    network = build(config).eval()
    network.load_state_dict(to_ours(params, network))
    outputs = (numbers["output_full"], numbers["output_half"], numbers["output_quarter"])
    return Case(metadata, network, numbers["input"], outputs)


def assert_same_numbers(ours: Tensor, theirs: Tensor) -> None:
    """Mean |difference| <= 1e-5, and at most 1e-3 on 99.9 % of the pixels: the arg-max may flip at a tie."""
    assert ours.shape == theirs.shape
    difference = (ours - theirs).abs()
    assert difference.mean() <= 1e-5
    worst = difference.amax(1).flatten().sort().values  # of every pixel
    assert worst[int(0.999 * (len(worst) - 1))] <= 1e-3
