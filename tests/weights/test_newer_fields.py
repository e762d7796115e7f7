"""Headers of weights over the versions: fields that a header does not know change neither it nor its hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from checkpoints import TINY, tiny_network
from safetensors import safe_open

from dgno.errors import CheckpointMismatch
from dgno.networks.config import SINCE, DGNOConfig
from dgno.weights import store
from dgno.weights.store import Card, embedded_names, find_weights, load_weights, read_weights, save_weights

SCHEMA_1 = {
    "channels", "width", "blocks", "heads", "traces", "flux", "boundary", "convention", "scope", "element_size",
    "iterations", "tau", "tau_learnt", "scan_block", "shallow_norm", "prompt_sorted", "activation",
}  # fmt: skip
OTHERS = [
    replace(TINY, lifting="nafnet"),
    replace(TINY, lifting="restormer", scope="blocks"),
    replace(TINY, scope="blocks"),
]


def header_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def test_every_field_has_its_schema() -> None:
    """A field is of schema 1, or SINCE names another one."""
    assert {field.name for field in fields(DGNOConfig)} - SINCE.keys() == SCHEMA_1


@pytest.mark.parametrize("name", embedded_names())
def test_shipped_files_are_read_and_written_as_they_are(name: str, tmp_path: Path) -> None:
    """DGNO's are of schema 1, which any version reads; hashes hold, and saving what they hold gives their bytes."""
    path = find_weights(name)
    card, tensors = read_weights(path)
    assert header_of(path)["schema"] == ("1" if isinstance(card.network, DGNOConfig) else "3")
    assert save_weights(tmp_path / "again.safetensors", tensors, card).read_bytes() == path.read_bytes()


def test_what_needs_nothing_new_is_written_as_before(tmp_path: Path) -> None:
    header = header_of(save_weights(tmp_path / "w.safetensors", tiny_network().state_dict(), Card(TINY)))
    assert header["schema"] == "1"
    assert set(json.loads(header["card"])["network"]) == SCHEMA_1


@pytest.mark.parametrize("config", OTHERS, ids=["nafnet", "restormer", "mamba"])
def test_newer_networks_have_a_newer_header(
    config: DGNOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come back, and a version that knows schema 1 only says that it is too old."""
    path = save_weights(tmp_path / "w.safetensors", tiny_network(config).state_dict(), Card(config))
    assert header_of(path)["schema"] == "2"
    assert load_weights(path)[1].network == config
    monkeypatch.setattr(store, "SCHEMA", 1)
    with pytest.raises(CheckpointMismatch, match=r"newer dgno.*upgrade"):
        load_weights(path)


def test_the_hash_is_over_the_card_as_it_is_written(tmp_path: Path) -> None:
    """Computed here from the file alone: the text of the card, then names, dtypes, shapes and bytes in order."""
    path = save_weights(tmp_path / "w.safetensors", tiny_network().state_dict(), Card(TINY))
    header, tensors = header_of(path), read_weights(path)[1]
    sha = hashlib.sha256(header["card"].encode())
    for name in sorted(tensors):
        sha.update(f"{name} torch.float32 {tuple(tensors[name].shape)}".encode() + tensors[name].numpy().tobytes())
        assert tensors[name].dtype == torch.float32
    assert header["sha256"] == sha.hexdigest()
