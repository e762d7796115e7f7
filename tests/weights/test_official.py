"""The published checkpoints: every tensor finds its one place, and what does not fit is named."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoints import CELL, FACE, GOLDEN, TINY, TINY_FACE, our_shapes, released_checkpoint, tiny_network
from safetensors import safe_open
from torch import Tensor

from dgno.errors import CheckpointMismatch
from dgno.networks.presets import NETWORKS
from dgno.weights.official import Choices, our_name, read_config, to_ours

SHARED = Path(os.environ.get("DGNO_SHARED", Path(__file__).parents[3] / "shared")) / "golden"
NAMES = (CELL, FACE, "small_cell_jump_neumann_gray", "small_face_avgjump_dirichlet_rgb")


def meta_checkpoint(name: str) -> dict[str, Tensor]:
    """Names and shapes of a published network, without numbers; skips where the file is not there."""
    path = (GOLDEN if name in (CELL, FACE) else SHARED) / f"{name}.keys.json"
    if not path.exists():
        pytest.skip(f"no {path}; DGNO_SHARED names another folder")
    return {key: torch.empty(shape, device="meta") for key, shape in json.loads(path.read_text()).items()}


def choices_of(name: str) -> Choices:
    return Choices("jump", "neumann") if "cell" in name else Choices("avg_jump", "dirichlet")


def without_ones(shape: tuple[int, ...]) -> list[int]:
    return [n for n in shape if n != 1]


@pytest.mark.parametrize("name", NAMES)
def test_every_published_tensor_has_one_place(name: str) -> None:
    """The renaming is one to one onto the names of our network, shapes equal but for axes of length 1."""
    params = meta_checkpoint(name)
    renamed = {key: our_name(key) for key in params if "face_idx_" not in key}
    assert len(set(renamed.values())) == len(renamed)
    ours = our_shapes(read_config(params, choices_of(name)))
    assert set(renamed.values()) == set(ours)
    assert all(without_ones(tuple(params[key].shape)) == without_ones(ours[place]) for key, place in renamed.items())


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_is_read_from_the_tensors(name: str) -> None:
    """Width, blocks, heads, channels, variant, layers and element size are those that the files were made with."""
    params = meta_checkpoint(name)
    config = read_config(params, choices_of(name))
    with safe_open((GOLDEN if name in (CELL, FACE) else SHARED) / f"{name}.io.safetensors", framework="pt") as file:
        facts = file.metadata()
    assert config.width == int(facts["dim"])
    assert list(config.blocks) == json.loads(facts["num_blocks"])
    assert config.heads == int(facts["heads"])
    assert config.channels == int(facts["in_channels"])
    assert config.traces == facts["variant"]
    assert (config.flux, config.boundary, config.convention) == (facts["flux"], facts["boundary"], "released")
    assert (config.iterations, config.element_size, config.scope) == (2, 8, "elements")


def test_the_published_sizes_are_the_presets() -> None:
    """The full-size checkpoints are the networks dgno-cell and, in colour, dgno-face."""
    assert read_config(meta_checkpoint(CELL), choices_of(CELL)) == NETWORKS["dgno-cell"]
    assert read_config(meta_checkpoint(FACE), choices_of(FACE)) == replace(NETWORKS["dgno-face"], channels=3)


@pytest.mark.parametrize("config", [TINY, TINY_FACE], ids=["cell", "face"])
def test_all_numbers_arrive(config: object) -> None:
    """The tensors come in our shapes with all their numbers, and the network takes them."""
    assert config in (TINY, TINY_FACE)
    params = released_checkpoint(config)
    found = read_config(params, Choices(config.flux, config.boundary))
    assert found == config
    network = tiny_network(config)
    ours = to_ours(params, network)
    network.load_state_dict(ours)
    for name, tensor in params.items():
        if "face_idx_" not in name:
            assert torch.equal(ours[our_name(name)].flatten(), tensor.flatten())


def test_choices_overrule() -> None:
    """What the user says about heads, element size and scope is believed."""
    config = read_config(released_checkpoint(TINY), Choices("jump", "periodic", heads=4, scope="none", element_size=4))
    assert (config.heads, config.scope, config.element_size, config.boundary) == (4, "none", 4, "periodic")


def changed(params: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """A checkpoint with one thing wrong."""
    params = dict(params)
    if kind == "missing":
        del params["encoder_level1.0.norm1.body.weight"]
    elif kind == "unexpected":
        params["encoder_level1.0.norm1.body.extra"] = torch.zeros(3)
    elif kind == "transposed":
        params["reduce_chan_level1.weight"] = params["reduce_chan_level1.weight"].transpose(0, 1)
    elif kind == "shorter":
        params["latent.0.ffn.dwconv.weight"] = params["latent.0.ffn.dwconv.weight"][:-1]
    return params


DIFFERENCES = {
    "missing": "1 differences: missing lifting.level1.0.norm1.weight",
    "unexpected": "1 differences: unexpected encoder_level1.0.norm1.extra",
    "transposed": "operator_full.merge.weight is (16, 8, 1, 1), wanted (8, 16)",
    "shorter": "lifting.latent.0.feed_forward.depthwise.weight is (339, 1, 3, 3), wanted (340, 1, 3, 3)",
}


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_one_difference_is_named(kind: str) -> None:
    """A missing, an unexpected or a misshapen tensor is a CheckpointMismatch that names it."""
    with pytest.raises(CheckpointMismatch) as error:
        to_ours(changed(released_checkpoint(TINY), kind), tiny_network())
    wanted = DIFFERENCES[kind].replace("encoder_level1", "lifting.level1")
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    "other",
    [
        replace(TINY, traces="face", flux="central"),
        replace(TINY, width=16),
        replace(TINY, blocks=(1, 2, 1, 1)),
        replace(TINY, channels=3),
        replace(TINY, flux="central"),
        replace(TINY, iterations=1),
        replace(TINY, heads=4),
    ],
    ids=["central", "width", "blocks", "channels", "flux", "iterations", "heads"],
)
def test_another_network_is_refused(other: object) -> None:
    """A checkpoint does not load into a network of another size or flux; the first five differences are listed."""
    network = tiny_network(other)  # type: ignore[arg-type]
    with pytest.raises(CheckpointMismatch) as error:
        to_ours(released_checkpoint(TINY), network)
    count = re.search(r"(\d+) differences: (.*)", error.value.why)
    assert count is not None
    listed = count[2].split("; ")
    n = int(count[1])
    assert listed[:5] == [d for d in listed if d != "..."]
    assert len(listed) == (n if n <= 5 else 6)
    assert all(re.match(r"missing |unexpected |\S+ is \(", d) for d in listed[:5])


@pytest.mark.parametrize("flux", ["central", "upwind"])
def test_a_checkpoint_with_tau_wants_a_flux_with_tau(flux: str) -> None:
    """Saying `central` or `upwind` for a checkpoint that has learnt tau is found out."""
    params = released_checkpoint(TINY)
    network = tiny_network(read_config(params, Choices(flux, "neumann")))
    with pytest.raises(CheckpointMismatch, match=r"unexpected operator_full\.layers\.0\.assembly\.flux\.tau"):
        to_ours(params, network)


@pytest.mark.parametrize("wanted", ["patch_embed.proj.weight", "conv0.kln.weight"])
def test_other_checkpoints_are_refused(wanted: str) -> None:
    """A dict of tensors without the layers of DGNO is a CheckpointMismatch that says what is missing."""
    params = released_checkpoint(TINY)
    del params[wanted]
    with pytest.raises(CheckpointMismatch, match=re.escape(wanted)):
        read_config(params, Choices("jump", "neumann"))
    with pytest.raises(CheckpointMismatch):
        read_config({"conv1.weight": torch.zeros(64, 3, 7, 7)}, Choices("jump", "neumann"))


@pytest.mark.parametrize(
    "name, tensor",
    [
        ("patch_embed.proj.weight", torch.zeros(8)),
        ("patch_embed.proj.weight", torch.zeros(8, 5, 3, 3)),
        ("patch_embed.proj.weight", torch.zeros(7, 1, 3, 3)),
        ("conv0.kln.weight", torch.zeros(())),
        ("conv0.kln.weight", torch.zeros(0, 1, 4)),
        ("conv0.face_idx_left", torch.zeros(())),
    ],
    ids=["one axis", "5 channels", "width 7", "no axis", "no heads", "no index"],
)
def test_tensors_that_describe_no_network_are_refused(name: str, tensor: Tensor) -> None:
    """Shapes from which no configuration can be read are a CheckpointMismatch, not another error."""
    params = released_checkpoint(TINY) | {name: tensor}
    with pytest.raises(CheckpointMismatch):
        read_config(params, Choices("jump", "neumann"))


def test_a_checkpoint_without_encoder_is_refused() -> None:
    """No blocks at a scale is a CheckpointMismatch too."""
    params = {k: v for k, v in released_checkpoint(TINY).items() if not k.startswith("encoder_level2")}
    with pytest.raises(CheckpointMismatch):
        read_config(params, Choices("jump", "neumann"))
