"""The header of weights: every entry is needed, checked and hashed."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import TINY
from safetensors.torch import save_file
from weight_files import CARD, with_card, with_header

from dgno.errors import CheckpointError, CheckpointMismatch, CorruptCheckpoint
from dgno.weights import store
from dgno.weights.store import load_weights


def test_a_card_cannot_make_a_huge_network(file: Path) -> None:
    """A card that names a network of many terabytes is a mismatch: shapes are compared before memory is taken."""
    with pytest.raises(CheckpointMismatch, match=r"differences: "):
        load_weights(with_card(file, asdict(replace(CARD, network=replace(TINY, width=2**22)))))


@pytest.mark.parametrize("key", ["format", "schema", "card", "sha256"])
def test_every_entry_of_the_header_is_needed(file: Path, key: str) -> None:
    """A header without one of its four entries is refused."""
    with pytest.raises(CheckpointError):
        load_weights(with_header(file, {key: ""}))


def test_plain_safetensors_are_not_weights(file: Path, tmp_path: Path) -> None:
    """A safetensors file without our header is told apart from a broken one."""
    save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointMismatch, match="without the header"):
        load_weights(tmp_path / "x.safetensors")


@pytest.mark.parametrize("schema", [str(store.SCHEMA + 1), "999", "-1", "1.0", "one", "1 "])
def test_newer_weights_are_refused(file: Path, schema: str) -> None:
    """A schema beyond ours, or none, is refused with the advice to upgrade."""
    with pytest.raises(CheckpointMismatch, match="upgrade"):
        load_weights(with_header(file, {"schema": schema}))


@pytest.mark.parametrize(
    "change", [{"halo": 0}, {"normalization": "range"}, {"image": "bright field"}, {"training": {}}]
)
def test_a_changed_card_is_found(file: Path, change: dict[str, Any]) -> None:
    """The hash covers the card: facts that were changed by hand are damage."""
    with pytest.raises(CorruptCheckpoint, match="hash"):
        load_weights(with_header(file, {"card": json.dumps(asdict(CARD) | change)}))


@pytest.mark.parametrize(
    "card",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"text"',
        "{}",
        '{"network": 3}',
        '{"network": []}',
        '{"network": "text"}',
        '{"network": {}}',
        '{"network": {"blocks": 3}}',
        "[" * 100_000,
        asdict(CARD) | {"network": asdict(TINY) | {"flux": "strange"}},
        asdict(CARD) | {"network": asdict(TINY) | {"strange": 1}},
        asdict(CARD) | {"network": asdict(TINY) | {"width": "8"}},
        asdict(CARD) | {"network": asdict(TINY) | {"width": 8.0}},
        asdict(CARD) | {"strange": 1},
        asdict(CARD) | {"halo": "far"},
        asdict(CARD) | {"halo": -16},
        asdict(CARD) | {"normalization": "strange"},
    ],
    ids=lambda card: str(card)[-40:],
)
def test_cards_that_say_nothing_are_refused(file: Path, card: object) -> None:
    """A card that is no JSON, or not of our fields and types, is corrupt even where the hash fits."""
    with pytest.raises(CorruptCheckpoint):
        load_weights(with_card(file, card))


@pytest.mark.parametrize(
    "other",
    [
        replace(TINY, width=16),
        replace(TINY, blocks=(1, 2, 1, 1)),
        replace(TINY, channels=3),
        replace(TINY, flux="central"),
    ],
)
def test_a_card_of_another_network_is_refused(file: Path, other: Any) -> None:
    """Tensors that are not those of the network on the card are a mismatch that names the first differences."""
    with pytest.raises(CheckpointMismatch, match=r"differences: ") as error:
        load_weights(with_card(file, asdict(replace(CARD, network=other))))
    assert error.value.path == file
    assert error.value.why.count(";") <= 5
