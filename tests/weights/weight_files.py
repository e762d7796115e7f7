"""Weights with headers of our making."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from checkpoints import TINY
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dgno.weights.store import Card, digest

CARD = Card(TINY, image="fluorescence", normalization="percentile", halo=48, training={"steps": 10, "blur": [0.6, 4]})


def parts_of(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as opened:
        return dict(opened.metadata()), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


def with_header(path: Path, header: Mapping[str, str]) -> Path:
    """The file with entries of its header replaced, the hash as it was."""
    before, tensors = parts_of(path)
    save_file(tensors, path, metadata={k: v for k, v in (before | header).items() if v})
    return path


def with_card(path: Path, card: object) -> Path:
    """The file with another card and the hash that fits, as a forger would write it."""
    _, tensors = parts_of(path)
    text = card if isinstance(card, str) else json.dumps(card, sort_keys=True)
    return with_header(path, {"card": text, "sha256": digest(text, tensors)})
